//! Scripts and the requests that run them.

#[cfg(feature = "cluster")]
use std::borrow::Cow;
use std::io::Write as _;
use std::sync::OnceLock;

use redis::{Arg, Cmd, RedisWrite as _, ToRedisArgs};

#[cfg(feature = "cluster")]
use crate::slots::tag_of;

/// A Lua script: its parts are put together and hashed at the first use.
#[derive(Debug)]
pub(crate) struct Script {
    /// What it does, in an infinitive, for errors.
    pub(crate) doing: &'static str,
    parts: &'static [&'static str],
    /// Whether somebody waits for nothing but the reply.
    is_urgent: bool,
    /// Before how many of its last keys one that it knows nothing of may stand; nowhere if `None`.
    room: Option<usize>,
    ready: OnceLock<Digest>,
}

/// The text of a script, and what the server knows it by.
#[derive(Debug)]
pub(super) struct Digest {
    pub(super) text: String,
    pub(super) digest: String,
}

impl Digest {
    pub(super) fn of(text: String) -> Self {
        let digest = redis::Script::new(&text).get_hash().to_owned();
        Self { text, digest }
    }
}

impl Script {
    pub(crate) const fn new(doing: &'static str, parts: &'static [&'static str]) -> Self {
        Self {
            doing,
            parts,
            is_urgent: false,
            room: Some(0),
            ready: OnceLock::new(),
        }
    }

    /// One whose caller goes on looking for the reply, as [`super::busy`] says.
    pub(crate) const fn urgent(doing: &'static str, parts: &'static [&'static str]) -> Self {
        let mut script = Self::new(doing, parts);
        script.is_urgent = true;
        script
    }

    /// One that finds so many of its keys by counting from the last.
    pub(crate) const fn with_last(mut self, keys: usize) -> Self {
        self.room = Some(keys);
        self
    }

    /// One that does the same to each of its keys, however many these are, and takes none away.
    pub(crate) const fn of_each_key(mut self) -> Self {
        self.room = None;
        self
    }

    fn ready(&self) -> &Digest {
        self.ready.get_or_init(|| Digest::of(self.parts.concat()))
    }

    /// The script as the server reads it.
    pub(crate) fn text(&self) -> &str {
        &self.ready().text
    }

    /// A request to run it on so many keys, which the caller adds first.
    pub(crate) fn call(&'static self, keys: usize) -> Call {
        self.sized_call(keys, 16 + keys, 512 + 96 * keys)
    }

    /// The same with memory for about so many arguments, keys among them, and their bytes.
    pub(crate) fn sized_call(&'static self, keys: usize, args: usize, bytes: usize) -> Call {
        let mut cmd = Cmd::with_capacity(args, bytes);
        cmd.arg("EVALSHA")
            .arg(self.ready().digest.as_str())
            .arg(keys);
        Call {
            cmd,
            script: Some(self),
            keys,
            room: self.room,
            doing: self.doing,
            is_once: false,
            is_urgent: self.is_urgent,
            is_packed: false,
            company: Company::Any,
        }
    }
}

/// One request.
#[derive(Clone)]
pub(crate) struct Call {
    cmd: Cmd,
    script: Option<&'static Script>,
    /// How many keys the script has.
    keys: usize,
    /// See [`Script::room`].
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "of a cluster"))]
    room: Option<usize>,
    pub(crate) doing: &'static str,
    is_once: bool,
    is_urgent: bool,
    /// Whether the script uses keys that the request does not name.
    is_packed: bool,
    pub(super) company: Company,
}

/// How a request goes with others of the same client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// By itself, whatever else is under way.
    Any,
    /// Not before what was to be sent has left.
    Behind,
}

impl Call {
    /// A plain command.
    pub(crate) fn command(doing: &'static str, name: &str) -> Self {
        Self {
            cmd: redis::cmd(name),
            script: None,
            keys: 0,
            room: None,
            doing,
            is_once: false,
            is_urgent: false,
            is_packed: false,
            company: Company::Any,
        }
    }

