//! A second process that ends commands when the first one no longer can.
//!
//! A program that is killed (`kill -9`, out of memory) or stopped (`SIGSTOP`) cannot stop the
//! commands it started, and they would outlast its locks. The guardian can: it learns over a pipe
//! which groups there are and until when they may run, and kills them when that is over, or when
//! the pipe closes before they were taken off its list.
//!
//! ```text
//!   program ──"add 4711", "until 98765", "remove 4711"──→ guardian
//! ```
//!
//! Knows nothing of locks. Processes that left their groups are not found: they are nobody's
//! children once the program is dead.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use tenure::core::{Clock as _, Moment, SystemClock};

use super::Group;
use crate::exit::{Code, Outcome};
use crate::notice::notice;
use crate::signals::Signals;

/// The command by which the program starts itself as a guardian.
pub(crate) const COMMAND: &str = "__guard";
/// The longest time between two looks at the clock: timers stand still while a machine sleeps.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long nothing may have been said before the end that was said last is believed.
const QUIET: Duration = Duration::from_millis(5);
/// How long to go on killing. The system owes killed processes no time.
const DEATH: Duration = Duration::from_secs(2);

/// The program's side: tells the guardian what to watch. Without a guardian nothing is told.
#[derive(Debug)]
pub(crate) struct Guardian {
    link: Mutex<Option<io::PipeWriter>>,
    process: Option<Pid>,
}

impl Guardian {
    /// Starts a guardian. If the system allows no further process there is none, and the commands
    /// are guarded by this process alone.
    pub(crate) fn start() -> Self {
        match Self::spawn() {
            Ok((link, process)) => Self {
                link: Mutex::new(Some(link)),
                process: Some(process),
            },
            Err(error) => {
                notice(format_args!(
                    "no guardian ({error}): a kill -9 of this process would leave commands running"
                ));
                Self {
                    link: Mutex::new(None),
                    process: None,
                }
            }
        }
    }

    fn spawn() -> io::Result<(io::PipeWriter, Pid)> {
        let (reader, link) = io::pipe()?;
        fcntl(&link, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // This very program, even if its file has been replaced since.
        let program = if cfg!(target_os = "linux") {
            OsString::from("/proc/self/exe")
        } else {
            std::env::current_exe()?.into()
        };
        let child = Command::new(program)
            .arg0("tenure")
            .arg(COMMAND)
            .env_clear()
            .stdin(reader)
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        let process = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok((link, Pid::from_raw(process)))
    }

    /// The guardian's process, so that nobody takes it for a stray.
    pub(crate) fn process(&self) -> Option<Pid> {
        self.process
    }

    /// Watches a group from now on.
    pub(crate) fn add(&self, group: Group) {
        self.tell(&format!("add {}\n", group.id()));
    }

    /// Watches a group no longer, because it is over.
    pub(crate) fn remove(&self, group: Group) {
        self.tell(&format!("remove {}\n", group.id()));
    }

    /// Until when all groups may run, by the steady clock, unless a later moment is told.
    pub(crate) fn until(&self, moment: Moment) {
        self.tell(&format!("until {}\n", moment.since_origin().as_millis()));
    }

    /// Never waits: a guardian that does not read is no reason to be late. One that has fallen
    /// behind would act on what is long over, so it is done without.
    fn tell(&self, order: &str) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = &mut *link
            && let Err(error) = pipe.write_all(order.as_bytes())
        {
            tracing::debug!(%error, "going on without a guardian");
            if let Some(process) = self.process {
                let _ = kill(process, Signal::SIGKILL);
            }
            *link = None;
        }
    }
}

/// The guardian's side: watches until the pipe closes.
pub(crate) fn serve() -> Outcome {
    // Whoever ends all of tenure's processes means the program; the guardian goes with it.
    let mut ending = SigSet::empty();
    for signal in Signals::ENDING {
        ending.add(signal);
    }
    let _ = ending.thread_block();
    let (told, orders) = mpsc::sync_channel(64);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if told.send(line).is_err() {
                return;
            }
        }
    });
    let mut watched = Watched::default();
    loop {
        let pause = watched.left().clamp(QUIET, LOOK_EVERY);
        match orders.recv_timeout(pause) {
            Ok(line) => watched.obey(&line),
            // Only when nothing more is said: a later end may be on its way.
            Err(RecvTimeoutError::Timeout) if watched.left().is_zero() => {
                watched.kill("tenure was stopped past the end of its lock");
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                watched.kill("tenure was killed");
                return Ok(Code::OK);
            }
        }
    }
}

/// What a guardian watches.
#[derive(Debug, Default)]
struct Watched {
    /// Each group, and when its leader began, by which it is known from a later one of its number.
    groups: HashMap<i32, Option<u64>>,
    until: Option<Moment>,
}

impl Watched {
    fn obey(&mut self, line: &str) {
        let Some((order, number)) = line.split_once(' ') else {
            return;
        };
        if order == "until" {
            let ms = number.parse().ok().map(Duration::from_millis);
            self.until = ms.map(Moment::from_origin);
        } else if let Ok(group) = number.parse() {
            match order {
                "add" => self.groups.insert(group, began(group)),
                _ => self.groups.remove(&group),
            };
        }
    }

    /// How long what is watched may still run.
    fn left(&self) -> Duration {
        match self.until {
            Some(until) if !self.groups.is_empty() => until.since(SystemClock.now()),
            _ => Duration::MAX,
        }
    }

    fn kill(&mut self, why: &str) {
        let groups: Vec<Group> = self
            .groups
            .drain()
            .filter(|(leader, start)| {
                let now = began(*leader);
                now.is_none() || now == *start
            })
            .filter_map(|(leader, _)| Group::led_by(u32::try_from(leader).ok()?))
            .filter(|group| !group.is_empty())
            .collect();
        if groups.is_empty() {
            return;
        }
        notice(format_args!("{why}, so its command is killed"));
        let until = SystemClock.now() + DEATH;
        while SystemClock.now() < until && !groups.iter().all(|group| group.is_empty()) {
            for group in &groups {
                group.signal(Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// When a process began, in ticks since the machine did. `None` if there is none, or it cannot be
/// known.
fn began(process: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    // Field 22 of the whole line; the state behind the name is field 3.
    rest.split(' ').nth(19)?.parse().ok()
}
