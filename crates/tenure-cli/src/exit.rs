//! How the program ends: its exit codes, and the failures that carry one.
//!
//! Codes follow sysexits(3) where it has one for the case. Nothing here prints; `main` does.

use std::fmt;

/// An exit status of the program's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u8);

impl Code {
    pub(crate) const OK: Self = Self(0);
    /// The lock was not had; `--conflict-exit-code` changes it.
    pub(crate) const CONFLICT: Self = Self(1);
    pub(crate) const USAGE: Self = Self(64);
    pub(crate) const DATA: Self = Self(65);
    pub(crate) const NO_INPUT: Self = Self(66);
    pub(crate) const UNAVAILABLE: Self = Self(69);
    pub(crate) const BUG: Self = Self(70);
    pub(crate) const SYSTEM: Self = Self(71);
    pub(crate) const CANNOT_CREATE: Self = Self(73);
    /// The command was stopped because its lock could no longer be trusted.
    pub(crate) const LEASE_OVER: Self = Self(75);
    /// `trigger --wait`: the runs go on.
    pub(crate) const NOT_YET: Self = Self(75);
    pub(crate) const DENIED: Self = Self(77);
    pub(crate) const CONFIG: Self = Self(78);
    pub(crate) const NOT_EXECUTABLE: Self = Self(126);
    pub(crate) const NOT_FOUND: Self = Self(127);

    /// The status of a process that ended by a signal, as shells write it.
    pub(crate) fn of_signal(number: i32) -> Self {
        Self(u8::try_from(number).map_or(255, |number| number.saturating_add(128)))
    }
}

/// Printed below every command's help.
pub(crate) const HELP: &str = "\
Exit status:
  0    success; `resume` also of what was not paused
  1    the lock was not had (`--conflict-exit-code` changes it); `unlock`: the holder has changed;
       `cancel`: nothing was left to stop;
       `trigger --wait`, `backfill --wait`: a run did not end well; `diff`: something would change;
       `bench --check`: a bar was missed; `verify`: a promise was broken
  64   wrong usage              71   the system refuses (processes, files)
  65   bad data, a schedule     73   output cannot be written
  66   no such file or store    75   a command was stopped before its end, because its lock could no
  69   the store failed              longer be trusted, or (`run`) because tenure had to end
  70   a bug in tenure          77   not permitted          78   bad task file or settings
  126, 127  the command is not executable, not found
  128+n     the command died by signal n; 130, 143: interrupted while waiting
  any other: the command's own";

/// Why the program ends early, with the status it ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Ends without a word, as when nobody reads what is printed.
    pub(crate) fn quiet(code: Code) -> Self {
        Self::new(code, "")
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }

    /// Adds one thing the reader can do about it.
    pub(crate) fn help(mut self, step: impl fmt::Display) -> Self {
        self.message = format!("{}\n  help: {step}", self.message);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a command comes to: its status, or the failure it ended with.
pub(crate) type Outcome = Result<Code, Failure>;

/// An error with all its causes, on one line. What a cause says, behind what it calls itself, is
/// not said twice.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        let said = cause_text
            .split_once(": ")
            .map_or(&*cause_text, |(_, said)| said);
        if !text.contains(said.trim_end_matches('.')) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
