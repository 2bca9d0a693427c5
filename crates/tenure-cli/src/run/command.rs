//! Runs a task's command once: environment, output, and how it is stopped.
//!
//! ```text
//!   running ──exits──→ sweep what it left in its group ──→ outcome
//!      └──told to stop──→ SIGTERM ──grace──→ SIGKILL ──↗
//! ```
//!
//! However the command behaves, this ends: pipes are always read and never waited for once the
//! command is gone, and dropping the future kills the whole group.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tenure::core::Timestamp;
use tenure::tasks::{OnLeaseLoss, StopReason};
use tenure::{TaskContext, TaskFailure, TaskReport};
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::time::{Sleep, sleep, timeout};

use super::log::Log;
use super::output::Output;
use crate::child::{Group, Guardian, code_of, spawn_failure};
use crate::exit::Code;
use crate::file::{Account, Action, OutputMode, SWITCH, TaskEntry};
use crate::store::VARIABLE;
use crate::text::shown_os;

/// How long a command that was told to end may take before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// The same when the node's lease is lost and every moment counts.
const HURRIED_GRACE: Duration = Duration::from_millis(800);
/// How long after the end of trust no command may be left: past the hurried grace, and before the
/// lease itself can end, which outlasts trust by a tenth of the node's ttl.
pub(crate) const LAST_MOMENT: Duration = Duration::from_millis(1100);
/// How long what a command left behind may take to end.
const SWEEP_GRACE: Duration = Duration::from_secs(1);
/// How long to read on after the command is gone: a process that left its group may keep the pipe
/// open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// What every command gets of the environment, besides what its task sets.
const KEPT: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR",
];
/// What a service manager says to tenure alone.
const MANAGERS: [&str; 4] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
];
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What all commands of the program have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Ends them if the program cannot.
    pub(crate) guardian: Guardian,
    /// The environment variables that may hold the store's secrets.
    pub(crate) withheld: Vec<String>,
}

/// Runs the command of `task` for the run that `context` tells of.
pub(crate) async fn execute(
    task: &TaskEntry,
    shared: &Shared,
    context: &TaskContext<()>,
) -> Result<TaskReport, TaskFailure> {
    let (mut command, program) = command_of(&task.action, task.user.as_ref());
    command.env_clear();
    command.envs(environment(
        task.inherit_env,
        &shared.withheld,
        std::env::vars_os(),
    ));
    command.envs(identity(task.user.as_ref()));
    command.envs(task.env.iter().map(|(name, value)| (name, value)));
    command.envs(facts(context));
    command
        .current_dir(&task.dir)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let log = match &task.log {
        Some(path) => Log::open(path, context).await,
        None => None,
    };
    let mut output = if task.output == OutputMode::Discard && log.is_none() {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Output::of(None, task, None)
    } else {
        let pipe = piped(&mut command).map_err(|error| {
            TaskFailure::new(format!("cannot make a pipe for the output: {error}"))
        })?;
        Output::of(Some(pipe), task, log)
    };
    let spawned = command.spawn();
    // The command's own ends of the pipe go with it; ours would keep the pipe open.
    drop(command);
    let child = spawned.map_err(|error| {
        if let Some(failure) = no_folder(&task.dir, &program) {
            return failure;
        }
        let failure = spawn_failure(&program, &error);
        TaskFailure::new(failure.to_string().replace("\n  help: ", "; "))
            .exit_code(i32::from(failure.code.0))
    })?;
    let (status, stopped) = watch(child, task, &shared.guardian, context, &mut output).await?;
    verdict(task, status, stopped, output.into_text().await)
}

