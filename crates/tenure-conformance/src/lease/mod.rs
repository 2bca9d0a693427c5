//! The lease suite: what every [`tenure_core::LeaseStore`] must show.
//!
//! [`lease_suite!`](crate::lease_suite) makes one test of each case. The name of a case begins with
//! the requirements it proves (`r…` of the lock protocol, `e…` of the table of bad input, `c…` of
//! the checkers); a case without one proves a sentence of the contract itself.
//!
//! Cases that need a guarantee which a store does not declare (an order, a hand-off) check what is
//! left of it. Where real time has to pass they let the harness pass it, two seconds at a time.
//!
//! # Requirements that are shown elsewhere
//! Some requirements a store alone cannot show. A test checks that each of R1 to R46 and R62 to R69
//! is proved by a case or stands here.
//!
//! | requirement | why not here | shown by |
//! | --- | --- | --- |
//! | R5 | only some servers refuse growth, each in its own way | the tests of those stores |
//! | R7 | keys of other programs exist only on a shared server | the tests of those stores |
//! | R8 | only other programs make keys without an end | the tests of those stores |
//! | R14 | the least validity is counted by the caller's clock | `tenure-lock` |
//! | R15 | the trust window starts in the caller, before the request leaves | `tenure-lock` |
//! | R18 | the guard is a type of the lock layer | `tenure-lock` |
//! | R28 | timers and their jitter belong to the caller | `tenure-lock` |
//! | R32 | so do deletions by other programs | the tests of those stores |
//! | R33 | the signal of loss comes from a timer beside the store | `tenure-lock` |
//! | R34 | a pause is noticed by the clock of the paused process | `tenure-lock`, `tenure-cli` |
//! | R36 | the renewal task belongs to the guard | `tenure-lock` |
//! | R37 | so does its end | `tenure-lock` |
//! | R38 | when to give up retrying is decided by the trust window | `tenure-lock` |
//! | R40 | the longest hold is a limit of the guard | `tenure-lock` |
//! | R42 | which thread renews is the lock layer's choice | `tenure-lock` |
//! | R43 | moving a guard is a question of its type | `tenure-lock` |
//! | R44 | extending by hand is an operation of the guard | `tenure-lock` |
//! | R45 | dropping is an operation of the guard | `tenure-lock` |
//! | R46 | signals reach programs, not stores | `tenure-tasks`, `tenure-cli` |
//! | R66 | the checker of fences works where the data is | the checker's own tests |

mod actor;
mod cancel;
mod cases;
mod clock;
mod company;
mod fence;
mod force;
pub mod history;
mod name;
mod network;
mod ownership;
mod permit;
mod promise;
mod queue;
mod renewal;
mod request;
mod shared;
mod sharer;
mod torture;
mod view;
mod wake;

pub use self::cases::{NAMES, check};

/// Makes a test of each case of the lease suite.
///
/// The argument is an expression that makes a [`LeaseHarness`](crate::LeaseHarness); each test
/// evaluates it for itself, inside its runtime, so it may end in `.await`. The calling crate needs
/// `tenure-conformance` and `tokio` as dev-dependencies.
///
/// ```text
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
            $crate::lease::check(::core::stringify!($case), ::std::sync::Arc::new($harness)).await;
        }
    )*)* };
}
