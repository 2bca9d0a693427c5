//! One file's tables: its store, its defaults, and its tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_spanned::Spanned;
use tenure::core::TaskName;
use tenure::tasks::{Affinity, Keep, OnLeaseLoss, name_fault, tells_alarms};
use tenure::{CatchUp, Retry, Schedule, Zone};
use toml::de::{DeTable, DeValue};

use super::account::{Account, log_of};
use super::alarm::{AlarmEntry, read_alarms};
use super::beside::{Beside, read_node};
use super::dashboard::DashboardEntry;
use super::expand::Reading;
use super::lineage::{Lineage, read_names};
use super::problem::{Place, Problem, Problems};
use super::section::{Section, Text};
use super::settings::{Crash, OutputMode, Settings};
use super::store::StoreEntry;
use super::warn::warn_of;
use crate::mask::Pattern;
use crate::text::shown;

/// What a task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// A program and its arguments.
    Command(Vec<String>),
    /// A text for `/bin/sh -c`.
    Shell(String),
}

/// A task as a file describes it, with all defaults put in.
#[derive(Debug, Clone)]
pub(crate) struct TaskEntry {
    pub(crate) name: TaskName,
    pub(crate) schedule: Schedule,
    pub(crate) action: Action,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) inherit_env: bool,
    pub(crate) dir: PathBuf,
    /// Whose rights the command has; `None`: this program's.
    pub(crate) user: Option<Account>,
    /// The file that its output is added to.
    pub(crate) log: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: u32,
    pub(crate) beside: Beside,
    pub(crate) catch_up: CatchUp,
    pub(crate) catch_up_window: Option<Duration>,
    pub(crate) catch_up_max: Option<usize>,
    pub(crate) retry: Option<Retry>,
    pub(crate) on_crash: Crash,
    pub(crate) on_lease_loss: OnLeaseLoss,
    pub(crate) affinity: Affinity,
    pub(crate) jitter: Duration,
    pub(crate) success_codes: Vec<i32>,
    pub(crate) enabled: bool,
    pub(crate) output: OutputMode,
    /// What must not be kept of it.
    pub(crate) mask: Arc<[Pattern]>,
    pub(crate) keep: Option<Keep>,
    pub(crate) lineage: Lineage,
}

/// Keys of the file's top that later versions read.
const LATER_AT_TOP: [&str; 6] = ["api", "include", "namespace", "metrics", "log", "managers"];
/// Keys of a task that later versions read.
const LATER_IN_TASK: [&str; 7] = [
    "group",
    "alarm",
    "exclude",
    "umask",
    "limits",
    "manager",
    "description",
];
/// The longest argument Linux passes to a program, with its closing NUL.
const MAX_ARGUMENT: usize = 128 * 1024 - 1;
const MAX_COMMAND: usize = 1024 * 1024;

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) store: Option<StoreEntry>,
    /// How many runs this process takes on at once.
    pub(crate) node_limit: Option<(usize, Place)>,
    pub(crate) dashboard: Option<(DashboardEntry, Place)>,
    /// The tasks without faults.
    pub(crate) tasks: Vec<TaskEntry>,
    /// The alarms without faults.
    pub(crate) alarms: Vec<AlarmEntry>,
    /// The tasks that are over.
    pub(crate) retired: Vec<TaskName>,
    /// The names of all tasks, also of those with faults and of those that are over.
    pub(crate) names: Vec<(TaskName, Place)>,
}

/// Reads what a file says.
pub(crate) fn read_file<'i>(
    reading: &Reading<'i>,
    table: &Spanned<DeTable<'i>>,
    problems: &mut Problems,
) -> Content {
    let mut root = Section::new(reading, problems, table.get_ref(), "the file");
    let store = StoreEntry::read(&mut root);
    let node_limit = read_node(&mut root);
    let dashboard = DashboardEntry::read(&mut root);
    let defaults = match root.any("defaults") {
        None => Settings::default(),
        Some(found) => {
            if let DeValue::Table(table) = found.value {
                let mut section = Section::new(reading, &mut *root.problems, table, "[defaults]");
                let settings = Settings::read(&mut section);
                section.finish(&LATER_IN_TASK);
                settings
            } else {
                root.wrong_type("defaults", &found, "a table");
                Settings::default()
            }
        }
    };
    let mut content = Content {
        store,
        node_limit,
        dashboard,
        ..Content::default()
    };
    if let Some(found) = root.any("task") {
        match found.value {
            DeValue::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let DeValue::Table(table) = item.get_ref() else {
                        root.wrong_type("task", &found, "tables, each written [[task]]");
                        break;
                    };
                    let place = reading.place(item.span());
                    let names = &mut content.names;
                    let draft = Draft::read(reading, root.problems, table, number, place, names);
                    content.tasks.extend(draft.finish(&defaults, &mut root));
                }
            }
            DeValue::Table(_) => root.complain(
                Problem::error("a task is written [[task]], with two brackets")
                    .at(reading.place(found.span), "here")
                    .help("write [[task]]; each one begins another task"),
            ),
            _ => root.wrong_type("task", &found, "tables, each written [[task]]"),
        }
    }
    for (name, place) in read_names(&mut root, "retired") {
        content.retired.push(name.clone());
        content.names.push((name, place));
    }
    content.alarms = read_alarms(&mut root);
    root.finish(&LATER_AT_TOP);
    content
}

