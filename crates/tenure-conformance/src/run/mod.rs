//! The run suite: what every [`tenure_core::RunStore`] must show.
//!
//! [`run_suite!`](crate::run_suite) makes one test of each case. The name of a case begins with the
//! requirements it proves (`s…` of the scheduling protocol). Requirements that a store alone
//! cannot show stand in [`SHOWN_ELSEWHERE`] with the reason; a test checks that none is in neither
//! place.

mod actor;
mod asked;
mod batch;
mod cancel;
mod cases;
mod claim;
mod control;
mod definition;
mod deploy;
mod elsewhere;
mod life;
mod limit;
mod loss;
mod node;
mod overlap;
mod queue;
mod reading;
mod recovery;
mod window;

pub use self::cases::{NAMES, check};
pub use self::elsewhere::SHOWN_ELSEWHERE;

/// Makes a test of each case of the run suite.
///
/// The argument is an expression that makes a [`RunHarness`](crate::RunHarness); each test
/// evaluates it for itself, inside its runtime, so it may end in `.await`. The calling crate needs
/// `tenure-conformance` and `tokio` as dev-dependencies.
///
/// ```text
/// tenure_conformance::run_suite!(harness::Mine::new());
/// ```
#[macro_export]
macro_rules! run_suite {
    ($harness:expr $(,)?) => {
        $crate::__run_cases! { $crate::__run_tests, [$harness] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __run_tests {
    ([$harness:expr] $($group:ident { $($case:ident)* })*) => { $($(
        #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::run::check(::core::stringify!($case), ::std::sync::Arc::new($harness)).await;
        }
    )*)* };
}
