//! A task's last outcomes in a row, the newest on the right.

use maud::{Markup, html};
use tenure_core::RunState;

use super::Rects;
use crate::pages::say;
use crate::view::RunMark;

/// How many cells have room.
const CELLS: usize = 20;
const STEP: i64 = 6;
const HEIGHT: i64 = 18;

/// The ribbon of `cells`, which come newest first.
pub(in crate::pages) fn ribbon(cells: &[RunMark]) -> Markup {
    let tones = ["ok", "warn", "bad", "busy", "idle"];
    let mut paths: [Rects; 5] = Default::default();
    let mut ground = Rects::default();
    for at in 0..CELLS {
        let x = i64::try_from(CELLS - 1 - at).unwrap_or(0) * STEP;
        let Some(cell) = cells.get(at) else {
            ground.add(x, HEIGHT - 3, STEP - 1, 3);
            continue;
        };
        let tone = say::tone_of(cell.state, cell.node_gone.as_deref());
        // Shorter, so that the eye does not need the colour: only what is whole went well.
        let height = match tone {
            "ok" | "bad" => HEIGHT,
            "warn" => HEIGHT / 2,
            _ => HEIGHT / 3,
        };
        let found = tones.iter().position(|it| *it == tone);
        if let Some(rects) = found.and_then(|at| paths.get_mut(at)) {
            rects.add(x, HEIGHT - height, STEP - 1, height);
        }
    }
    let bad = count(cells, |state| say::tone(state) == "bad");
    let ok = count(cells, |state| state == RunState::Succeeded);
    let words = if cells.is_empty() {
        "no run yet".to_owned()
    } else {
        let gone = match cells.iter().filter(|cell| cell.node_gone.is_some()).count() {
            0 => String::new(),
            gone => format!(", {gone} with its node gone"),
        };
        format!(
            "{ok} of the last {} succeeded, {bad} failed{gone}",
            cells.len()
        )
    };
    let width = i64::try_from(CELLS).unwrap_or(0) * STEP - 1;
    html! {
        svg.ribbon viewBox=(format!("0 0 {width} {HEIGHT}")) role="img" aria-label=(words) {
            title { (words) }
            @if let Some(path) = ground.path() { path.ground d=(path) {} }
            @for (tone, rects) in tones.iter().zip(&paths) {
                @if let Some(path) = rects.path() { path class=(format!("f-{tone}")) d=(path) {} }
            }
        }
    }
}

fn count(cells: &[RunMark], is: impl Fn(RunState) -> bool) -> usize {
    cells.iter().filter(|cell| is(cell.state)).count()
}

#[cfg(test)]
mod tests {
    use tenure_core::Timestamp;

    use super::*;
    use crate::view::At;

    fn cell(state: RunState) -> RunMark {
        RunMark {
            path: String::new(),
            tick: At(Timestamp::EPOCH),
            state,
            lateness_ms: None,
            took_ms: None,
            ended_at: None,
            node_gone: None,
        }
    }

    #[test]
    fn a_ribbon_says_in_words_what_it_shows() {
        let cells = [cell(RunState::Failed), cell(RunState::Succeeded)];
        let shown = ribbon(&cells).into_string();
        assert!(
            shown.contains("1 of the last 2 succeeded, 1 failed"),
            "{shown}"
        );
        // The newest stands on the right.
        assert!(shown.contains("f-bad\" d=\"M114 0"), "{shown}");
        assert!(ribbon(&[]).into_string().contains("no run yet"));
    }
}
