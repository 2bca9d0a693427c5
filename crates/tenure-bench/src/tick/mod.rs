//! Ticks as the scheduler runs them: nodes, tasks and code, from the nominal tick to the start.
//!
//! Each part has a file. What is counted, runs, claims and round trips, does not depend on the
//! machine; what is timed does, and stands beside a question to the same store in the same minute.

mod burst;
mod cluster;
#[cfg(feature = "crons")]
mod crons;
mod death;
mod next;
mod nodes;
mod schedules;
mod start;
mod watched;

use std::sync::Arc;

use tenure::MemoryStore;
use tenure::core::RunStore;
use tenure_redis::bare;

use crate::Progress;
use crate::place::{Place, Trouble, in_namespace};
use crate::report::Report;
use crate::settings::Settings;

pub(crate) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    if !place.is_shared() {
        // First, because memory that was used before is used again, and would not be seen.
        schedules::run(settings, report, progress).await?;
        progress("the next tick of a schedule");
        next::run(report)?;
    }
    start::run(place, settings, report, progress).await?;
    burst::run(place, settings, report, progress).await?;
    #[cfg(feature = "crons")]
    crons::run(settings, report, progress).await?;
    death::run(place, settings, report, progress).await?;
    cluster::run(place, settings, report, progress).await
}

/// A store of runs under a name of its own, and that name.
async fn store(place: &Place, what: &str) -> Result<(Arc<dyn RunStore>, String), Trouble> {
    let name = place.namespace(what);
    let store: Arc<dyn RunStore> = match place.redis() {
        Some(redis) => Arc::new(in_namespace(redis, &name).await?),
        None if place.is_shared() => place.beside(&name).await?,
        None => Arc::new(MemoryStore::new()),
    };
    Ok((store, name))
}

/// Removes what was written under such a name.
async fn forget(place: &Place, name: &str) -> Result<(), Trouble> {
    if let Some(redis) = place.redis() {
        bare::remove(&redis.store, &[format!("tenure:{{{name}}}")], &[]).await?;
    }
    Ok(())
}
