//! A key that goes from hand to hand: how long it is nobody's, who gets it, and what that costs.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tenure::core::{Clock as _, HolderId, Moment, SystemClock};
use tenure::{Locks, RedisStore};
use tenure_redis::bare::{self, BareLine};

use crate::Progress;
use crate::helper::{Done, Go, Job};
use crate::load::order;
use crate::place::{Place, Trouble};
use crate::process::Helping;
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::{figure, percentile};
use crate::workload::Workload;

const BARE: &str = "a bare hand-off script with the same pushes and no library";
/// How long each holder keeps the key.
const HOLD: Duration = Duration::from_millis(1);
const PROCESSES: usize = 16;
/// How many wait while requests are counted.
const COUNTED: usize = 200;

/// One time that somebody had the key, in nanoseconds of the steady clock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Turn {
    /// When the waiter could begin its work.
    got: u64,
    /// When it began to give the key back.
    gave: u64,
}

/// One side of the comparison.
#[derive(Clone)]
pub(crate) enum Line {
    Ours(Locks),
    Bare(BareLine),
}

impl Line {
    pub(crate) fn holder(&self) -> Option<HolderId> {
        match self {
            Self::Ours(locks) => Some(locks.holder().id),
            Self::Bare(_) => None,
        }
    }
}

/// Waits in line, holds, gives back, and again, until the time is over.
pub(crate) async fn take_turns(line: &mut Line, key: &str, go: &Go) -> Result<Vec<Turn>, Trouble> {
    let hold = Duration::from_micros(go.hold_us);
    let mut turns = Vec::with_capacity(1024);
    while nanos() < go.until_ns {
        let (got, gave);
        match line {
            Line::Ours(locks) => {
                let guard = locks.lock(key).acquire().await?;
                got = nanos();
                tokio::time::sleep(hold).await;
                gave = nanos();
                guard.release().await?;
            }
            Line::Bare(bare) => {
                let token = bare.acquire(key).await?;
                got = nanos();
                tokio::time::sleep(hold).await;
                gave = nanos();
                bare.release(key, &token).await?;
            }
        }
        turns.push(Turn { got, gave });
    }
    Ok(turns)
}

/// What a round of all waiters came to.
struct Round {
    /// Microseconds in which the key was nobody's.
    gaps: Vec<f64>,
    /// How many turns each waiter had.
    turns: Vec<usize>,
}

