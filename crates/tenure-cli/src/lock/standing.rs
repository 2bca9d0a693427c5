//! Asks for locks, and runs a command while they last: what `tenure lock` and `tenure elect` have
//! in common.
//!
//! Two runtimes share the work. The store's renews the lock; this thread's watches the command. A
//! store that blocks, however it blocks, never delays the stopping of the command.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tenure::Tenure;
use tenure::core::{Key, Sharing, about_duration, format_duration};
use tenure::lock::{AcquireError, GuardSet, Locks, Released};
use tokio::runtime::{Builder, Handle};

use super::runtime;
use super::supervise::{End, Margins, Supervised};
use crate::args::StoreArgs;
use crate::child::{adopt_orphans, spawn_failure};
use crate::exit::{Code, Failure, Outcome, chain};
use crate::login::holds_password;
use crate::notice::notice;
use crate::signals::Signals;
use crate::store::{Chosen, VARIABLE, code_of_store};

/// How long to wait for the store to hear that a lock is given back.
const GOODBYE: Duration = Duration::from_secs(2);
/// After how long a person is told what the program waits for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How locks are asked for.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) keys: Vec<Key>,
    pub(crate) ttl: Duration,
    /// How long to wait; `None`: for ever.
    pub(crate) wait: Option<Duration>,
    /// What the program ends with if they are not had in time.
    pub(crate) refused: Code,
    /// Beside whom they may be held.
    pub(crate) sharing: Sharing,
}

/// A store that is open, and who asks it for locks to run a command under.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    locks: Locks,
    /// The store's runtime.
    handle: Handle,
    pub(crate) signals: Signals,
    terms: Terms,
    command: &'a [OsString],
}

impl<'a> Standing<'a> {
    /// Opens the store, and does `work` on this thread. `doing` is what others see in listings
    /// before the command's name.
    pub(crate) fn with(
        store: &StoreArgs,
        doing: &str,
        command: &'a [OsString],
        terms: Terms,
        work: impl AsyncFnOnce(Self) -> Outcome,
    ) -> Outcome {
        let chosen = Chosen::new(store, None)?;
        let store_side = runtime(Builder::new_multi_thread().worker_threads(2))?;
        let this_side = runtime(&mut Builder::new_current_thread())?;
        let outcome = this_side.block_on(async {
            let mut signals = listen()?;
            let handle = store_side.handle().clone();
            let tenure = opened(chosen, &handle, &mut signals).await?;
            let locks = tenure.labelled(label(doing, command)).locks();
            let standing = Self {
                locks,
                handle,
                signals,
                terms,
                command,
            };
            work(standing).await
        });
        // A store that hangs must not hold up the exit.
        store_side.shutdown_background();
        outcome
    }

    /// The locks. A signal that asks the program to end ends the wait, without a word.
    pub(crate) async fn won(&mut self) -> Result<GuardSet, Failure> {
        let (terms, locks) = (&self.terms, &self.locks);
        let mut asking = ask(terms, locks, &self.handle);
        tokio::select! {
            biased;
            signal = ending(&mut self.signals) => {
                asking.abort();
                // Dropped, the call gives back whatever it was granted; the store hears of it.
                drop(asking.await);
                let _ = tokio::time::timeout(GOODBYE, locks.settled()).await;
                Err(ended_by(signal))
            }
            guards = granted(terms, locks, &mut asking) => {
                if guards.is_err() {
                    // The first of several keys may be on its way back when the wait for another
                    // is over.
                    let _ = tokio::time::timeout(GOODBYE, locks.settled()).await;
                }
                guards
            }
        }
    }

    /// Runs the command while the locks last, gives them back, and says how it ended.
    pub(crate) async fn held(&mut self, guards: GuardSet) -> Result<End, Failure> {
        let margins = Margins::of(self.terms.ttl);
        let end = match start(self.command, &guards, margins).await {
            Ok(supervised) => Ok(supervised.watch(&guards, margins, &mut self.signals).await),
            Err(failure) => Err(failure),
        };
        give_back(guards, &self.locks, &self.handle, end.as_ref().ok()).await;
        end
    }
}

/// The store. A signal that comes first ends the program.
async fn opened(chosen: Chosen, handle: &Handle, signals: &mut Signals) -> Result<Tenure, Failure> {
    let mut opening = handle.spawn(async move { chosen.open().await });
    tokio::select! {
        opened = &mut opening => opened.map_err(|error| bug(&error))?,
        signal = ending(signals) => Err(ended_by(signal)),
    }
}

/// The end of a program that waited for nothing but a lock; whoever sent the signal knows why.
fn ended_by(signal: Signal) -> Failure {
    Failure::quiet(Code::of_signal(signal as i32))
}

/// Listens for what asks the program to end and for what commands like to hear.
fn listen() -> Result<Signals, Failure> {
    let mut all = Signals::ENDING.to_vec();
    all.extend([Signal::SIGUSR1, Signal::SIGUSR2]);
    Signals::listen(&all)
        .map_err(|error| Failure::new(Code::SYSTEM, format!("cannot listen for signals: {error}")))
}

/// The next signal that asks the program to end.
pub(crate) async fn ending(signals: &mut Signals) -> Signal {
    loop {
        let signal = signals.next().await;
        if Signals::ENDING.contains(&signal) {
            return signal;
        }
    }
}

fn bug(error: &tokio::task::JoinError) -> Failure {
    Failure::new(Code::BUG, format!("this is a bug in tenure: {error}"))
}