/// Why a command cannot begin in its folder, which the error of the start does not tell apart from
/// a program that is not there.
fn no_folder(folder: &Path, program: &OsStr) -> Option<TaskFailure> {
    // With the dot, the right to enter it is asked for too.
    let error = std::fs::metadata(folder.join(".")).err()?;
    let (program, folder) = (shown_os(program), shown_os(folder.as_os_str()));
    let text = format!("cannot run `{program}` in `{folder}`: {error}");
    Some(
        TaskFailure::new(format!(
            "{text}; `dir` must be a folder that may be entered"
        ))
        .exit_code(i32::from(Code::NOT_EXECUTABLE.0)),
    )
}

fn command_of(action: &Action, user: Option<&Account>) -> (Command, OsString) {
    let words: Vec<&str> = match action {
        Action::Shell(text) => vec!["/bin/sh", "-c", text],
        Action::Command(words) => words.iter().map(String::as_str).collect(),
    };
    let mut words = words.into_iter();
    if let Some(user) = user.filter(|user| !user.is_ours()) {
        let mut command = Command::new(SWITCH);
        command.arg(format!("--reuid={}", user.uid));
        command.arg(format!("--regid={}", user.gid));
        command.args(["--init-groups", "--"]).args(words);
        return (command, SWITCH.into());
    }
    let program = OsString::from(words.next().unwrap_or_default());
    let mut command = Command::new(&program);
    command.args(words);
    (command, program)
}

/// What a login as `user` would set.
fn identity(user: Option<&Account>) -> Vec<(&'static str, OsString)> {
    user.map_or_else(Vec::new, |user| {
        vec![
            ("HOME", user.home.clone().into()),
            ("USER", (&user.name).into()),
            ("LOGNAME", (&user.name).into()),
            ("SHELL", user.shell.clone().into()),
        ]
    })
}

/// What a command gets of ours: little, or all but the store's secrets.
pub(super) fn environment(
    inherit: bool,
    withheld: &[String],
    ours: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let mut kept: Vec<_> = ours
        .filter(|(name, _)| {
            let text = name.to_string_lossy();
            let is_secret = text == VARIABLE
                || MANAGERS.contains(&&*text)
                || withheld.iter().any(|secret| *secret == text);
            let is_plain = KEPT.contains(&&*text) || text.starts_with("LC_");
            !is_secret && (inherit || is_plain)
        })
        .collect();
    if !kept.iter().any(|(name, _)| name == "PATH") {
        kept.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    kept
}

/// What a command is told of its run.
fn facts(context: &TaskContext<()>) -> [(&'static str, String); 6] {
    let tick: Timestamp = context.tick();
    [
        ("TENURE_TASK", context.task().as_str().to_owned()),
        ("TENURE_TICK", tick.to_string()),
        ("TENURE_INDEX", context.index().to_string()),
        ("TENURE_ATTEMPT", context.attempt().to_string()),
        (
            "TENURE_FENCE",
            context
                .fence()
                .map(|fence| fence.to_string())
                .unwrap_or_default(),
        ),
        ("TENURE_RUN_ID", context.run_id().to_string()),
    ]
}

/// One pipe for both streams, so that their lines keep their order.
pub(super) fn piped(command: &mut Command) -> std::io::Result<pipe::Receiver> {
    let (reader, writer) = std::io::pipe()?;
    command.stderr(writer.try_clone()?).stdout(writer);
    pipe::Receiver::from_owned_fd(OwnedFd::from(reader))
}

/// Kills the group if the future is dropped before the group is known to be empty.
pub(super) struct Leash<'g> {
    group: Option<Group>,
    guardian: &'g Guardian,
}

impl<'g> Leash<'g> {
    /// Over a group that may outlive the node's lease.
    pub(super) fn over(group: Option<Group>, guardian: &'g Guardian) -> Self {
        if let Some(group) = group {
            guardian.add(group);
        }
        Self { group, guardian }
    }
}

impl Leash<'_> {
    fn is_over(&mut self) {
        if let Some(group) = self.group.take() {
            self.guardian.remove(group);
        }
    }
}

impl Drop for Leash<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            group.signal(Signal::SIGKILL);
        }
        self.is_over();
    }
}

