//! Tasks that do one thing over and over for a while, and what that came to.

use std::time::Duration;

use tenure::core::{Clock as _, Moment, SystemClock};

use crate::place::Trouble;
use crate::statistics::{figure, percentile};

/// Does one pair: takes a key and gives it back.
pub(crate) trait Worker: Send + 'static {
    fn pair(&mut self) -> impl Future<Output = Result<(), Trouble>> + Send;
}

/// What one round came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    /// Milliseconds of this process's processor time for 100 000 pairs.
    pub(crate) cpu: f64,
}

/// Runs `tasks` workers for `span`.
pub(crate) async fn load<W: Worker>(
    tasks: usize,
    span: Duration,
    worker: impl Fn(usize) -> W,
) -> Result<Load, Trouble> {
    let workers: Vec<W> = (0..tasks).map(worker).collect();
    let (began, cpu) = (SystemClock.now(), processor_seconds());
    let end = began + span;
    let running: Vec<_> = workers
        .into_iter()
        .map(|worker| tokio::spawn(work(worker, end)))
        .collect();
    let mut pairs = 0;
    for one in running {
        pairs += one.await.map_err(Trouble::wrong)??;
    }
    let (took, cpu) = (SystemClock.now().since(began), processor_seconds() - cpu);
    let pairs = figure(pairs);
    Ok(Load {
        per_second: pairs / took.as_secs_f64(),
        cpu: cpu * 1e3 / pairs * 1e5,
    })
}

/// How many pairs one side does before the next has its turn: so many that what it needs lies near,
/// and so few that all sides meet the same machine.
const TURN: usize = 16;

/// Lets one task of each side take turns for `span`; each side's median time of a pair, in
/// microseconds.
///
/// One task is mostly waiting, and how long it takes to wake up depends on where the system has put
/// it and the server. All sides share that, because one task does the pairs of all.
pub(crate) async fn in_turns<W: Worker>(
    mut sides: Vec<W>,
    span: Duration,
    is_reversed: bool,
) -> Result<Vec<f64>, Trouble> {
    let turns = async move {
        let mut times = vec![Vec::with_capacity(4096); sides.len()];
        let end = SystemClock.now() + span;
        while SystemClock.now() < end {
            let mut both: Vec<_> = sides.iter_mut().zip(&mut times).collect();
            if is_reversed {
                both.reverse();
            }
            for (side, times) in both {
                let mut now = SystemClock.now();
                for _ in 0..TURN {
                    let began = now;
                    side.pair().await?;
                    now = SystemClock.now();
                    times.push(now.since(began).as_secs_f64() * 1e6);
                }
            }
        }
        Ok::<_, Trouble>(times)
    };
    let times = tokio::spawn(turns).await.map_err(Trouble::wrong)??;
    let medians = times
        .into_iter()
        .map(|mut times| percentile(&mut times, 50));
    Ok(medians.collect())
}

/// How many pairs a worker does until `end`.
async fn work<W: Worker>(mut worker: W, end: Moment) -> Result<usize, Trouble> {
    let mut pairs = 0;
    while SystemClock.now() < end {
        worker.pair().await?;
        pairs += 1;
    }
    Ok(pairs)
}

/// How much processor time this process has used.
pub(crate) fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, nanos).as_secs_f64()
}

/// The order of the sides in a round: whoever comes second in one comes first in the next.
pub(crate) fn order<const N: usize>(round: usize) -> [usize; N] {
    std::array::from_fn(|at| {
        if round.is_multiple_of(2) {
            at
        } else {
            N - 1 - at
        }
    })
}
