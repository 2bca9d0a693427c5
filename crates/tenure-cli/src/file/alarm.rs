//! The alarms of a task file: when people are told, and by which command or webhook.
//!
//! The values of headers, and URLs that hold a secret, are put in from the environment or from
//! files; no message and no listing shows them.

use std::time::Duration;

use serde_spanned::Spanned;
use tenure::Webhook;
use tenure::tasks::AlarmKind;
use toml::de::{DeTable, DeValue};

use super::expand::Reading;
use super::problem::{Place, Problem};
use super::section::Section;
use super::task::read_command;
use crate::text::shown;

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MAX_SECRET: u64 = 64 * 1024;

/// An alarm as a file describes it.
#[derive(Debug, Clone)]
pub(crate) struct AlarmEntry {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) on: Vec<AlarmKind>,
    /// Patterns of tasks' names, and where each stands; none: all tasks.
    pub(crate) tasks: Vec<(String, Place)>,
    pub(crate) after: Option<u32>,
    pub(crate) late_after: Option<Duration>,
    pub(crate) longer_than: Option<Duration>,
    pub(crate) skew_over: Option<Duration>,
    pub(crate) attempts: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) target: Target,
}

/// Whom an alarm is told to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A program and its arguments.
    Command(Vec<String>),
    Webhook(Webhook),
}

/// Reads the key `alarm` of a file.
pub(super) fn read_alarms(root: &mut Section<'_, '_, '_>) -> Vec<AlarmEntry> {
    let Some(found) = root.any("alarm") else {
        return Vec::new();
    };
    let reading = root.reading;
    let mut alarms = Vec::new();
    match found.value {
        DeValue::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                let DeValue::Table(table) = item.get_ref() else {
                    root.wrong_type("alarm", &found, "tables, each written [[alarm]]");
                    break;
                };
                let place = reading.place(item.span());
                let called = match table.get("name").map(Spanned::get_ref) {
                    Some(DeValue::String(name)) => format!("alarm `{}`", shown(name)),
                    _ => format!("alarm number {}", number + 1),
                };
                let mut section = Section::new(reading, &mut *root.problems, table, &*called);
                alarms.extend(AlarmEntry::read(&mut section, table, &called, place));
                section.finish(&["min_pause", "description"]);
            }
        }
        DeValue::Table(_) => root.complain(
            Problem::error("an alarm is written [[alarm]], with two brackets")
                .at(reading.place(found.span), "here")
                .help("write [[alarm]]; each one begins another alarm"),
        ),
        _ => root.wrong_type("alarm", &found, "tables, each written [[alarm]]"),
    }
    alarms
}

