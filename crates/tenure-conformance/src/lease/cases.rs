//! The one list of the cases of the lease suite, and how a case is run by its name.
//!
//! A case that is written but not listed here is unused code, which CI refuses.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::LeaseHarness;

/// The list. The macro named first gets its own arguments back, then the groups with their cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __lease_cases {
    ($then:path, $with:tt) => {
        $then! { $with
            ownership {
                r1_r2_a_late_release_of_an_old_token_never_frees_a_newer_holder
                r1_the_token_decides_and_not_the_holder
                r2_r35_what_has_lapsed_is_neither_released_nor_renewed
                r2_r4_a_late_release_leaves_alone_what_was_handed_on
                r3_r4_a_second_release_is_answered_not_held
                r3_r4_releasing_what_is_not_held_changes_nothing
                r12_a_resend_gets_the_same_fence
            }
        }
    };
}

macro_rules! dispatch {
    ([] $($group:ident { $($case:ident)* })*) => {
        /// The names of all cases.
        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$($(stringify!($case),)*)*];

        fn find<'h>(name: &str, harness: &'h dyn LeaseHarness) -> BoxFuture<'h, ()> {
            match name {
                $($(stringify!($case) => Box::pin(super::$group::$case(harness)),)*)*
                other => panic!("the lease suite has no case `{other}`"),
            }
        }
    };
}

crate::__lease_cases! { dispatch, [] }

/// Far above what any case needs: a case that hangs fails under its own name.
const LONGEST: Duration = Duration::from_secs(120);

/// Runs the case called `name` against a store.
///
/// # Panics
/// If the store fails the case, and if there is no such case.
#[doc(hidden)]
pub async fn check(name: &str, harness: &dyn LeaseHarness) {
    tokio::time::timeout(LONGEST, find(name, harness))
        .await
        .unwrap_or_else(|_| panic!("`{name}` still ran after {LONGEST:?}"));
}
