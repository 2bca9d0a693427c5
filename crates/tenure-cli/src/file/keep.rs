//! `keep = { succeeded = "100/7d", failed = "500/30d", skipped = "1d" }`: which records of a task's
//! runs are kept.

use tenure::tasks::{Keep, KeepRule, RunnerOptions};
use toml::de::DeValue;

use super::section::Section;

const EXAMPLE: &str = "write keep = { succeeded = \"100/7d\", failed = \"500\", skipped = \"1d\" }";

pub(super) fn read_keep(section: &mut Section<'_, '_, '_>) -> Option<Keep> {
    let found = section.any("keep")?;
    let DeValue::Table(table) = found.value else {
        section.wrong_type("keep", &found, "a table of outcomes");
        return None;
    };
    let mut inner = Section::new(section.reading, &mut *section.problems, table, "`keep`");
    let mut keep = Keep::new();
    if let Some(rule) = rule(&mut inner, "succeeded") {
        keep = keep.succeeded(rule);
    }
    if let Some(rule) = rule(&mut inner, "failed") {
        keep = keep.failed(rule);
    }
    if let Some(rule) = rule(&mut inner, "skipped") {
        keep = keep.skipped(rule);
    }
    inner.finish(&[]);
    Some(keep)
}

fn rule(section: &mut Section<'_, '_, '_>, key: &'static str) -> Option<KeepRule> {
    let text = section.string(key)?;
    let fault = match text.text.parse::<KeepRule>() {
        // `tenure run` keeps the records of all tasks for as long as runners do.
        Ok(rule) => match rule.fault(Some(RunnerOptions::KEEP_HISTORY)) {
            None => return Some(rule),
            Some(fault) => fault,
        },
        Err(error) => error.to_string(),
    };
    section.refuse(key, text.place, &fault, Some(EXAMPLE.to_owned()));
    None
}
