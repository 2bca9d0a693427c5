//! N nodes and M tasks that are all due at one tick: who claims how much, and what that costs the
//! server.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tenure::core::{Clock as _, SystemClock, Timestamp};
use tenure_redis::bare;

use super::nodes::{Node, Starts, due_in, until};
use crate::Progress;
use crate::place::{Place, Redis, Trouble, in_namespace};
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::{figure, percentile};
use crate::workload::Workload;

/// How many runs one call claims or looks for.
const CHUNK: usize = 256;
/// By then every node has heard of every other.
const MEET: Duration = Duration::from_millis(3_500);
/// By then the last nodes have looked for what is left of the tick.
const LAST_LOOK: Duration = Duration::from_millis(6_500);

pub(super) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let Some(redis) = place.redis() else {
        return Ok(());
    };
    let (nodes, tasks): (&[usize], &[usize]) = if settings.is_quick {
        (&[1, 3], &[1, 100])
    } else {
        (&[1, 3, 10, 50], &[1, 100, 10_000])
    };
    for n in nodes {
        for m in tasks {
            progress(&format!("one tick, {n} nodes, {m} tasks"));
            let name = place.namespace(format_args!("{n}x{m}"));
            one(redis, &name, *n, *m, report).await?;
            bare::remove(&redis.store, &[format!("tenure:{{{name}}}")], &[]).await?;
        }
    }
    Ok(())
}

async fn one(
    redis: &Redis,
    name: &str,
    n: usize,
    m: usize,
    report: &mut Report,
) -> Result<(), Trouble> {
    let (nodes, starts, due_at) = gather(redis, name, n, m).await?;
    until(due_at - Duration::from_millis(300)).await;
    let before = Seen::now(redis, &nodes).await?;
    starts.reach(m, Duration::from_secs(60)).await;
    let last_look = if n > 3 {
        LAST_LOOK
    } else {
        Duration::from_secs(1)
    };
    until(due_at + last_look).await;
    let after = Seen::now(redis, &nodes).await?;
    let wins: usize = nodes.iter().map(|node| node.counted(|c| &c.wins)).sum();
    let trips = after.trips.iter().zip(&before.trips);
    let trips = trips
        .map(|(after, before)| after - before)
        .max()
        .unwrap_or(0);
    let case = format!("{n} nodes × {m} tasks");
    let row = |measure, unit, value| Row::new(Workload::Tick, case.as_str(), measure, unit, value);
    report.add(row("wins", Unit::Count, figure(wins)).exactly(m));
    report.add(row("runs", Unit::Count, figure(starts.count())).exactly(m));
    let most = Bar::AtMost(figure((m * 12).div_ceil(10)));
    report.add(row("claim keys", Unit::Count, figure(after.keys - before.keys)).bar(most));
    let most = Bar::AtMost(figure(2 * m.div_ceil(CHUNK)));
    report.add(row("round trips, most of a node", Unit::Count, figure(trips)).bar(most));
    report.add(row(
        "scripts",
        Unit::Count,
        per(after.scripts - before.scripts, 1),
    ));
    let commands = per(after.commands - before.commands, m);
    report.add(row("commands a run", Unit::Count, commands));
    if m >= n {
        let runs = || nodes.iter().map(Node::runs);
        let fewest = runs().min().unwrap_or(0).max(1);
        let ratio = figure(runs().max().unwrap_or(0)) / figure(fewest);
        report.add(row("most runs over fewest", Unit::Times, ratio).bar(Bar::AtMost(1.3)));
    }
    let mut late = starts.all();
    for (measure, percent) in [("late, p50", 50), ("late, last", 100)] {
        report.add(row(measure, Unit::Millis, percentile(&mut late, percent)));
    }
    leave(nodes).await;
    Ok(())
}

/// Nodes that have met, what they will write down, and when all their tasks are due.
async fn gather(
    redis: &Redis,
    name: &str,
    n: usize,
    m: usize,
) -> Result<(Vec<Node>, Starts, Timestamp), Trouble> {
    // Registering takes its time; if it takes more, it is tried again with more.
    let mut lead = MEET + Duration::from_micros(150) * u32::try_from(n * m).unwrap_or(u32::MAX);
    loop {
        let starts = Starts::default();
        let (due_at, schedule) = due_in(lead);
        let mut nodes = Vec::with_capacity(n);
        for _ in 0..n {
            let store = Arc::new(in_namespace(redis, name).await?);
            nodes.push(Node::start(store, &schedule, m, &starts).await?);
        }
        if SystemClock.wall() + Duration::from_millis(2_200) < due_at {
            return Ok((nodes, starts, due_at));
        }
        leave(nodes).await;
        lead *= 3;
    }
}

/// What was asked so far, by the nodes' counts and by the server's.
struct Seen {
    keys: usize,
    trips: Vec<usize>,
    scripts: u64,
    commands: u64,
}

impl Seen {
    async fn now(redis: &Redis, nodes: &[Node]) -> Result<Self, Trouble> {
        Ok(Self {
            keys: nodes.iter().map(|node| node.counted(|c| &c.keys)).sum(),
            trips: nodes
                .iter()
                .map(|node| node.counted(|c| &c.trips))
                .collect(),
            scripts: bare::scripts_run(&redis.store).await?,
            commands: bare::commands_run(&redis.store).await?,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn per(count: u64, of: usize) -> f64 {
    count as f64 / figure(of)
}

async fn leave(nodes: Vec<Node>) {
    join_all(
        nodes
            .iter()
            .map(|node| node.tasks.drain(Duration::from_secs(5))),
    )
    .await;
}