/// What others see in listings: the command's name.
fn label(doing: &str, command: &[OsString]) -> String {
    let program = command.first().map(std::path::Path::new);
    let name = program.and_then(|program| program.file_name());
    format!(
        "tenure {doing} {}",
        name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    )
}

type Asking = tokio::task::JoinHandle<Result<GuardSet, AcquireError>>;

fn ask(terms: &Terms, locks: &Locks, handle: &Handle) -> Asking {
    let set = locks.all(terms.keys.iter().cloned()).ttl(terms.ttl);
    let set = set.shared(terms.sharing);
    let set = match terms.wait {
        Some(wait) => set.max_wait(wait),
        None => set.wait_forever(),
    };
    handle.spawn(async move { set.acquire().await })
}

async fn granted(terms: &Terms, locks: &Locks, asking: &mut Asking) -> Result<GuardSet, Failure> {
    let got = if let Ok(got) = tokio::time::timeout(PATIENCE, &mut *asking).await {
        got
    } else {
        if std::io::stderr().is_terminal() {
            tell_who_holds(&terms.keys, locks).await;
        }
        tokio::select! {
            got = asking => got,
            never = tell_trouble(locks) => match never {},
        }
    };
    got.map_err(|error| bug(&error))?
        .map_err(|error| refusal(terms, &error))
}

async fn tell_who_holds(keys: &[Key], locks: &Locks) {
    for key in keys {
        let looked = tokio::time::timeout(PATIENCE, locks.inspect(key.clone())).await;
        if let Ok(Ok(Some(view))) = looked
            && let Some(occupant) = view.occupant
        {
            notice(format_args!("waiting for lock `{key}`, held by {occupant}"));
        }
    }
}

/// Says once, each time it begins, that a wait goes on although the store does not answer.
async fn tell_trouble(locks: &Locks) -> std::convert::Infallible {
    let mut told = false;
    loop {
        match locks.trouble() {
            Some(trouble) if !told => {
                told = true;
                notice(format_args!("{trouble}; still trying"));
            }
            None => told = false,
            Some(_) => {}
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

fn refusal(terms: &Terms, error: &AcquireError) -> Failure {
    match error {
        AcquireError::TimedOut {
            key,
            occupant,
            remaining,
            waited,
            ..
        } => {
            // Asking ends a little before the wait, to take back in time what was asked for.
            let after = match terms.wait {
                Some(asked) if !asked.is_zero() && !waited.is_zero() => {
                    format!(", still after {}", format_duration(asked))
                }
                _ => String::new(),
            };
            let lasts = match remaining {
                Some(left) => format!("; its lease lasts {} if not renewed", about_duration(*left)),
                None => "; its lease does not end by itself".to_owned(),
            };
            Failure::new(
                terms.refused,
                format!("lock `{key}` is held by {occupant}{after}{lasts}"),
            )
            .help("wait longer with --wait, or see `tenure locks`")
        }
        AcquireError::InvalidKey { .. }
        | AcquireError::InvalidOptions { .. }
        | AcquireError::KeyCount { .. } => Failure::new(Code::USAGE, chain(error)),
        AcquireError::Store { source, .. } => Failure::new(code_of_store(source), chain(error)),
        AcquireError::NoThread { .. } => Failure::new(Code::SYSTEM, chain(error)),
        _ => Failure::new(Code::UNAVAILABLE, chain(error)),
    }
}

async fn start(
    command: &[OsString],
    guards: &GuardSet,
    margins: Margins,
) -> Result<Supervised, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new(Code::USAGE, "no command was given"));
    };
    // What is handed on by another holder is short until its first renewal.
    margins.reached(guards).await.map_err(|reason| {
        Failure::new(
            Code::LEASE_OVER,
            format!("the command was not started, because its lock could not be trusted: {reason}"),
        )
    })?;
    let guards = guards.guards();
    let keys: Vec<&[u8]> = guards.iter().map(|guard| guard.key().as_bytes()).collect();
    let fences: Vec<String> = guards
        .iter()
        .map(|guard| guard.fence().to_string())
        .collect();
    adopt_orphans();
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env("TENURE_KEY", OsStr::from_bytes(&keys.join(&b","[..])))
        .env("TENURE_FENCE", fences.join(","))
        .stdin(Stdio::inherit())
        .process_group(0);
    // A script may use the same store again, but a password is not for it to see.
    if std::env::var(VARIABLE).is_ok_and(|url| holds_password(&url)) {
        command.env_remove(VARIABLE);
    }
    let child = command
        .spawn()
        .map_err(|error| spawn_failure(program, &error))?;
    Supervised::new(child)
        .ok_or_else(|| Failure::new(Code::SYSTEM, "the command ended before it was seen"))
}

/// Gives the locks back, and says so if that is not sure.
async fn give_back(guards: GuardSet, locks: &Locks, handle: &Handle, end: Option<&End>) {
    let was_stopped = matches!(end, Some(End::Lease(_)));
    let released = handle.spawn(guards.release());
    match tokio::time::timeout(GOODBYE, released).await {
        Ok(Ok(all)) => {
            for (key, released) in all {
                match released {
                    Err(error) => notice(format_args!(
                        "{}; it ends by itself within its ttl",
                        chain(&error)
                    )),
                    Ok(Released::Lost) if !was_stopped => notice(format_args!(
                        "lock `{key}` was taken away before the command ended"
                    )),
                    Ok(_) => {}
                }
            }
        }
        // After a loss there is nothing that a person need be told twice.
        _ if was_stopped => {}
        _ => notice(format_args!(
            "the store did not answer in time; the lock ends by itself within its ttl"
        )),
    }
    let _ = tokio::time::timeout(Duration::from_millis(100), locks.settled()).await;
}