impl AlarmEntry {
    fn read(
        section: &mut Section<'_, '_, '_>,
        table: &DeTable<'_>,
        called: &str,
        place: Place,
    ) -> Option<Self> {
        let name = section.string("name");
        let on = kinds(section, called, &place);
        let tasks = section.strings("tasks", "an array such as [\"backup\", \"report-*\"]");
        let tasks = tasks.unwrap_or_default().into_iter();
        let tasks: Vec<_> = tasks
            .map(|task| (task.text.to_owned(), task.place))
            .collect();
        let after = section.number("after", 1, 100);
        let late_after = section.duration("late_after", MS, DAY);
        let longer_than = section.duration("longer_than", MS, 365 * DAY);
        let skew_over = section.duration("skew_over", 10 * MS, DAY);
        let attempts = section.number("attempts", 1, 20);
        let timeout = section.duration("timeout", 10 * MS, 600_000 * MS);
        let target = target(section, called, &place);
        let name = match name {
            None => format!("alarm-{:08x}", sum_of(section.reading, table)),
            Some(name) => {
                if !is_name(name.text) {
                    let reason = "must be 1 to 48 ASCII letters, digits, `-` or `_`";
                    section.refuse("name", name.place, reason, None);
                    return None;
                }
                name.text.to_owned()
            }
        };
        let on = on?;
        if on.contains(&AlarmKind::TooLong) && section.key_place("longer_than").is_none() {
            section.complain(
                Problem::error(format!(
                    "{called} is on `too_long` and has no `longer_than`"
                ))
                .at(place, "in this alarm")
                .help("write longer_than = \"10m\""),
            );
            return None;
        }
        Some(Self {
            name,
            place,
            on,
            tasks,
            after: after.and_then(|number| u32::try_from(number).ok()),
            late_after,
            longer_than,
            skew_over,
            attempts: attempts.and_then(|number| u32::try_from(number).ok()),
            timeout,
            target: target?,
        })
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= 48 && name.chars().all(is_plain)
}

/// The same for the same text of an alarm in every file; what the environment puts in is no part
/// of it.
fn sum_of(reading: &Reading<'_>, table: &DeTable<'_>) -> u32 {
    let spans = table
        .iter()
        .map(|(key, value)| key.span().start..value.span().end);
    let mut lines: Vec<&str> = spans
        .filter_map(|span| reading.source.text().get(span))
        .collect();
    lines.sort_unstable();
    let bytes = lines.iter().flat_map(|line| line.bytes());
    bytes.fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn kinds(section: &mut Section<'_, '_, '_>, called: &str, place: &Place) -> Option<Vec<AlarmKind>> {
    if section.key_place("on").is_none() {
        // So that the key is known when others are looked for.
        let _ = section.any("on");
        section.complain(
            Problem::error(format!("{called} has no `on`"))
                .at(place.clone(), "in this alarm")
                .help("write on = [\"failing\", \"missed\"]"),
        );
        return None;
    }
    let words = section.strings("on", "an array such as [\"failing\", \"missed\"]")?;
    let names = AlarmKind::ALL.map(AlarmKind::as_str);
    let mut kinds = Vec::new();
    for word in &words {
        if let Some(kind) = AlarmKind::ALL
            .into_iter()
            .find(|it| it.as_str() == word.text)
        {
            kinds.push(kind);
            continue;
        }
        let near = crate::nearest::nearest(word.text, names);
        let help = near.map(|near| format!("did you mean `{near}`?"));
        let reason = format!(
            "`{}` is not one of `{}`",
            shown(word.text),
            names.join("`, `")
        );
        section.refuse("on", word.place.clone(), &reason, help);
    }
    if words.is_empty() {
        section.refuse("on", place.clone(), "names nothing to tell of", None);
    }
    (kinds.len() == words.len() && !kinds.is_empty()).then_some(kinds)
}

fn target(section: &mut Section<'_, '_, '_>, called: &str, place: &Place) -> Option<Target> {
    let command = section.strings("command", "an array such as [\"program\", \"argument\"]");
    let webhook = section.expanded("webhook");
    if let Some((_, place)) = &webhook {
        section.problems.hide(place.clone());
    }
    let headers = headers(section);
    match (section.key_place("command"), section.key_place("webhook")) {
        (Some(command), Some(webhook)) => {
            section.complain(
                Problem::error("`command` and `webhook` exclude each other")
                    .at(webhook, "one of them must go")
                    .and(command, "the other")
                    .help("write a second [[alarm]]"),
            );
            None
        }
        (None, None) => {
            section.complain(
                Problem::error(format!("{called} has neither `command` nor `webhook`"))
                    .at(place.clone(), "in this alarm")
                    .help("write webhook = \"https://…\" or command = [\"program\"]"),
            );
            None
        }
        (Some(_), None) => {
            for key in ["headers", "header_files"] {
                if let Some(place) = section.key_place(key) {
                    section.refuse(key, place, "is for a webhook only", None);
                }
            }
            read_command(section, &command?).map(Target::Command)
        }
        (None, Some(_)) => {
            let (expanded, place) = webhook?;
            let Ok(webhook) = Webhook::new(&expanded.text) else {
                let help = Some("write webhook = \"https://host/path\"".to_owned());
                section.refuse("webhook", place, "is no http or https URL", help);
                return None;
            };
            let headers = headers?;
            let with_all = headers.iter().try_fold(webhook, |webhook, (name, value)| {
                webhook.header(name, value)
            });
            with_all.ok().map(Target::Webhook)
        }
    }
}

/// The headers, with their values put in. `None` if one cannot be sent.
fn headers(section: &mut Section<'_, '_, '_>) -> Option<Vec<(String, String)>> {
    let mut headers = Vec::new();
    let mut is_sound = true;
    for key in ["headers", "header_files"] {
        for (name, text) in section.string_table(key) {
            let value = if key == "headers" {
                Ok(text)
            } else {
                read_secret(section, &text)
            };
            let checked = value.and_then(|value| {
                let checked = Webhook::check_header(name.text, &value);
                checked.map_err(|error| error.to_string())?;
                Ok((name.text.to_owned(), value))
            });
            match checked {
                Ok(header) => headers.push(header),
                Err(reason) => {
                    section.refuse(key, name.place, &reason, None);
                    is_sound = false;
                }
            }
        }
    }
    is_sound.then_some(headers)
}

fn read_secret(section: &Section<'_, '_, '_>, path: &str) -> Result<String, String> {
    use std::io::Read as _;
    let path = super::folder_of(section.reading.source.path()).join(path);
    let mut text = String::new();
    let read =
        std::fs::File::open(&path).and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("the file with its value cannot be read: {error}")),
    }
}
