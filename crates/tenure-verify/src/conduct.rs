//! Leads a run: starts the clients, does them harm, hears what they did, and has it judged.

mod crew;
mod ledger;
mod session;

use std::io::Write;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tenure::core::{Clock as _, Fences, SystemClock};
use tenure_bench::place::Place;
use tenure_bench::{Helper, Trouble};

use self::crew::Crew;
use self::ledger::Ledger;
use self::session::{LOOK, Session};
use crate::client::TASKS;
use crate::faults::Faults;
use crate::history::Head;
use crate::judge::Verdict;
use crate::proxy::way_through;

/// How a store is put to the test.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// How many processes there are at a time.
    pub clients: usize,
    /// For how long they are harmed.
    pub span: Duration,
    /// How long a lease lasts.
    pub ttl: Duration,
    /// From which everything is drawn.
    pub seed: u64,
    /// How a client is started: a program that calls [`crate::serve`].
    pub helper: Helper,
}

impl Settings {
    /// Eight clients for five minutes, with leases of a second.
    #[must_use]
    pub fn new(program: PathBuf, argument: impl Into<std::ffi::OsString>) -> Self {
        Self {
            clients: 8,
            span: Duration::from_secs(300),
            ttl: Duration::from_secs(1),
            seed: fastrand::u64(..),
            helper: Helper {
                program,
                argument: argument.into(),
            },
        }
    }
}

/// Where a history is written.
pub type History = Box<dyn Write + Send>;

/// How far a run is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Stage<'s> {
    /// What is done.
    pub doing: &'s str,
    /// For how long clients have been harmed.
    pub elapsed: Duration,
    /// What was seen so far.
    pub seen: Option<&'s Verdict>,
}

/// To whom it is told how far a run is.
type Progress<'a> = &'a (dyn Fn(Stage<'_>) + Send + Sync);

/// Puts the store that `url` names to the test, and tells what was seen.
///
/// Every record is also written to `history`, in order, for [`crate::recheck`]. How far the run is
/// is told to `progress`. When `stop` resolves the run ends early, without a verdict.
///
/// # Errors
/// [`Trouble`]: the store cannot be opened, is no store of several processes, or a client ended by
/// itself. What was written is removed then too, if the store still answers.
pub async fn run(
    url: &str,
    settings: &Settings,
    history: Option<History>,
    progress: &(dyn Fn(Stage<'_>) + Send + Sync),
    stop: impl Future<Output = ()>,
) -> Result<(Head, Verdict), Trouble> {
    say(progress, "connecting");
    let mut stop = pin!(stop);
    let place = tokio::select! {
        place = Place::open(url, "verify") => place?,
        () = &mut stop => return Err(Trouble::Interrupted),
    };
    if !place.is_shared() {
        let why = "a store in memory lives in one process; name one that several processes reach";
        let why = why.to_owned();
        return Err(Trouble::Unfit { why });
    }
    let conducted = {
        tokio::select! {
            conducted = conduct(&place, settings, history, progress) => conducted,
            () = &mut stop => Err(Trouble::Interrupted),
        }
    };
    say(progress, "removing what was written");
    let removed = place.remove().await;
    conducted.and_then(|verdict| removed.map(|()| verdict))
}

fn say(progress: Progress<'_>, doing: &str) {
    let (elapsed, seen) = (Duration::ZERO, None);
    progress(Stage {
        doing,
        elapsed,
        seen,
    });
}

async fn conduct(
    place: &Place,
    settings: &Settings,
    history: Option<History>,
    progress: Progress<'_>,
) -> Result<(Head, Verdict), Trouble> {
    let mut address = place.address();
    let (proxy, network) = match way_through(&address.url).await {
        Ok((proxy, url)) => {
            address.url = url;
            (Some(proxy), Ok(()))
        }
        Err(why) => (None, Err(why)),
    };
    let mut chance = fastrand::Rng::with_seed(settings.seed);
    let locks = (settings.clients / 2).max(1);
    let keys = (0..locks).map(|lock| place.key(lock)).collect();
    let head = head_of(place, settings, locks, network).await;
    let faults = Faults::new(
        chance.fork(),
        settings.clients,
        settings.ttl,
        proxy.is_some(),
    );
    let mut session = Session {
        place,
        ledger: Ledger::new(&head, history)?,
        crew: Crew::new(settings, address, keys, place.keeps_runs(), chance),
        proxy,
        faults,
        silenced: None,
    };
    say(progress, "starting clients");
    for client in 0..settings.clients {
        session.begin(client);
    }
    while !session.crew.is_ready() {
        session.hear_until(SystemClock.now() + LOOK).await?;
    }
    let mut first = None;
    if place.keeps_runs() {
        first = Some(session.until_registered().await?);
    }
    session.harm(settings.span, progress).await?;
    say(progress, "letting everything come back");
    session.heal()?;
    let mut due = Vec::new();
    if let Some(first) = first {
        due = session.settle(first).await?;
    }
    say(progress, "ending clients");
    session.farewell().await?;
    say(progress, "reading the records of runs");
    session.read_records(&due).await?;
    Ok((head, session.ledger.finish()?))
}

async fn head_of(
    place: &Place,
    settings: &Settings,
    locks: usize,
    network: Result<(), String>,
) -> Head {
    let fences = place.tenure().leases().promises().fences;
    let tasks: Vec<_> = TASKS.iter().filter(|_| place.keeps_runs()).collect();
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Head {
        tenure: env!("CARGO_PKG_VERSION").to_owned(),
        store: place.version().await,
        seed: settings.seed,
        clients: settings.clients,
        span_ms: millis(settings.span),
        ttl_ms: millis(settings.ttl),
        locks,
        is_fenced: fences != Fences::None,
        tasks: tasks
            .iter()
            .map(|task| (task.0.to_owned(), task.1))
            .collect(),
        repeated: tasks
            .iter()
            .filter(|task| task.2)
            .map(|task| task.0.to_owned())
            .collect(),
        network,
    }
}
