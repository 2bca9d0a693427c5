//! A process that takes locks and runs tasks as a service does, and writes down what it sees.
//!
//! It knows nothing of the faults it suffers. What it writes leaves the process before the step
//! that follows, so that a death takes nothing of it along.

mod locks;
mod pulse;
mod runs;

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tenure::core::{Clock as _, Moment, SystemClock};
use tenure_bench::Trouble;
use tenure_bench::place::Address;
use tenure_bench::process::{Orders, Ready, say};
use tokio::sync::watch;

use self::pulse::Pulse;
pub(crate) use self::runs::NODE_TTL;
use crate::history::{Record, Step};

/// How long a client tries to reach the store when it begins.
const REACH: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);
/// How long runs may take when a client is told to end.
const DRAIN: Duration = Duration::from_secs(15);
/// Wishes for locks at a time.
const HANDS: u64 = 3;

/// What a client is told to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// What it writes of itself.
    pub(crate) name: String,
    pub(crate) address: Address,
    /// The names of the locks.
    pub(crate) keys: Vec<String>,
    pub(crate) ttl_ms: u64,
    pub(crate) seed: u64,
    /// Whether it runs tasks.
    pub(crate) has_tasks: bool,
}

/// The tasks: their name, how many runs a tick has, and whether a run may be repeated.
pub(crate) const TASKS: [(&str, u32, bool); 3] =
    [("once", 1, false), ("pair", 2, false), ("again", 1, true)];

/// How often a run that may be repeated is attempted at most.
pub(crate) const ATTEMPTS: u32 = 3;

/// The client's last word.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Farewell {
    pub(crate) farewell: bool,
}

/// Serves a run of another process, until that closes standard input or says that it is enough.
///
/// # Errors
/// [`Trouble`] if the store cannot be reached, or what is read is no job.
pub async fn serve() -> Result<(), Trouble> {
    end_with_the_starter();
    let mut orders = Orders::default();
    let Some(job) = orders.next::<Job>().await? else {
        return Ok(());
    };
    let Some(tenure) = begun(&mut orders, async || job.address.connect().await).await? else {
        return Ok(());
    };
    let tenure = tenure.labelled(&job.name);
    say(&Ready::as_holder(Some(tenure.holder().id))).await?;
    let book = Arc::new(Book::of(&job.name));
    let pulse = Pulse::start(book.clone());
    let (enough, is_enough) = watch::channel(false);
    let mut chance = fastrand::Rng::with_seed(job.seed);
    let mut hands = tokio::task::JoinSet::new();
    for hand in 0..HANDS {
        let worker = locks::Worker::new(&tenure, &job, hand, &book, &pulse, chance.fork());
        hands.spawn(worker.work(is_enough.clone()));
    }
    let mut tasks = None;
    if job.has_tasks {
        tasks = begun(&mut orders, async || runs::start(&job, &book).await).await?;
        if tasks.is_none() {
            return Ok(());
        }
    }
    // Whatever is said, or that nobody is there any more: it is enough.
    let told: Option<Farewell> = orders.next().await?;
    if told.is_none() {
        return Ok(());
    }
    let _ = enough.send(true);
    if let Some(tasks) = &tasks {
        tasks.drain(DRAIN).await;
    }
    while hands.join_next().await.is_some() {}
    tenure.locks().settled().await;
    say(&Farewell { farewell: true }).await
}

/// A client that stands still when its starter dies would stand for ever.
fn end_with_the_starter() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
}

/// Tries for a while: the network may be disturbed as a client begins. `None` if whoever started it
/// is gone meanwhile.
async fn begun<T>(
    orders: &mut Orders,
    attempt: impl AsyncFn() -> Result<T, Trouble>,
) -> Result<Option<T>, Trouble> {
    let began = SystemClock.now();
    loop {
        let outcome = tokio::select! {
            outcome = attempt() => outcome,
            _ = orders.next::<Farewell>() => return Ok(None),
        };
        match outcome {
            Err(_) if SystemClock.now().since(began) < REACH => tokio::time::sleep(AGAIN).await,
            outcome => return outcome.map(Some),
        }
    }
}

/// Where a client writes down what it does.
#[derive(Debug)]
pub(crate) struct Book {
    name: String,
    /// One writes at a time, and looks at the clock while it does: so records are in order.
    pen: Mutex<()>,
}

impl Book {
    fn of(name: &str) -> Self {
        let name = name.to_owned();
        Self {
            name,
            pen: Mutex::new(()),
        }
    }

    /// Writes down what happens now; tells when that was.
    pub(crate) fn note(&self, step: Step) -> u64 {
        let pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
        let t = now();
        let record = Record::new(t, self.name.as_str(), step);
        let mut line = serde_json::to_string(&record).unwrap_or_default();
        line.push('\n');
        // Whoever reads is gone only if this process is to go as well.
        if std::io::stdout().write_all(line.as_bytes()).is_err() {
            std::process::exit(0);
        }
        drop(pen);
        t
    }
}

/// Nanoseconds of the steady clock.
pub(crate) fn now() -> u64 {
    nanos(SystemClock.now())
}

pub(crate) fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.since_origin().as_nanos()).unwrap_or(u64::MAX)
}
