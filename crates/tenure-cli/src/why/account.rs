//! A tick's story as text for people and as JSON for programs.
//!
//! Decides nothing: what the records come to is told by the library.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tenure::Schedule;
use tenure::core::{RunKind, RunRecord, Timestamp, format_duration};
use tenure::tasks::story::gone::Gone;
use tenure::tasks::story::{Story, schedule_of};

use crate::output::about;
use crate::text::visible;

/// What became of a tick, to be shown.
pub(super) struct Account {
    pub(super) story: Story,
    pub(super) gone: Gone,
}

impl Account {
    pub(super) fn text(&self) -> String {
        let name = &self.story.task.definition.task;
        let mut text = format!("{name}, tick {}", self.story.tick);
        if let Some(local) = self.local() {
            let _ = write!(text, " ({local})");
        }
        text.push('\n');
        if let Some(remark) = self.remark() {
            let _ = writeln!(text, "{remark}");
        }
        for told in &self.story.runs {
            let run = &told.record;
            let _ = writeln!(text, "\n#{}{}: {}", run.key.index, kind_of(run), run.state);
            for (at, what) in &told.life {
                let _ = writeln!(text, "  {at}  {:>10}  {what}", self.offset(*at));
            }
            if let Some(gone) = self.gone.told(run) {
                let (now, since) = (self.story.now, self.offset(self.story.now));
                let _ = writeln!(text, "  {now}  {since:>10}  {gone}");
            }
        }
        for missing in &self.story.missing {
            let _ = writeln!(text, "\n#{}: no record", missing.index);
            for reason in &missing.why {
                let _ = writeln!(text, "  {reason}");
            }
        }
        let mut around = self.story.meanwhile().peekable();
        if around.peek().is_some() {
            let _ = writeln!(text, "\nmeanwhile");
        }
        for (at, note) in around {
            let what = visible(&note.text);
            let _ = writeln!(text, "  {at}  {:>10}  {what}", self.offset(at));
        }
        text
    }

    /// That the instant asked about is no tick, and which are around it.
    fn remark(&self) -> Option<String> {
        let asked = self.story.asked?;
        let schedule = schedule_of(&self.story.task);
        let delay = schedule.as_ref().and_then(Schedule::delay);
        let next = schedule.and_then(|schedule| schedule.next_after(asked.to_jiff()));
        let next = match (next, delay) {
            (Some(next), _) => format!("the next is {}", Timestamp::from(next)),
            (None, Some(delay)) => {
                format!("each is {} after the end of a run", format_duration(delay))
            }
            (None, None) => "there is none after it".to_owned(),
        };
        Some(format!(
            "no tick is at {asked}: this is the last before it, and {next}"
        ))
    }

    /// The tick as a clock in the task's zone shows it.
    fn local(&self) -> Option<String> {
        let zone = &self.story.task.definition.zone;
        if zone == "UTC" {
            return None;
        }
        let local = self.story.tick.to_jiff().in_tz(zone).ok()?;
        Some(format!("{} {zone}", local.strftime("%a %H:%M:%S %:z")))
    }

    fn offset(&self, at: Timestamp) -> String {
        if at < self.story.tick {
            format!("-{}", about(self.story.tick.since(at)))
        } else {
            format!("+{}", about(at.since(self.story.tick)))
        }
    }

    pub(super) fn json(&self) -> Value {
        let story = &self.story;
        let runs = story.runs.iter().map(|told| {
            let life = told.life.iter();
            let life: Vec<Value> = life
                .map(|(at, what)| json!({ "at": at.to_string(), "what": what }))
                .collect();
            let mut value = crate::tasks::run_json(&told.record, false);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("alive_besides".to_owned(), json!(told.alive_besides));
                fields.insert("node_gone".to_owned(), json!(self.gone.told(&told.record)));
                fields.insert("timeline".to_owned(), Value::Array(life));
            }
            value
        });
        let runs: Vec<Value> = runs.collect();
        let missing = story.missing.iter();
        let missing: Vec<Value> = missing
            .map(|it| json!({ "index": it.index, "why": it.why }))
            .collect();
        let notes = story.notes.iter();
        let notes: Vec<Value> = notes
            .map(|(at, note)| json!({ "at": at.to_string(), "kind": note.kind, "text": note.text }))
            .collect();
        json!({
            "task": story.task.definition.task.as_str(),
            "tick": story.tick.to_string(),
            "asked": story.asked.map(|asked| asked.to_string()),
            "now": story.now.to_string(),
            "runs": runs,
            "without_record": missing,
            "notes": notes,
        })
    }
}

fn kind_of(run: &RunRecord) -> &'static str {
    match run.key.kind {
        _ if run.key.is_following() => ", after the run before",
        RunKind::Manual(_) => ", asked for by hand",
        RunKind::Backfill(_) => ", of a backfill",
        _ => "",
    }
}
