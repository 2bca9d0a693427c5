//! `tenure lock`: a command under a lock, and what `tenure elect` does of the same.
//!
//! Here is what only `tenure lock` does; [`Standing`] asks for locks and runs a command while they
//! last, for both.

mod standing;
mod supervise;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use tenure::core::{Key, Sharing};
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::standing::{Standing, Terms, ending};
pub(crate) use self::supervise::End;
use crate::args::{LockArgs, Wait};
use crate::child::code_of;
use crate::exit::{Code, Failure, Outcome};
use crate::text::shown_os;

pub(crate) fn run(args: &LockArgs) -> Outcome {
    let keys = args.all.iter().chain(&args.key).map(key_of);
    let terms = Terms {
        keys: keys.collect::<Result<_, _>>()?,
        ttl: args.ttl,
        wait: match (args.no_wait, args.wait) {
            (true, _) => Some(Duration::ZERO),
            (false, Some(Wait::AtMost(wait))) => Some(wait),
            (false, Some(Wait::Forever) | None) => None,
        },
        refused: Code(args.conflict_exit_code),
        sharing: match (args.shared, args.semaphore.and_then(NonZeroU32::new)) {
            (_, Some(permits)) => Sharing::permit(permits),
            (true, None) => Sharing::READ,
            (false, None) => Sharing::Exclusive,
        },
    };
    Standing::with(&args.store, "lock", &args.command, terms, guarded)
}

async fn guarded(mut standing: Standing<'_>) -> Outcome {
    let guards = standing.won().await?;
    match standing.held(guards).await? {
        End::Command(status) => Ok(code_of(status)),
        End::Lease(reason) => Err(Failure::new(
            Code::LEASE_OVER,
            format!(
                "the command was stopped, because its lock could no longer be trusted: {reason}"
            ),
        )),
    }
}

/// A runtime, or why the system does not allow one.
pub(crate) fn runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(|error| {
        Failure::new(Code::SYSTEM, format!("cannot start: {error}"))
            .help("allow more processes and open files (`ulimit -u`, `ulimit -n`)")
    })
}

/// The key that an argument names.
pub(crate) fn key_of(name: &OsString) -> Result<Key, Failure> {
    Key::from_bytes(name.as_bytes()).map_err(|error| {
        Failure::new(
            Code::USAGE,
            format!("`{}` cannot be locked: {error}", shown_os(name)),
        )
        .help("a key is any text of 1 to 512 bytes, such as nightly-backup")
    })
}