/// A task whose own table was read, before the defaults are put in. What it cannot do without and
/// does not have was complained about.
struct Draft<'r> {
    called: String,
    name: Option<TaskName>,
    schedule: Option<Text<'r>>,
    action: Option<Action>,
    settings: Settings,
    /// Where the task itself says `catch_up`.
    catch_up: Option<Place>,
    lineage: Lineage,
}

impl<'r> Draft<'r> {
    fn read<'i>(
        reading: &'r Reading<'i>,
        problems: &mut Problems,
        table: &'r DeTable<'i>,
        number: usize,
        place: Place,
        names: &mut Vec<(TaskName, Place)>,
    ) -> Self {
        let called = match table.get("name").map(Spanned::get_ref) {
            Some(DeValue::String(name)) => format!("task `{}`", shown(name)),
            _ => format!("task number {}", number + 1),
        };
        let mut section = Section::new(reading, problems, table, called.clone());
        let name = section.string("name");
        let schedule = section.string("schedule");
        let action = read_action(&mut section);
        let settings = Settings::read(&mut section);
        let lineage = Lineage::read(&mut section);
        for (key, example) in [
            ("name", "name = \"backup\""),
            ("schedule", "schedule = \"0 3 * * *\""),
        ] {
            // A slip in the key itself is told once, where it stands.
            if section.key_place(key).is_none() && !section.has_slip_of(key) {
                section.complain(
                    Problem::error(format!("{called} has no `{key}`"))
                        .at(place.clone(), "in this task")
                        .help(format!("write {example}")),
                );
            }
        }
        let name = name.and_then(|name| read_name(&mut section, &name));
        if action.is_none()
            && section.key_place("command").is_none()
            && section.key_place("shell").is_none()
        {
            section.complain(
                Problem::error(format!("{called} has neither `command` nor `shell`"))
                    .at(place, "in this task")
                    .help("write command = [\"program\", \"argument\"]"),
            );
        }
        let catch_up = section.key_place("catch_up");
        section.finish(&LATER_IN_TASK);
        names.extend(name.clone());
        Self {
            called,
            name: name.map(|(name, _)| name),
            schedule,
            action,
            settings,
            catch_up,
            lineage,
        }
    }

    /// The task, if nothing is wrong with it. Its schedule is looked at whatever else is wrong.
    fn finish(self, defaults: &Settings, root: &mut Section<'_, '_, '_>) -> Option<TaskEntry> {
        let own_queue_max = self.settings.queue_max.clone().map(|(_, place)| place);
        let settings = self.settings.or(defaults);
        let zone = settings.zone.clone().unwrap_or_else(Zone::utc);
        let written = self.schedule?;
        let read = match settings.dialect {
            Some(dialect) => Schedule::parse_as_in(dialect, written.text, &zone),
            None => Schedule::parse_in(written.text, &zone),
        };
        if let Ok(schedule) = &read {
            warn_of(schedule, &written, self.catch_up, &self.called, root);
        }
        let schedule = match read {
            Ok(schedule) => schedule
                .with_gap(settings.dst_gap.unwrap_or_default())
                .with_overlap(settings.dst_overlap.unwrap_or_default()),
            Err(error) => {
                let place = written.inside(root.reading, error.span());
                let mut problem = Problem::error(format!("schedule of {}: {error}", self.called))
                    .at(place, "here");
                problem.help = error.help();
                root.complain(problem);
                return None;
            }
        };
        let beside = Beside::read(&settings, own_queue_max, &self.called, root);
        let name = self.name?;
        Some(TaskEntry {
            schedule,
            action: self.action?,
            user: settings.user,
            log: settings.log.map(|path| log_of(path, name.as_str())),
            name,
            env: settings.env,
            inherit_env: settings.inherit_env.unwrap_or(false),
            dir: (settings.dir).unwrap_or_else(|| super::folder_of(root.reading.source.path())),
            timeout: settings.timeout,
            concurrency: settings.concurrency.unwrap_or(1),
            beside,
            catch_up: settings.catch_up.unwrap_or_default(),
            catch_up_window: settings.catch_up_window,
            catch_up_max: settings.catch_up_max,
            retry: settings.retry,
            on_crash: settings.on_crash.unwrap_or(Crash::Lose),
            on_lease_loss: settings.on_lease_loss.unwrap_or_default(),
            affinity: settings.affinity.unwrap_or_default(),
            jitter: settings.jitter.unwrap_or_default(),
            success_codes: settings.success_codes.unwrap_or_else(|| vec![0]),
            enabled: settings.enabled.unwrap_or(true),
            output: settings.output.unwrap_or(OutputMode::Keep),
            mask: settings.mask.unwrap_or_default(),
            keep: settings.keep,
            lineage: self.lineage,
        })
    }
}

