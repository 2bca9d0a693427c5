//! Where the programs of servers are.
//!
//! A variable of the environment names one; otherwise it is where `cargo xtask servers up` put it,
//! or on the PATH. A program that is missing is a panic that says what to do, and so is one that
//! this run was asked to do without: a test never passes because it could not run.

use std::env;
use std::path::{Path, PathBuf};

/// Which server: Redis, or Valkey, which speaks the same protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// `redis-server`; `TENURE_REDIS_SERVER` names another program.
    Redis,
    /// `valkey-server`; `TENURE_VALKEY_SERVER` names another program. Usually built without TLS.
    Valkey,
}

impl Flavour {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    /// What `xtask/servers.toml`, `TENURE_WITHOUT` and the names of tests call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }

    /// The server's program.
    pub(crate) fn program(self) -> PathBuf {
        assert_not_left_out(self.name());
        match self {
            Self::Redis => find("TENURE_REDIS_SERVER", "redis-server"),
            Self::Valkey => find("TENURE_VALKEY_SERVER", "valkey-server"),
        }
    }
}

/// A test never passes because it could not run, and never runs what it was asked to do without.
pub(crate) fn assert_not_left_out(name: &str) {
    let left_out = env::var("TENURE_WITHOUT").unwrap_or_default();
    assert!(
        !left_out.split(',').any(|word| word.trim() == name),
        "TENURE_WITHOUT leaves `{name}` out, but this test starts it. Tests that start a server \
         have its name in their own, their module's or their file's: rename this one"
    );
}

/// The program that people type; `TENURE_REDIS_CLI` names another.
pub(crate) fn redis_cli() -> PathBuf {
    find("TENURE_REDIS_CLI", "redis-cli")
}

/// The program that asks an HTTP API whatever its document allows; `TENURE_SCHEMATHESIS` names
/// another. A test that runs it has `schemathesis` in its name.
#[must_use]
pub fn schemathesis() -> PathBuf {
    assert_not_left_out("schemathesis");
    find("TENURE_SCHEMATHESIS", "schemathesis")
}

/// The folder of this repository that is never committed.
pub(crate) fn provided() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.servers")
}

pub(crate) fn find(variable: &str, name: &str) -> PathBuf {
    if let Some(named) = env::var_os(variable).filter(|named| !named.is_empty()) {
        return PathBuf::from(named);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![provided().join("bin")];
    folders.extend(env::split_paths(&path));
    let found = folders.into_iter().map(|folder| folder.join(name));
    let mut found = found.filter(|program| program.is_file());
    found.next().unwrap_or_else(|| {
        panic!(
            "`{name}` is missing: `cargo xtask servers up` gets it, or {variable} names it. To run \
             without, say TENURE_WITHOUT=… to `cargo xtask test`"
        )
    })
}
