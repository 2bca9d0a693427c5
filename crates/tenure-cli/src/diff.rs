//! `tenure diff FILE`: what running these files would change against what the store knows.
//!
//! Reads both and changes nothing. Definitions are compared by their generations; what differs is
//! told setting by setting, as far as the store keeps it in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use tenure::core::{Definition, TaskName, TaskRecord, Timestamp};
use tenure::tasks::{differs_in_zone_rules, tells_alarms};
use tenure::{Schedule, Zone};
use tokio::runtime::Builder;

use crate::args::StoreArgs;
use crate::definition::task_of;
use crate::exit::{Code, Failure, Outcome, chain};
use crate::file::TaskFiles;
use crate::lock::runtime;
use crate::output::{print, print_json};
use crate::run::tell_problems;
use crate::schedules::without_ticks;
use crate::store::{Chosen, failure};
use crate::text::{shown, visible};
use crate::versions::{Others, Versions};

/// How many ticks of an old and of a new schedule are shown.
const TICKS: usize = 3;

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Task files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Ends with 0 if nothing would change and with 1 if something would; other statuses are troubles.

A task of the files that the store does not know is added. A task that live nodes run and that the
files do not have, or not enabled, is removed: nodes that have it go on with it, and it is retired
when no node lists it any more; one that the files name in `retired` is retired at once. Not
compared is what may differ between machines: `dir`, the values of `env`, `inherit_env`, `output`.";

/// What would change.
#[derive(Debug, Default)]
struct Difference {
    added: Vec<Definition>,
    removed: Vec<TaskRecord>,
    /// The names that the files say are over.
    retired: BTreeSet<TaskName>,
    changed: Vec<(TaskRecord, Definition)>,
    /// Those of the changed whose definition in force has a higher number, so that it stays
    /// while a node lists it: task, its number.
    overridden: BTreeMap<TaskName, u32>,
    unchanged: usize,
    /// Tasks that some of their nodes have another definition of than the store: who.
    mixed: BTreeMap<TaskName, Others>,
}

pub(crate) fn run(args: DiffArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(compare(args))
}

async fn compare(args: DiffArgs) -> Outcome {
    let files = TaskFiles::read(&args.files)?;
    tell_problems(&files);
    if !files.are_sound() {
        return Err(Failure::new(Code::CONFIG, "nothing was compared")
            .help("mend the task file; `tenure check` shows the same"));
    }
    let store = Chosen::new(&args.store, files.store.as_ref())?;
    let runs = store.open_existing().await?.runs();
    let trouble = |error| failure("cannot list tasks", &error);
    let now = runs.now().await.map_err(trouble)?.now;
    let known = runs.tasks().await.map_err(trouble)?;
    let mut definitions = Vec::new();
    for task in files.tasks.iter().filter(|task| task.enabled) {
        let spec = task_of(task).check();
        let spec = spec.map_err(|error| Failure::new(Code::CONFIG, chain(&error)))?;
        definitions.push(spec.definition());
    }
    let versions = Versions::of(&*runs, now).await?;
    let mixed = known.iter().filter_map(|task| {
        let others = versions.others(task)?;
        Some((task.definition.task.clone(), others))
    });
    let mixed = mixed.collect();
    let mut difference = Difference::between(known, definitions);
    difference.mixed = mixed;
    difference.retired = files.retired.into_iter().collect();
    if args.json {
        print_json(&[difference.json(now)])?;
    } else {
        print(&difference.text(now))?;
    }
    Ok(if difference.is_none() {
        Code::OK
    } else {
        Code(1)
    })
}

