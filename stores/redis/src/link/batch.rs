//! Several calls of one client made in one go: one request, one script, and an answer for each.
//!
//! A third of what a short script costs a server is that it is called at all, and most of what a
//! request costs a client is the way there and back. The script that runs several calls is put
//! together from their own, so that it does exactly what they would do alone; what usual cases it
//! treats in fewer commands, it says itself.

use std::sync::OnceLock;

use redis::{Cmd, Value};

use super::script::Digest;

/// The most calls that go together. The server does nothing else meanwhile, so this keeps others
/// waiting for less than a millisecond.
pub(super) const MOST: usize = 64;
/// How large the arguments of the calls that go together may be.
pub(super) const MOST_BYTES: usize = 64 * 1024;

/// The script that runs calls of two others in one go.
#[derive(Debug)]
pub(crate) struct BatchScript {
    /// Those calls stand in this order, whatever order they came in.
    members: [&'static [&'static str]; 2],
    /// What runs the members on their parts of the keys and arguments.
    driver: &'static str,
    ready: OnceLock<Digest>,
}

/// Which script of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    First,
    Second,
}

impl BatchScript {
    /// Of scripts that are made of these parts, and a script that runs them.
    pub(crate) const fn new(members: [&'static [&'static str]; 2], driver: &'static str) -> Self {
        Self {
            members,
            driver,
            ready: OnceLock::new(),
        }
    }

    fn ready(&self) -> &Digest {
        self.ready.get_or_init(|| {
            let functions = self.members.map(|parts| {
                // A member reads KEYS and ARGV, and finds its own.
                format!("function(KEYS, ARGV)\n{}\nend", parts.concat())
            });
            let [first, second] = functions;
            let driver = self.driver;
            Digest::of(format!(
                "local members = {{\n{first},\n{second}\n}}\n{driver}"
            ))
        })
    }

    /// The beginning of a request that has room for so many arguments of so many bytes. With the
    /// script's text if the server does not have it.
    pub(crate) fn begin(&self, brings_script: bool, args: usize, bytes: usize) -> Cmd {
        let script = self.ready();
        let text = if brings_script { script.text.len() } else { 0 };
        let mut cmd = Cmd::with_capacity(args + 2, bytes + text + 64);
        if brings_script {
            cmd.arg("EVAL").arg(&script.text);
        } else {
            cmd.arg("EVALSHA").arg(&script.digest);
        }
        cmd
    }
}

/// What the script of a batch says of its calls.
pub(super) struct Answers {
    /// What is the answer to all acquisitions that are not among the others, if to any.
    fence: Option<i64>,
    /// The numbers of those that have other answers, in their order; [`Value::Nil`] to a call that
    /// there was no time for.
    others: std::iter::Peekable<std::vec::IntoIter<(usize, Value)>>,
    /// The commands that make it cheap are not allowed here.
    pub(super) is_refused: bool,
}

impl Answers {
    /// Of so many calls. `None` if the script does not write so.
    pub(super) fn read(answer: Value, calls: usize) -> Option<Self> {
        let Value::Array(values) = answer else {
            return None;
        };
        let mut values = values.into_iter();
        let Some(Value::BulkString(fence)) = values.next() else {
            return None;
        };
        let fence = match fence.as_slice() {
            [] => None,
            digits => Some(std::str::from_utf8(digits).ok()?.parse().ok()?),
        };
        let (mut others, mut is_refused) = (Vec::new(), false);
        while let Some(number) = values.next() {
            let (Value::Int(number), answer) = (number, values.next()?) else {
                return None;
            };
            match usize::try_from(number).ok()?.checked_sub(1) {
                Some(at) => others.push((at, answer)),
                None => is_refused = true,
            }
        }
        // Who is not named here has the usual answer, so nobody may be named in vain.
        let is_known = others.iter().all(|(at, _)| *at < calls);
        if !is_known || !others.is_sorted_by(|one, next| one.0 < next.0) {
            return None;
        }
        Some(Self {
            fence,
            others: others.into_iter().peekable(),
            is_refused,
        })
    }

    /// The answer to the call that stands `at` this place, asked for in their order. `None` if
    /// there is none, which no script leaves out.
    pub(super) fn next(&mut self, at: usize, member: Member) -> Option<Value> {
        if let Some((_, answer)) = self.others.next_if(|(number, _)| *number == at) {
            return Some(answer);
        }
        match member {
            Member::First => Some(Value::Okay),
            Member::Second => self.fence.map(Value::Int),
        }
    }
}
