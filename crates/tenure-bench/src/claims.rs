//! Ticks of many tasks that are due at once, claimed in batches.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tenure::core::{
    Beat, ClaimAnswer, ClaimBatch, ClaimItem, Clock as _, Definition, Finish, Generation, Holder,
    Outcome, RunStore, SystemClock, TaskName, Timestamp,
};
use tenure_redis::bare::{self, BareClaims};

use crate::Progress;
use crate::load::order;
use crate::place::{Place, Trouble, in_namespace};
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::figure;
use crate::workload::Workload;

const BARE: &str = "one bare script a batch that makes the same writes";
const BATCH: usize = 256;

pub(crate) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    for at_once in [1, 4] {
        let (mut ours, mut limit) = (Vec::new(), Vec::new());
        for round in 0..settings.rounds {
            progress(&format!(
                "claims, {at_once} batches at once, round {} of {}",
                round + 1,
                settings.rounds
            ));
            let name = place.namespace(format_args!("{at_once}-{round}"));
            for side in order::<2>(round) {
                if side == 0 {
                    ours.push(claim(place, &name, settings.claims, at_once).await?);
                } else if let Some(rate) = write(place, &name, settings.claims, at_once).await? {
                    limit.push(rate);
                }
            }
        }
        let case = format!(
            "{} pairs, batches of {BATCH}, {at_once} at once",
            settings.claims
        );
        report.add(
            Row::of_rounds(Workload::Claims, case, "claims", Unit::PerSecond, &ours)
                .beside(BARE, &limit)
                .bar(Bar::RatioAtLeast(0.7)),
        );
    }
    Ok(())
}

fn names(prefix: &str, count: usize) -> Result<Vec<TaskName>, Trouble> {
    (0..count)
        .map(|number| TaskName::new(format!("{prefix}{number:05}")).map_err(Trouble::wrong))
        .collect()
}

/// Claims a second of the second tick of tasks that nobody claimed before.
async fn claim(place: &Place, name: &str, count: usize, at_once: usize) -> Result<f64, Trouble> {
    let (store, tasks): (Arc<dyn RunStore>, _) = match place.redis() {
        Some(redis) => {
            let store = in_namespace(redis, name).await?;
            (Arc::new(store), names("task-", count)?)
        }
        None => (place.tenure.runs(), names(&format!("{name}-"), count)?),
    };
    let node = Holder::new("tenure bench");
    let beat = Beat::new(node.clone(), Duration::from_secs(600));
    store.beat(&beat).await?;
    let generation = Generation::new("0123456789abcdef").map_err(Trouble::wrong)?;
    for some in tasks.chunks(BATCH) {
        let definitions: Vec<_> = some
            .iter()
            .map(|task| Definition::new(task.clone(), generation.clone(), "* * * * *"))
            .collect();
        store.register(node.id, &definitions).await?;
    }
    let now = store.now().await?.now;
    let round = Round {
        store: &*store,
        node: &node,
        generation: &generation,
        tasks: &tasks,
        at_once,
    };
    round.tick(now - Duration::from_secs(60)).await?;
    let seconds = round.tick(now).await?;
    store.leave(node.id).await?;
    if let Some(redis) = place.redis() {
        bare::remove(&redis.store, &[format!("tenure:{{{name}}}")], &[]).await?;
    }
    Ok(figure(tasks.len()) / seconds)
}

struct Round<'a> {
    store: &'a dyn RunStore,
    node: &'a Holder,
    generation: &'a Generation,
    tasks: &'a [TaskName],
    at_once: usize,
}

impl Round<'_> {
    /// Claims and finishes one tick of all tasks. Seconds that the claims took.
    async fn tick(&self, tick: Timestamp) -> Result<f64, Trouble> {
        let item = |task: &TaskName| ClaimItem::new(task.clone(), tick, 1, self.generation.clone());
        let batches: Vec<ClaimBatch> = self
            .tasks
            .chunks(BATCH)
            .map(|some| ClaimBatch::new(self.node.id, some.iter().map(item).collect()))
            .collect();
        let began = SystemClock.now();
        let replies: Vec<_> = stream::iter(&batches)
            .map(|batch| self.store.claim(batch))
            .buffered(self.at_once)
            .collect()
            .await;
        let seconds = SystemClock.now().since(began).as_secs_f64();
        for reply in replies {
            let mut ends = Vec::with_capacity(BATCH);
            for answer in reply?.answers {
                match answer {
                    ClaimAnswer::Won(claim) => {
                        ends.push(Finish::new(claim.run, Outcome::Succeeded));
                    }
                    other => {
                        return Err(Trouble::wrong(format_args!("not claimed: {other:?}")));
                    }
                }
            }
            self.store.finish(&ends).await?;
        }
        Ok(seconds)
    }
}

/// The same writes a second, without a question asked. `None` where nobody knows how.
async fn write(
    place: &Place,
    name: &str,
    count: usize,
    at_once: usize,
) -> Result<Option<f64>, Trouble> {
    let Some(redis) = place.redis() else {
        return Ok(None);
    };
    let name = format!("{name}-bare");
    let bare = BareClaims::connect(&redis.options, &name).await?;
    let tasks = names("task-", count)?;
    bare.write(&tasks, 1_700_000_000_000, BATCH, at_once)
        .await?;
    // Finished runs are in hand no more.
    bare.forget_slots().await?;
    let began = SystemClock.now();
    bare.write(&tasks, 1_700_000_060_000, BATCH, at_once)
        .await?;
    let seconds = SystemClock.now().since(began).as_secs_f64();
    bare::remove(&redis.store, &[format!("tenure:{{{name}}}")], &[]).await?;
    Ok(Some(figure(tasks.len()) / seconds))
}