fn read_name(section: &mut Section<'_, '_, '_>, name: &Text<'_>) -> Option<(TaskName, Place)> {
    if let Some(reason) = name_fault(name.text) {
        section.refuse("name", name.place.clone(), &reason, None);
        return None;
    }
    let reason = match TaskName::new(name.text) {
        Ok(valid) if tells_alarms(&valid) => {
            "names that begin so are those of tenure's own tasks, which tell alarms".to_owned()
        }
        Ok(valid) => return Some((valid, name.place.clone())),
        Err(error) => error.to_string(),
    };
    section.refuse("name", name.place.clone(), &reason, None);
    None
}

const COMMAND: &str = "an array such as [\"program\", \"argument\"]";

fn read_action(section: &mut Section<'_, '_, '_>) -> Option<Action> {
    let command = section.strings("command", COMMAND);
    let shell = section.string("shell");
    if let (Some(command), Some(shell)) = (section.key_place("command"), section.key_place("shell"))
    {
        section.complain(
            Problem::error("`command` and `shell` exclude each other")
                .at(shell, "one of them must go")
                .and(command, "the other"),
        );
        return None;
    }
    if let Some(shell) = shell {
        let reason = argument_fault(shell.text).or_else(|| {
            (shell.text.trim().is_empty()).then(|| "there is nothing to run".to_owned())
        });
        return match reason {
            None => Some(Action::Shell(shell.text.to_owned())),
            Some(reason) => {
                section.refuse("shell", shell.place, &reason, None);
                None
            }
        };
    }
    read_command(section, &command?).map(Action::Command)
}

pub(super) fn read_command(
    section: &mut Section<'_, '_, '_>,
    command: &[Text<'_>],
) -> Option<Vec<String>> {
    let place = section.key_place("command")?;
    match command.first() {
        None => {
            let help = Some(format!("write {COMMAND}"));
            section.refuse("command", place, "there is nothing to run", help);
            return None;
        }
        Some(program) if program.text.trim().is_empty() => {
            let place = program.place.clone();
            section.refuse("command", place, "the program's name is empty", None);
            return None;
        }
        Some(_) => {}
    }
    let mut is_sound = true;
    for argument in command {
        if let Some(reason) = argument_fault(argument.text) {
            section.refuse("command", argument.place.clone(), &reason, None);
            is_sound = false;
        }
        if OPERATORS.contains(&argument.text) && !is_a_shell(command) {
            section.complain(
                Problem::warning(format!(
                    "`{}` is passed to the program as it is: no shell reads it",
                    argument.text
                ))
                .at(argument.place.clone(), "not interpreted")
                .help("for a shell write shell = \"…\" in place of command"),
            );
        }
    }
    if command
        .iter()
        .map(|argument| argument.text.len())
        .sum::<usize>()
        > MAX_COMMAND
    {
        section.refuse("command", place, "the arguments have more than 1 MB", None);
        return None;
    }
    let words = command.iter().map(|argument| argument.text.to_owned());
    is_sound.then(|| words.collect())
}

/// What only a shell gives a meaning to.
const OPERATORS: [&str; 8] = ["|", "||", "&&", ";", "&", "<", ">", ">>"];

fn is_a_shell(command: &[Text<'_>]) -> bool {
    command.get(1).is_some_and(|flag| flag.text == "-c")
}

fn argument_fault(argument: &str) -> Option<String> {
    if argument.contains('\0') {
        return Some("an argument cannot hold a NUL".to_owned());
    }
    (argument.len() > MAX_ARGUMENT).then(|| {
        format!(
            "an argument may have {MAX_ARGUMENT} bytes, this one has {}",
            argument.len()
        )
    })
}
