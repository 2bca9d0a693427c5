//! Several calls of one client made in one go: one request, one script, and an answer for each.
//!
//! A third of what a short script costs a server is that it is called at all, and most of what a
//! request costs a client is the way there and back. The script that runs several calls is put
//! together from their own, so that it does exactly what they would do alone; what usual cases it
//! treats in fewer commands, it says itself.

use std::sync::OnceLock;

use redis::{Arg, Cmd, Value};

use super::script::{Call, Digest};

/// The most calls that go together. The server does nothing else meanwhile, so this keeps others
/// waiting for less than a millisecond.
pub(super) const MOST: usize = 32;
/// How large the arguments of the calls that go together may be.
pub(super) const MOST_BYTES: usize = 64 * 1024;

/// Two scripts whose calls can be made in one go.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Those calls stand in this order, whatever order they came in.
    members: [&'static [&'static str]; 2],
    /// What runs the members on their parts of the keys and arguments.
    driver: &'static str,
    ready: OnceLock<Digest>,
}

impl Batch {
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

    /// The request that makes these calls: first those of the first member, then the others. With
    /// the script's text if the server does not have it.
    pub(super) fn request<T>(
        &self,
        calls: [&[T]; 2],
        brings_script: bool,
        call: impl Fn(&T) -> &Call + Copy,
    ) -> Cmd {
        let script = self.ready();
        let [first, second] = calls;
        let all = || first.iter().chain(second).map(call);
        let keys: usize = all().map(|call| call.keys).sum();
        let args = all()
            .map(|call| call.cmd().args_iter().len())
            .sum::<usize>();
        let bytes = all().map(Call::size).sum::<usize>();
        let text = if brings_script { script.text.len() } else { 0 };
        let mut cmd = Cmd::with_capacity(args + 4, bytes + text + 64);
        if brings_script {
            cmd.arg("EVAL").arg(&script.text);
        } else {
            cmd.arg("EVALSHA").arg(&script.digest);
        }
        cmd.arg(keys);
        for call in all() {
            add(&mut cmd, call.cmd().args_iter().skip(3).take(call.keys));
        }
        cmd.arg(first.len());
        for call in all() {
            add(&mut cmd, call.cmd().args_iter().skip(3 + call.keys));
        }
        cmd
    }
}

fn add<'a>(cmd: &mut Cmd, args: impl Iterator<Item = Arg<&'a [u8]>>) {
    for arg in args {
        if let Arg::Simple(arg) = arg {
            cmd.arg(arg);
        }
    }
}

/// What the script of a batch says of its calls.
pub(super) struct Answers {
    /// One answer for each, in the order of the request; [`Value::Nil`] to a call that there was no
    /// time for.
    pub(super) values: Vec<Value>,
    /// The commands that make it cheap are not allowed here.
    pub(super) is_refused: bool,
}

impl Answers {
    /// `None` if the script does not write so.
    pub(super) fn read(answer: Value, calls: usize) -> Option<Self> {
        let Value::Array(mut values) = answer else {
            return None;
        };
        let is_refused = values.len() == calls + 1;
        values.truncate(calls);
        (values.len() == calls).then_some(Self { values, is_refused })
    }
}
