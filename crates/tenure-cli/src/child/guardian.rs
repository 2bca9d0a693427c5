//! A second process that ends commands when the first one no longer can.
//!
//! A program that is killed (`kill -9`, out of memory) or stopped (`SIGSTOP`) cannot stop the
//! commands it started, and they would outlast its locks. The guardian can: it learns over a pipe
//! which groups there are and until when they may run, and kills them when that is over, or when
//! the pipe closes before they were taken off its list.
//!
//! ```text
//!   program ──"bind 4711", "until 98765", "remove 4711"──→ guardian
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

    /// Watches a group from now on, which may run until the moment told last.
    pub(crate) fn bind(&self, group: Group) {
        self.tell(&format!("bind {}\n", group.id()));
    }

    /// Watches a group from now on, which may run as long as this program lives.
    pub(crate) fn add(&self, group: Group) {
        self.tell(&format!("add {}\n", group.id()));
    }

    /// Watches a group no longer, because it is over.
    pub(crate) fn remove(&self, group: Group) {
        self.tell(&format!("remove {}\n", group.id()));
    }

    /// Until when the groups that are bound to it may run, by the steady clock, unless a later
    /// moment is told.
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
                watched.kill_bound();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                watched.kill_all();
                return Ok(Code::OK);
            }
        }
    }
}

/// What a guardian watches.
#[derive(Debug, Default)]
struct Watched {
    groups: HashMap<i32, Watch>,
    until: Option<Moment>,
}

/// What is known of a group.
#[derive(Debug, Clone, Copy)]
struct Watch {
    /// When its leader began, by which it is known from a later one of its number.
    began: Option<u64>,
    /// Whether it must end when the moment told last has come.
    is_bound: bool,
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
            let is_bound = order == "bind";
            // Nothing is begun after its end: this one was told of a lease before, and the program
            // was stopped since. Another end is on its way.
            if is_bound && self.until.is_some_and(|until| until <= SystemClock.now()) {
                self.kill_bound();
            }
            if is_bound || order == "add" {
                let began = began(group);
                self.groups.insert(group, Watch { began, is_bound });
            } else {
                self.groups.remove(&group);
            }
        }
    }

    /// How long what is watched may still run.
    fn left(&self) -> Duration {
        match self.until {
            Some(until) if self.groups.values().any(|watch| watch.is_bound) => {
                until.since(SystemClock.now())
            }
            _ => Duration::MAX,
        }
    }

    /// Kills what had to be over by now. What is bound later waits for another end to be told.
    fn kill_bound(&mut self) {
        self.until = None;
        let bound = self.groups.extract_if(|_, watch| watch.is_bound).collect();
        put_an_end_to("tenure was stopped past the end of its lease", bound);
    }

    fn kill_all(&mut self) {
        put_an_end_to("tenure was killed", self.groups.drain().collect());
    }
}

fn put_an_end_to(why: &str, watched: Vec<(i32, Watch)>) {
    let groups: Vec<Group> = watched
        .into_iter()
        .filter(|(leader, watch)| {
            let now = began(*leader);
            now.is_none() || now == watch.began
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

/// When a process began, in ticks since the machine did. `None` if there is none, or it cannot be
/// known.
fn began(process: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    // Field 22 of the whole line; the state behind the name is field 3.
    rest.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r82_what_begins_after_a_lease_that_ended_while_the_program_was_stopped_may_run() {
        let mut commands = [(); 2].map(|()| {
            let mut sleeping = Command::new("sleep");
            sleeping.arg("60").process_group(0).spawn().unwrap()
        });
        let groups = [0, 1].map(|at: usize| Group::led_by(commands[at].id()).unwrap());
        let mut watched = Watched::default();
        let bind = |group: Group| format!("bind {}", group.id());
        let until = |moment: Moment| format!("until {}", moment.since_origin().as_millis());
        watched.obey(&bind(groups[0]));
        watched.obey(&until(SystemClock.now() - Duration::from_millis(100)));
        watched.obey(&bind(groups[1]));
        // What was bound to that end is killed, and what began after it is not.
        assert!(groups[0].is_empty());
        assert_eq!(watched.left(), Duration::MAX);
        assert!(!groups[1].is_empty());
        watched.obey(&until(SystemClock.now()));
        assert_eq!(watched.left(), Duration::ZERO);
        watched.kill_bound();
        assert!(groups[1].is_empty());
        for command in &mut commands {
            // Whoever looked whether its group was empty has its status.
            let _ = command.wait();
        }
    }
}