impl Difference {
    fn between(known: Vec<TaskRecord>, definitions: Vec<Definition>) -> Self {
        let known = known.into_iter();
        let mut known: BTreeMap<TaskName, TaskRecord> = known
            .filter(|record| !tells_alarms(&record.definition.task))
            .filter(|record| record.definition.ended.is_none())
            .map(|record| (record.definition.task.clone(), record))
            .collect();
        let mut difference = Self::default();
        for definition in definitions {
            let own = known.remove(&definition.task);
            let old = own.or_else(|| {
                let mut before = definition.aliases.iter();
                before.find_map(|alias| known.remove(alias))
            });
            if let Some(number) = old.as_ref().and_then(|old| overrides(old, &definition)) {
                let task = definition.task.clone();
                difference.overridden.insert(task, number);
            }
            match old {
                None => difference.added.push(definition),
                Some(old) if old.definition.generation == definition.generation => {
                    difference.unchanged += 1;
                }
                Some(old) => difference.changed.push((old, definition)),
            }
        }
        difference.added.sort_by(|a, b| a.task.cmp(&b.task));
        difference
            .changed
            .sort_by(|(_, a), (_, b)| a.task.cmp(&b.task));
        // Those that nobody runs are retired already.
        let left = known.into_values().filter(|record| record.nodes > 0);
        difference.removed = left.collect();
        difference
    }

    fn is_none(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        for new in &self.added {
            let _ = writeln!(text, "+ {}: added", new.task);
            let _ = writeln!(text, "    schedule: {}", schedule_of(new));
            let _ = writeln!(text, "    next: {}", next_in_words(new, now));
        }
        for old in &self.removed {
            let noun = if old.nodes == 1 {
                "node runs"
            } else {
                "nodes run"
            };
            let task = &old.definition.task;
            let what = if self.retired.contains(task) {
                "retired"
            } else {
                "removed"
            };
            let _ = writeln!(text, "- {task}: {what}; {} {noun} it now", old.nodes);
            let _ = writeln!(
                text,
                "    next, dropped: {}",
                next_in_words(&old.definition, now)
            );
        }
        for (old, new) in &self.changed {
            let (from, to) = (&old.definition.generation, &new.generation);
            let idle = if old.nodes == 0 {
                "; nobody runs it now"
            } else {
                ""
            };
            let was = &old.definition.task;
            let renamed = if *was == new.task {
                String::new()
            } else {
                format!("renamed from {was}, ")
            };
            let _ = writeln!(
                text,
                "~ {}: {renamed}changed, generation {from} to {to}{idle}",
                new.task
            );
            if let Some(number) = self.overridden.get(&new.task) {
                let _ = writeln!(
                    text,
                    "    overridden: `generation = {number}` in the store is higher, so this fires \
                     only when no node lists that any more"
                );
            }
            for (name, before, after) in settings(&old.definition, new) {
                let (before, after) = (in_words(&before), in_words(&after));
                let _ = writeln!(text, "    {name}: {before} to {after}");
            }
            if has_other_ticks(&old.definition, new) {
                let before = next_in_words(&old.definition, now);
                let _ = writeln!(text, "    next until now: {before}");
                let _ = writeln!(text, "    next from then: {}", next_in_words(new, now));
            }
        }
        let noun = if self.unchanged == 1 { "task" } else { "tasks" };
        let _ = writeln!(text, "= {} {noun} as before", self.unchanged);
        for (task, others) in &self.mixed {
            let others = others.in_words();
            let _ = writeln!(text, "! {task}: of the nodes that list it now, {others}");
        }
        text
    }

    fn json(&self, now: Timestamp) -> Value {
        let ticks = |definition: &Definition| -> Vec<String> {
            let ticks = next_of(definition, now);
            ticks.iter().map(ToString::to_string).collect()
        };
        let one = |definition: &Definition| {
            json!({
                "task": definition.task.as_str(),
                "generation": definition.generation.as_str(),
                "schedule": definition.schedule,
                "zone": definition.zone,
                "next": ticks(definition),
            })
        };
        let added: Vec<Value> = self.added.iter().map(one).collect();
        let removed = self.removed.iter().map(|old| {
            let mut value = one(&old.definition);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("nodes".to_owned(), json!(old.nodes));
                let is_retired = self.retired.contains(&old.definition.task);
                fields.insert("retired".to_owned(), json!(is_retired));
            }
            value
        });
        let removed: Vec<Value> = removed.collect();
        let changed = self.changed.iter().map(|(old, new)| {
            let settings = settings(&old.definition, new).into_iter();
            let settings: Vec<Value> = settings
                .map(|(name, old, new)| json!({ "name": name, "old": old, "new": new }))
                .collect();
            json!({
                "task": new.task.as_str(),
                "nodes": old.nodes,
                "renamed_from": (old.definition.task != new.task)
                    .then(|| old.definition.task.as_str()),
                "overridden_by": self.overridden.get(&new.task),
                "old_generation": old.definition.generation.as_str(),
                "new_generation": new.generation.as_str(),
                "settings": settings,
                "old_next": ticks(&old.definition),
                "new_next": ticks(new),
            })
        });
        let changed: Vec<Value> = changed.collect();
        json!({
            "now": now.to_string(),
            "differs": !self.is_none(),
            "added": added,
            "removed": removed,
            "changed": changed,
            "unchanged": self.unchanged,
            "mixed": self.mixed.iter().map(|(task, others)| json!({
                "task": task.as_str(),
                "nodes_with_other_definition": others.count,
            })).collect::<Vec<_>>(),
        })
    }
}

