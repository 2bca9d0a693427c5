//! What a task's schedule is probably not meant as, though it can be read.

use tenure::Schedule;
use tenure::core::{Clock as _, SystemClock, Timestamp};

use super::problem::{Place, Problem};
use super::section::{Section, Text};

/// Passes on what the schedule was read as, where that is not what it looks like, and what beside
/// it will never have an effect. `catch_up` is where the task itself says that.
pub(super) fn warn_of(
    schedule: &Schedule,
    written: &Text<'_>,
    catch_up: Option<Place>,
    called: &str,
    root: &mut Section<'_, '_, '_>,
) {
    no_ticks(schedule, written, called, root);
    if let (Some(place), true) = (catch_up, schedule.delay().is_some()) {
        let title = format!("`catch_up` of {called} means nothing with `@after`");
        root.complain(
            Problem::warning(title)
                .at(place, "here")
                .help("its runs follow each other and none is missed; remove it"),
        );
    }
    // The dialect's name may stand before the text by now.
    let before = written.text.len() - written.text.trim_start().len();
    let added = schedule.text().len() - written.text.trim().len();
    for warning in schedule.warnings() {
        let span = warning.span();
        let bytes = span.start + before - added..span.end + before - added;
        let place = written.inside(root.reading, bytes);
        root.complain(
            Problem::warning(format!("schedule of {called}: {warning}")).at(place, "here"),
        );
    }
}

/// Says so if a schedule has ticks, but none to come.
fn no_ticks(schedule: &Schedule, written: &Text<'_>, called: &str, root: &mut Section<'_, '_, '_>) {
    let now = SystemClock.wall().to_jiff();
    if schedule.is_disabled() || schedule.delay().is_some() || schedule.next_after(now).is_some() {
        return;
    }
    let last = schedule.previous_before(now).map(Timestamp::from);
    let last = last.map_or_else(String::new, |last| format!("; its last tick was {last}"));
    let title = format!("schedule of {called} is never due again{last}");
    root.complain(
        Problem::warning(title)
            .at(written.place.clone(), "only in the past")
            .help("to keep the task without a schedule write schedule = \"-\""),
    );
}