    /// Adds a key of the script, or an argument behind the keys.
    pub(crate) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.cmd.arg(arg);
        self
    }

    pub(crate) fn push(&mut self, arg: impl ToRedisArgs) {
        self.cmd.arg(arg);
    }

    /// Adds one key or argument that is written in several pieces.
    pub(crate) fn push_joined(&mut self, pieces: &[&[u8]]) {
        self.push_pieces(pieces);
    }

    /// As [`Call::push_joined`], of pieces that are made one after the other.
    pub(crate) fn push_pieces(&mut self, pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let mut arg = self.cmd.writer_for_next_arg();
        for piece in pieces {
            // Writing into memory does not fail.
            let _ = arg.write_all(piece.as_ref());
        }
    }

    /// Adds an argument that is written in place.
    pub(crate) fn push_text(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into memory does not fail.
        let _ = self.cmd.writer_for_next_arg().write_fmt(text);
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Never sent again by itself: a second time it would have another answer.
    pub(crate) fn once(mut self) -> Self {
        self.is_once = true;
        self
    }

    /// Names one key of those that its script uses.
    pub(crate) fn packed(mut self) -> Self {
        self.is_packed = true;
        self
    }

    /// The first of the keys that it names; empty if there is none.
    pub(crate) fn first_key(&self) -> Vec<u8> {
        match self.cmd.args_iter().nth(3) {
            Some(Arg::Simple(key)) => key.to_vec(),
            _ => Vec::new(),
        }
    }

    pub(super) fn is_packed(&self) -> bool {
        self.is_packed
    }

    /// The same request with other keys.
    pub(crate) fn on_keys(&self, keys: usize, push: impl FnOnce(&mut Self)) -> Self {
        let mut cmd = Cmd::with_capacity(16, 512);
        let mut args = self.cmd.args_iter();
        for arg in args.by_ref().take(2) {
            copy(&mut cmd, &arg);
        }
        cmd.arg(keys);
        let mut call = Self {
            cmd,
            keys,
            is_packed: false,
            ..self.clone()
        };
        push(&mut call);
        args.skip(1 + self.keys)
            .for_each(|arg| copy(&mut call.cmd, &arg));
        call
    }

    /// The same request, of a cluster whose slots may move.
    ///
    /// While a slot moves, its old node has only those keys of it that have not gone yet, and does
    /// not make new ones: a script that takes its own key away and looks at it again is ended there
    /// in the middle, and what it did until then stays done. So one more key is named, which nobody
    /// ever writes. As neither of the two nodes has it, both refuse the script before it begins.
    /// `run_base.lua` takes it away again, for scripts that count their keys.
    #[cfg(feature = "cluster")]
    pub(super) fn for_a_slot_at_rest(&self) -> Cow<'_, Self> {
        let (Some(behind), true) = (self.room, self.keys > 0) else {
            return Cow::Borrowed(self);
        };
        let tag = tag_of(&self.first_key());
        let never_there = format!("tenure:{{{tag}}}:rest");
        Cow::Owned(self.on_keys(self.keys + 1, |call| {
            let keys: Vec<_> = self.cmd.args_iter().skip(3).take(self.keys).collect();
            let (before, last) = keys.split_at(self.keys.saturating_sub(behind));
            for key in before {
                copy(&mut call.cmd, key);
            }
            call.push(never_there);
            for key in last {
                copy(&mut call.cmd, key);
            }
        }))
    }

    /// Leaves after everything that was sent before, even if that waits to go together.
    pub(crate) fn behind(mut self) -> Self {
        self.company = Company::Behind;
        self
    }

    pub(super) fn may_repeat(&self) -> bool {
        !self.is_once
    }

    pub(crate) fn cmd(&self) -> &Cmd {
        &self.cmd
    }

    pub(super) fn into_cmd(self) -> Cmd {
        self.cmd
    }

    /// The same request with the script's text in place of its digest.
    pub(crate) fn whole(&self) -> Option<Self> {
        let script = self.script?;
        let mut cmd = Cmd::with_capacity(16, script.text().len() + 512);
        cmd.arg("EVAL").arg(script.text());
        self.cmd
            .args_iter()
            .skip(2)
            .for_each(|arg| copy(&mut cmd, &arg));
        Some(Self {
            cmd,
            script: None,
            company: Company::Any,
            ..*self
        })
    }
}

fn copy(cmd: &mut Cmd, arg: &Arg<&[u8]>) {
    if let Arg::Simple(arg) = arg {
        cmd.arg(arg);
    }
}