async fn watch(
    mut child: tokio::process::Child,
    task: &TaskEntry,
    guardian: &Guardian,
    context: &TaskContext<()>,
    output: &mut Output,
) -> Result<(ExitStatus, Option<StopReason>), TaskFailure> {
    let lost = |error: std::io::Error| TaskFailure::new(format!("lost the command: {error}"));
    let group = child.id().and_then(Group::led_by);
    let mut leash = Leash { group, guardian };
    if let Some(group) = group {
        match task.on_lease_loss {
            OnLeaseLoss::Continue => guardian.add(group),
            _ => guardian.bind(group),
        }
    }
    let mut stopped = None;
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(lost)?,
            () = output.read(context) => {}
            reason = context.cancelled(), if stopped.is_none() => {
                stopped = Some(reason);
                let grace = match reason {
                    StopReason::LeaseLost => HURRIED_GRACE,
                    _ => GRACE,
                };
                patience = Some(Box::pin(sleep(grace)));
                if let Some(group) = group {
                    group.ask_to_end();
                }
            }
            () = over(&mut patience) => {
                patience = None;
                if let Some(group) = group {
                    group.signal(Signal::SIGKILL);
                }
            }
        }
    };
    if let Some(group) = group {
        let grace = if stopped.is_some() {
            Duration::ZERO
        } else {
            SWEEP_GRACE
        };
        let mut sweeping = std::pin::pin!(group.sweep(grace));
        loop {
            tokio::select! {
                biased;
                _ = &mut sweeping => break,
                () = output.read(context) => {}
            }
        }
    }
    leash.is_over();
    // Whether it came to the end of the pipe or not, somebody may be left.
    let _ = timeout(LAST_WORDS, output.read_on(context)).await;
    output.name_those_who_left(context);
    Ok((status, stopped))
}

/// Resolves when a patience that was begun is over.
async fn over(patience: &mut Option<Pin<Box<Sleep>>>) {
    match patience {
        Some(patience) => patience.await,
        None => std::future::pending().await,
    }
}

fn verdict(
    task: &TaskEntry,
    status: ExitStatus,
    stopped: Option<StopReason>,
    output: Option<String>,
) -> Result<TaskReport, TaskFailure> {
    let code = i32::from(code_of(status).0);
    if stopped.is_none()
        && status
            .code()
            .is_some_and(|code| task.success_codes.contains(&code))
    {
        let report = TaskReport::new().exit_code(code);
        return Ok(match output {
            Some(output) => report.output(output),
            None => report,
        });
    }
    // A command that was told to end has not done its work, whatever it says.
    let failure = TaskFailure::new(in_words(status)).exit_code(code);
    Err(match output {
        Some(output) => failure.output(output),
        None => failure,
    })
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal().map(Signal::try_from)) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(Ok(signal))) => format!("ended by {signal}"),
        _ => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f12_a_commands_environment_is_built_and_never_holds_the_stores_secrets() {
        let ours = || {
            [
                "PATH",
                "HOME",
                "LC_ALL",
                "SECRET",
                "TENURE_STORE",
                "DB_PASSWORD",
                "OTHER",
            ]
            .into_iter()
            .map(|name| (OsString::from(name), OsString::from("x")))
        };
        let withheld = ["DB_PASSWORD".to_owned()];
        let names = |inherit| -> Vec<String> {
            environment(inherit, &withheld, ours())
                .into_iter()
                .map(|(name, _)| name.into_string().unwrap())
                .collect()
        };
        assert_eq!(names(false), ["PATH", "HOME", "LC_ALL"]);
        assert_eq!(names(true), ["PATH", "HOME", "LC_ALL", "SECRET", "OTHER"]);
        let bare = environment(false, &[], std::iter::empty());
        assert_eq!(bare, [("PATH".into(), DEFAULT_PATH.into())]);
    }
}
