//! Many leases that are held: what keeping them costs.

use futures_util::stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tenure::Guard;
use tenure::core::{Clock as _, SystemClock};
use tenure_redis::bare;

use crate::Progress;
use crate::load::processor_seconds;
use crate::place::{Place, Trouble};
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::figure;
use crate::workload::Workload;

/// How many leases one request renews, at the most.
const COMPANY: usize = 256;

/// What the servers say of themselves, where they do.
#[derive(Clone, Copy)]
struct Server {
    scripts: u64,
    seconds: f64,
}

async fn server(place: &Place) -> Option<Server> {
    let store = &place.redis()?.store;
    Some(Server {
        scripts: bare::scripts_run(store).await.ok()?,
        seconds: bare::server_seconds(store).await.ok()?,
    })
}

pub(crate) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    progress(&format!("taking {} leases", settings.leases));
    let locks = place.tenure.locks();
    let guards: Vec<Guard> = stream::iter(0..settings.leases)
        .map(|lease| {
            let lock = locks.lock(place.key(format_args!("lease/{lease}")));
            let lock = lock.ttl(settings.ttl);
            async move { lock.acquire().await }
        })
        .buffer_unordered(128)
        .try_collect()
        .await?;
    // Two whole periods before the watch begins, so that it sees nothing of the beginning.
    progress(&format!("{} leases settle", settings.leases));
    tokio::time::sleep(settings.ttl * 2 / 3).await;
    let (began, cpu, told) = (SystemClock.now(), processor_seconds(), server(place).await);
    progress(&format!("{} leases are kept", settings.leases));
    tokio::time::sleep(settings.watch).await;
    let took = SystemClock.now().since(began).as_secs_f64();
    let cpu = processor_seconds() - cpu;
    let told = told.zip(server(place).await);
    if guards.iter().any(|guard| !guard.is_trusted()) {
        return Err(Trouble::wrong("a lease was lost while it was renewed"));
    }
    progress(&format!("giving {} leases back", settings.leases));
    stream::iter(guards)
        .map(Guard::release)
        .buffer_unordered(128)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let case = format!(
        "{} leases, ttl {} s",
        settings.leases,
        settings.ttl.as_secs()
    );
    let row = |measure, unit, value| Row::new(Workload::Renewal, &case, measure, unit, value);
    report.add(row("client CPU", Unit::PercentOfCore, cpu / took * 100.0).bar(Bar::AtMost(0.5)));
    if let Some((before, after)) = told {
        let scripts = after.scripts.saturating_sub(before.scripts);
        let scripts = figure(usize::try_from(scripts).unwrap_or(usize::MAX)) / took;
        let period = settings.ttl.as_secs_f64() / 3.0;
        let least = figure(settings.leases.div_ceil(COMPANY)) / period;
        report.add(
            row("renewal requests", Unit::PerSecond, scripts)
                .beside("full requests, once a third of the ttl", &[least]),
        );
        let server = (after.seconds - before.seconds) / took * 100.0;
        report.add(row("server CPU", Unit::PercentOfCore, server));
    }
    Ok(())
}