/// The number by which a definition that nodes list stays newer than a new one.
fn overrides(old: &TaskRecord, new: &Definition) -> Option<u32> {
    let number = old.definition.number;
    let is_other = old.definition.task == new.task && old.definition.generation != new.generation;
    (is_other && old.nodes > 0 && number > new.number).then_some(number)
}

/// What differs between two definitions of a task: name, old value, new value.
fn settings(old: &Definition, new: &Definition) -> Vec<(String, Value, Value)> {
    let mut differ = Vec::new();
    let mut compare = |name: &str, old: Value, new: Value| {
        if old != new {
            differ.push((name.to_owned(), old, new));
        }
    };
    compare("schedule", json!(old.schedule), json!(new.schedule));
    compare("zone", json!(old.zone), json!(new.zone));
    if differs_in_zone_rules(&old.generation, &new.generation) {
        compare(
            "rules of the zone",
            json!("a node's"),
            json!("this machine's"),
        );
    }
    compare(
        "concurrency",
        json!(old.concurrency),
        json!(new.concurrency),
    );
    compare("generation", json!(old.number), json!(new.number));
    compare("on_change", json!(old.on_change), json!(new.on_change));
    let names = |definition: &Definition| -> Vec<String> {
        let aliases = definition.aliases.iter();
        aliases.map(|alias| alias.as_str().to_owned()).collect()
    };
    compare("aliases", json!(names(old)), json!(names(new)));
    let details = |definition: &Definition| -> Option<Map<String, Value>> {
        serde_json::from_str(&definition.details).ok()
    };
    if let (Some(before), Some(after)) = (details(old), details(new)) {
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let value = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or_default();
            compare(name, value(&before), value(&after));
        }
    } else {
        compare("details", json!(old.details), json!(new.details));
    }
    if differ.is_empty() {
        let name = "what the store keeps no words of".to_owned();
        differ.push((name, Value::Null, Value::Null));
    }
    differ
}

fn has_other_ticks(old: &Definition, new: &Definition) -> bool {
    old.schedule != new.schedule || old.zone != new.zone
}

/// A setting for people.
fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "not given".to_owned(),
        Value::String(text) => format!("`{}`", shown(text)),
        other => shown(&other.to_string()),
    }
}

fn schedule_of(definition: &Definition) -> String {
    let (text, zone) = (&definition.schedule, &definition.zone);
    format!("`{}` in {}", visible(text), visible(zone))
}

/// The next ticks in words.
fn next_in_words(definition: &Definition, now: Timestamp) -> String {
    let ticks = next_of(definition, now);
    let schedule = Schedule::parse(&definition.schedule);
    match schedule.ok().filter(|_| ticks.is_empty()) {
        Some(schedule) => without_ticks(&schedule, "never"),
        None => listed(&ticks),
    }
}

fn next_of(definition: &Definition, now: Timestamp) -> Vec<Timestamp> {
    let schedule = Zone::parse(&definition.zone)
        .and_then(|zone| Schedule::parse_in(&definition.schedule, &zone));
    schedule.map_or_else(
        |_| Vec::new(),
        |schedule| {
            let ticks = schedule.ticks_after(now.to_jiff()).take(TICKS);
            ticks.map(Timestamp::from).collect()
        },
    )
}

fn listed(ticks: &[Timestamp]) -> String {
    if ticks.is_empty() {
        return "never".to_owned();
    }
    let ticks: Vec<String> = ticks.iter().map(ToString::to_string).collect();
    ticks.join(", ")
}
