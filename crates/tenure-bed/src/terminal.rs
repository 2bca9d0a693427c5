//! A terminal that nobody sits at: what a program draws on it is read, keys are typed, and its
//! size changes, as a person's would.
//!
//! Relies on `setsid --ctty` of util-linux, which makes the terminal the one that controls the
//! program: without that, nobody would tell the program of a new size.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

use crate::watchdog;

/// A program on a terminal of its own; both are gone with this.
pub struct Terminal {
    child: Child,
    person: File,
    /// Kept open, so that what the program leaves can be looked at after its end.
    programs: OwnedFd,
    before: Termios,
    seen: Arc<Mutex<Seen>>,
}

/// What the program has written.
struct Seen {
    parser: Parser,
    all: Vec<u8>,
}

impl Terminal {
    /// Starts a program on a terminal of so many columns and rows. `with` may set its environment
    /// and its folder.
    ///
    /// # Panics
    /// If the system has no terminal to give, or the program cannot be started.
    #[must_use]
    pub fn start<S: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
        (columns, rows): (u16, u16),
        with: impl FnOnce(&mut Command),
    ) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("the system has no terminal to give");
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let programs = open(name, flags, Mode::empty()).unwrap();
        tcsetwinsize(&person, size(columns, rows)).unwrap();
        let before = tcgetattr(&programs).unwrap();

        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program).args(arguments);
        with(&mut command);
        let end = || programs.try_clone().unwrap();
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("cannot start setsid of util-linux");
        watchdog::guard(child.id());

        let person = File::from(person);
        let seen = Arc::new(Mutex::new(Seen {
            // One that says it has no size is looked at as most are.
            parser: match (columns, rows) {
                (0, _) | (_, 0) => Parser::new(24, 80, 0),
                _ => Parser::new(rows, columns, 0),
            },
            all: Vec::new(),
        }));
        let (mut source, sink) = (person.try_clone().unwrap(), seen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Ends with an error as soon as nobody has the program's side any more.
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                let mut seen = sink.lock().unwrap_or_else(PoisonError::into_inner);
                seen.parser.process(&buffer[..count]);
                seen.all.extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            child,
            person,
            programs,
            before,
            seen,
        }
    }

    /// What stands on the screen now.
    #[must_use]
    pub fn screen(&self) -> String {
        self.look(|seen| seen.parser.screen().contents())
    }

    /// All that was ever written, with what acts on the terminal.
    #[must_use]
    pub fn written(&self) -> String {
        self.look(|seen| String::from_utf8_lossy(&seen.all).into_owned())
    }

    /// Whether the terminal is as it was before: its own screen, a cursor, keys that are echoed and
    /// read by the line.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        let now = tcgetattr(&self.programs).unwrap();
        let keys = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        let are_keys_restored = now.local_modes & keys == self.before.local_modes & keys;
        let is_screen_restored = self.look(|seen| {
            let screen = seen.parser.screen();
            !screen.alternate_screen() && !screen.hide_cursor()
        });
        are_keys_restored && is_screen_restored
    }

    /// Types keys.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        self.person.write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the size, which the program is told of.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) {
        self.look(|seen| seen.parser.screen_mut().set_size(rows, columns));
        tcsetwinsize(&self.person, size(columns, rows)).unwrap();
    }

    /// The program's id, also after its end.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the program ended, once it has.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    fn look<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Terminal");
        shown.field("child", &self.child).finish_non_exhaustive()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        watchdog::forget(self.child.id());
        let _reaped = self.child.wait();
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}
