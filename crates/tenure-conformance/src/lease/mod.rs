//! The lease suite: what every [`tenure_core::LeaseStore`] must show.
//!
//! [`lease_suite!`](crate::lease_suite) makes one test of each case. The name of a case begins with
//! the requirements it proves (`r…` of the lock protocol, `e…` of the table of bad input, `c…` of
//! the checkers). Requirements that a store alone cannot show stand in the table of those that are
//! shown elsewhere, with the reason; a test checks that none is in neither place.

mod actor;
mod cases;
mod ownership;

pub use self::cases::check;

/// Makes a test of each case of the lease suite.
///
/// The argument is an expression that makes a [`LeaseHarness`](crate::LeaseHarness); each test
/// evaluates it for itself, inside its runtime, so it may end in `.await`. The calling crate needs
/// `tenure-conformance` and `tokio` as dev-dependencies.
///
/// ```ignore
/// tenure_conformance::lease_suite!(harness::Mine::new());
/// ```
#[macro_export]
macro_rules! lease_suite {
    ($harness:expr $(,)?) => {
        $crate::__lease_cases! { $crate::__lease_tests, [$harness] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __lease_tests {
    ([$harness:expr] $($group:ident { $($case:ident)* })*) => { $($(
        #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::lease::check(::core::stringify!($case), &$harness).await;
        }
    )*)* };
}
