//! Waits for a condition, with a limit. The one place of this crate that sleeps.

use std::time::Duration;

/// Between two looks. Servers start in about twenty milliseconds, so this costs a tenth of that.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks again and again until there is an answer, and returns it.
///
/// # Panics
/// If there is none within `limit`; the message says `what` was awaited.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = tokio::time::timeout(limit, async {
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
    let Ok(answer) = answer.await else {
        panic!("after {limit:?} still not so: {what}");
    };
    answer
}