fn round_of(all: Vec<Vec<Turn>>) -> Round {
    let turns = all.iter().map(Vec::len).collect();
    let mut order: Vec<Turn> = all.into_iter().flatten().collect();
    order.sort_by_key(|turn| turn.got);
    let gaps = order
        .windows(2)
        .filter_map(|two| match two {
            // Signed: a holder that began before the last one ended would be a fault of the store.
            [last, next] => Some(microseconds(next.got) - microseconds(last.gave)),
            _ => None,
        })
        .collect();
    Round { gaps, turns }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "below 2^53 for a hundred days of uptime"
)]
fn microseconds(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn nanos() -> u64 {
    let since = SystemClock.now().since_origin().as_nanos();
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// Who waits: tasks of this process, or processes.
enum Waiters {
    Tasks { line: Line, count: usize },
    Processes(Vec<Helping>),
}

impl Waiters {
    async fn round(&mut self, key: &str, span: Duration) -> Result<Round, Trouble> {
        let until = SystemClock.now() + span;
        let go = || Go {
            until_ns: u64::try_from(until.since_origin().as_nanos()).unwrap_or(u64::MAX),
            hold_us: u64::try_from(HOLD.as_micros()).unwrap_or(u64::MAX),
        };
        let mut all = Vec::new();
        match self {
            Self::Tasks { line, count } => {
                let tasks: Vec<_> = (0..*count)
                    .map(|_| {
                        let (mut line, key, go) = (line.clone(), key.to_owned(), go());
                        tokio::spawn(async move { take_turns(&mut line, &key, &go).await })
                    })
                    .collect();
                for task in tasks {
                    all.push(task.await.map_err(Trouble::wrong)??);
                }
            }
            Self::Processes(helpers) => {
                for helper in &mut *helpers {
                    helper.tell(&go()).await?;
                }
                for helper in helpers {
                    all.push(helper.answer::<Done>().await?.turns);
                }
            }
        }
        let round = round_of(all);
        if round.gaps.iter().any(|gap| *gap < 0.0) {
            return Err(Trouble::wrong("two waiters had the key at the same time"));
        }
        Ok(round)
    }
}

/// What the rounds of one side came to.
#[derive(Default)]
struct Side {
    p50: Vec<f64>,
    p99: Vec<f64>,
    turns: BTreeMap<usize, usize>,
}

impl Side {
    fn add(&mut self, mut round: Round) {
        self.p50.push(percentile(&mut round.gaps, 50));
        self.p99.push(percentile(&mut round.gaps, 99));
        for (waiter, turns) in round.turns.into_iter().enumerate() {
            *self.turns.entry(waiter).or_default() += turns;
        }
    }
}

async fn compare(
    mut sides: [Option<(Waiters, String)>; 2],
    settings: &Settings,
) -> Result<[Side; 2], Trouble> {
    let mut results = [Side::default(), Side::default()];
    for round in 0..=settings.rounds {
        for at in order::<2>(round) {
            let (Some(Some((waiters, key))), Some(result)) =
                (sides.get_mut(at), results.get_mut(at))
            else {
                continue;
            };
            let span = if round == 0 {
                settings.span / 4
            } else {
                settings.span
            };
            let came_to = waiters.round(key, span).await?;
            // The first is not counted: it warms both sides up.
            if round > 0 {
                result.add(came_to);
            }
        }
    }
    Ok(results)
}

/// How many waiters the bars are for: fewer and more are told beside the same limit.
const BARRED: usize = 16;

fn add_times(report: &mut Report, count: usize, place: &str, [ours, limit]: &[Side; 2]) {
    let case = format!("{count} waiters, {place}");
    let row = |measure, ours: &[f64], limit: &[f64], most| {
        let row = Row::of_rounds(Workload::HandOff, &case, measure, Unit::Micros, ours);
        // Where there is nothing to compare with, there is no bar either.
        if limit.is_empty() {
            return row;
        }
        let row = row.beside(BARE, limit);
        if count == BARRED {
            row.bar(Bar::RatioAtMost(most))
        } else {
            row
        }
    };
    report.add(row("p50 of a hand-off", &ours.p50, &limit.p50, 1.3));
    report.add(row("p99 of a hand-off", &ours.p99, &limit.p99, 2.0));
}

pub(crate) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let (ours_key, bare_key) = (place.key("hand-off"), place.bare_key("bare-hand-off"));
    let bare = match place.options().filter(|_| place.has_bare_line()) {
        Some(options) => Some(BareLine::connect(options, &bare_key).await?),
        None => None,
    };
    let mut medians = Vec::new();
    for count in [2, 16, 200] {
        progress(&format!("hand-off among {count} waiters"));
        let line = Line::Ours(place.tenure.locks());
        let ours = (Waiters::Tasks { line, count }, ours_key.clone());
        let limit = bare.clone().map(|bare| {
            let line = Line::Bare(bare);
            (Waiters::Tasks { line, count }, bare_key.clone())
        });
        let sides = compare([Some(ours), limit], settings).await?;
        add_times(report, count, "one process", &sides);
        let [ours, _] = &sides;
        medians.push(sides.each_ref().map(|side| median(&side.p50)));
        if count == BARRED {
            add_fairness(report, ours);
        }
    }
    add_growth(report, &medians);
    in_processes(place, settings, report, progress).await
}

/// How much longer a hand-off takes among the most waiters than among the fewest. Those two were
/// not measured in turn, so what the machine did between them is in both figures; the bare hand-off
/// was measured in turn with each.
fn add_growth(report: &mut Report, medians: &[[f64; 2]]) {
    let [[ours_of_few, bare_of_few], .., [ours_of_many, bare_of_many]] = medians else {
        return;
    };
    let ours = ours_of_many / ours_of_few.max(f64::MIN_POSITIVE);
    let bare = bare_of_many / bare_of_few.max(f64::MIN_POSITIVE);
    let row = Row::new(
        Workload::HandOff,
        "200 over 2 waiters",
        "p50",
        Unit::Times,
        ours,
    );
    report.add(if bare > 0.0 {
        row.beside(BARE, &[bare]).bar(Bar::RatioAtMost(1.3))
    } else {
        row.bar(Bar::AtMost(1.3))
    });
}

fn median(rounds: &[f64]) -> f64 {
    percentile(&mut rounds.to_vec(), 50)
}

fn add_fairness(report: &mut Report, side: &Side) {
    let most = side.turns.values().max().copied().unwrap_or_default();
    let fewest = side.turns.values().min().copied().unwrap_or_default();
    let uneven = figure(most) / figure(fewest.max(1));
    report.add(
        Row::new(
            Workload::HandOff,
            "16 waiters, one process",
            "most over fewest turns",
            Unit::Times,
            uneven,
        )
        .beside("everybody as often", &[1.0])
        .bar(Bar::AtMost(1.1)),
    );
}

async fn in_processes(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let Some(helper) = settings.helper.as_ref().filter(|_| place.is_shared()) else {
        let why = "hand-off among processes needs a store that processes share";
        report.skip(Workload::HandOff, why);
        return Ok(());
    };
    progress("starting 16 processes for each side");
    let mut sides = [None, None];
    for (is_bare, side) in sides.iter_mut().enumerate() {
        let is_bare = is_bare == 1;
        if is_bare && !place.has_bare_line() {
            continue;
        }
        let key = if is_bare {
            place.bare_key("bare-processes")
        } else {
            place.key("processes")
        };
        let job = Job::Line {
            url: place.url.clone(),
            key: key.clone(),
            is_bare,
        };
        let started = join_all((0..PROCESSES).map(|_| Helping::start(helper, &job))).await;
        let helpers = started.into_iter().collect::<Result<Vec<_>, _>>()?;
        for holder in helpers.iter().filter_map(|helper| helper.holder) {
            place.met(holder);
        }
        *side = Some((Waiters::Processes(helpers), key));
    }
    progress("hand-off among 16 processes");
    let sides = compare(sides, settings).await?;
    add_times(report, PROCESSES, "16 processes", &sides);
    Ok(())
}

/// Counts what the server is asked while a queue that is there already moves up to its end.
pub(crate) async fn commands(
    place: &Place,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    progress("requests of a hand-off");
    let Some(redis) = place.redis() else {
        return Ok(());
    };
    if let Err(error) = bare::scripts_run(&redis.store).await {
        let why = format!("the server's statistics cannot be read: {error}");
        report.skip(Workload::Commands, why);
        return Ok(());
    }
    // The first queue is not counted: with it every script comes to the server.
    one_queue(place, &redis.store, 10).await?;
    let scripts = one_queue(place, &redis.store, COUNTED).await?;
    report.add(
        Row::new(
            Workload::Commands,
            format!("{COUNTED} waiters"),
            "requests of a hand-off",
            Unit::Count,
            scripts,
        )
        .beside("the release alone", &[1.0])
        .bar(Bar::AtMost(2.0)),
    );
    Ok(())
}

/// How many scripts each of so many hand-offs took.
async fn one_queue(place: &Place, store: &RedisStore, count: usize) -> Result<f64, Trouble> {
    let locks = place.tenure.locks();
    let key = place.key("commands");
    let first = locks.lock(&key).acquire().await?;
    let waiters: Vec<_> = (0..count)
        .map(|_| {
            let lock = locks.lock(&key);
            tokio::spawn(async move {
                let guard = lock.acquire().await?;
                tokio::time::sleep(HOLD).await;
                guard.release().await?;
                Ok::<_, Trouble>(())
            })
        })
        .collect();
    until_queued(&locks, &key, count).await?;
    let before = bare::scripts_run(store).await?;
    first.release().await?;
    for waiter in waiters {
        waiter.await.map_err(Trouble::wrong)??;
    }
    let after = bare::scripts_run(store).await?;
    // The release of the last in line hands nothing on.
    let counted = after.saturating_sub(before).saturating_sub(1);
    Ok(figure(usize::try_from(counted).unwrap_or(usize::MAX)) / figure(count))
}

/// Waits until so many stand in line.
pub(crate) async fn until_queued(locks: &Locks, key: &str, many: usize) -> Result<(), Trouble> {
    let end: Moment = SystemClock.now() + Duration::from_secs(30);
    loop {
        let view = locks.inspect(key).await.map_err(Trouble::wrong)?;
        let length = view.map_or(0, |view| view.queue_len);
        if usize::try_from(length).is_ok_and(|length| length >= many) {
            return Ok(());
        }
        if SystemClock.now() > end {
            return Err(Trouble::wrong(format_args!(
                "{length} of {many} waiters stood in line after 30 s"
            )));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_between_the_end_of_one_turn_and_the_begin_of_the_next() {
        let turn = |got, gave| Turn { got, gave };
        let round = round_of(vec![
            vec![turn(1_000, 2_000), turn(9_000, 10_000)],
            vec![turn(2_500, 8_000)],
        ]);
        assert_eq!(round.turns, [2, 1]);
        let rounded: Vec<i64> = [500, 1000].to_vec();
        #[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
        let gaps: Vec<i64> = round
            .gaps
            .iter()
            .map(|gap| (gap * 1e3).round() as i64)
            .collect();
        assert_eq!(gaps, rounded);
    }
}
