//! A holder that is killed: how long after the end of its lease the next one runs.

use std::time::Duration;

use tenure::core::{Clock as _, Moment, SystemClock};

use crate::Progress;
use crate::hand_off::until_queued;
use crate::helper::Job;
use crate::place::{Place, Trouble};
use crate::process::Helping;
use crate::report::{Bar, Report, Row, Unit};
use crate::settings::Settings;
use crate::statistics::{figure, percentile};
use crate::workload::Workload;

const TTL: Duration = Duration::from_secs(1);
/// How often the store is asked when the lease ends, to learn it to a fraction of a millisecond.
const LOOKS: usize = 20;

pub(crate) async fn run(
    place: &Place,
    settings: &Settings,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<(), Trouble> {
    let mut late = Vec::with_capacity(settings.kills);
    for kill in 0..settings.kills {
        progress(&format!(
            "holder {} of {} is killed",
            kill + 1,
            settings.kills
        ));
        late.push(one(place, settings, kill).await?);
    }
    let case = format!("ttl 1 s, {} times", settings.kills);
    let mut row = |measure, percent, most| {
        let value = percentile(&mut late, percent);
        report.add(
            Row::new(Workload::Crash, &case, measure, Unit::Millis, value).bar(Bar::AtMost(most)),
        );
    };
    row("median past the end of the lease", 50, 3.0);
    row("worst past the end of the lease", 100, 20.0);
    Ok(())
}

/// One kill. Milliseconds from the end of the lease until the waiter could begin its work; below
/// zero is not possible but for the store's rounding to milliseconds.
async fn one(place: &Place, settings: &Settings, kill: usize) -> Result<f64, Trouble> {
    let Some(helper) = &settings.helper else {
        return Err(Trouble::helper("there is none"));
    };
    let key = place.key(format_args!("crash/{kill}"));
    let job = Job::Hold {
        url: place.url.clone(),
        key: key.clone(),
        ttl_ms: u64::try_from(TTL.as_millis()).unwrap_or(u64::MAX),
    };
    let holder = Helping::start(helper, &job).await?;
    if let Some(id) = holder.holder {
        place.met(id);
    }
    let locks = place.tenure.locks();
    let lock = locks.lock(&key).ttl(TTL).max_wait(Duration::from_secs(30));
    let waiter = tokio::spawn(async move {
        let guard = lock.acquire().await?;
        Ok::<_, Trouble>((SystemClock.now(), guard))
    });
    until_queued(&locks, &key, 1).await?;
    // At another point between two renewals each time.
    let phase = figure(kill % 10) / 10.0;
    tokio::time::sleep(Duration::from_secs_f64(phase * TTL.as_secs_f64() / 3.0)).await;
    holder.hand.kill().await?;
    let end = end_of_lease(place, &key).await?;
    let (began, guard) = waiter.await.map_err(Trouble::wrong)??;
    guard.release().await?;
    let late = began.since(end).as_secs_f64() - end.since(began).as_secs_f64();
    Ok(late * 1e3)
}

/// When the lease ends, by the clock of this machine: the earliest of several estimates, because
/// the store's clock counts whole milliseconds.
async fn end_of_lease(place: &Place, key: &str) -> Result<Moment, Trouble> {
    let locks = place.tenure.locks();
    let mut end: Option<Moment> = None;
    for _ in 0..LOOKS {
        let before = SystemClock.now();
        let view = locks.inspect(key).await.map_err(Trouble::wrong)?;
        let after = SystemClock.now();
        let Some((expires_at, now)) = view.and_then(|view| Some((view.expires_at?, view.now)))
        else {
            return Err(Trouble::wrong("the killed holder's lease was gone at once"));
        };
        let estimate = before + after.since(before) / 2 + expires_at.since(now);
        end = Some(end.map_or(estimate, |known| known.min(estimate)));
    }
    end.ok_or_else(|| Trouble::wrong("nobody looked"))
}
