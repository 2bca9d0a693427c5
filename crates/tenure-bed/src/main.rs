//! Serves a server that many tests share; see the module `shared` of the library.
//!
//! `tenure-bed serve NAME`, `tenure-bed ready` and `tenure-bed stop`, each in the folder where it
//! is served.

#![expect(clippy::print_stderr, reason = "a command says what went wrong")]

use std::path::Path;
use std::process::ExitCode;

use tenure_bed::shared::Place;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let place = Place::of(Path::new("."));
    let done = match words[..] {
        ["serve", name] => place.serve(name, asked_to_end()).await,
        ["stop"] => place.stop().await,
        ["ready"] if place.is_ready().await => Ok(()),
        ["ready"] => return ExitCode::FAILURE,
        _ => {
            eprintln!("usage: tenure-bed serve NAME | ready | stop");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenure-bed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Resolves at the first signal that asks to end.
async fn asked_to_end() {
    let of = |kind| signal(kind).ok();
    let (Some(mut interrupt), Some(mut terminate)) =
        (of(SignalKind::interrupt()), of(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
