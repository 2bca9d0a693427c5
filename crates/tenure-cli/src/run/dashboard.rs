//! Serves the dashboard while tasks run: where, to whom, and what becomes of a port that is taken.
//!
//! An address that somebody asked for must be had; the default one gives way to any free port, so
//! that a second `tenure run` on a machine needs no setting. Beyond loopback the library insists on
//! a credential.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use tenure::dashboard::{
    Access, AccessError, Credentials, Dashboard, Finding, Peers, Right, ServeError, Server,
    StoreMeter, Verdict,
};
use tenure::tasks::{Metrics, RunningTasks};
use tenure::{TaskScheduling, Tenure};
use tokio::net::TcpListener;

use super::tokens::TokenFile;
use crate::args::RunArgs;
use crate::exit::{Code, Failure, chain};
use crate::file::DashboardEntry;
use crate::notice::notice;
use crate::store::Chosen;

/// Where it is served if nobody says.
const DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9180);
/// Longer than any token.
const MOST_TOKEN: u64 = 64 * 1024;

/// An address that is listened on, and is answered as soon as tasks run.
pub(super) struct Desk {
    listener: TcpListener,
    entry: DashboardEntry,
    access: Access,
    proxies: Peers,
    tokens: Option<TokenFile>,
    meter: StoreMeter,
    metrics: Metrics,
}

impl Desk {
    /// Takes the address, unless nobody wants a dashboard.
    pub(super) async fn open(
        args: &RunArgs,
        entry: Option<DashboardEntry>,
    ) -> Result<Option<Self>, Failure> {
        let entry = entry.unwrap_or_default();
        if args.no_dashboard || (entry.is_disabled && args.dashboard.is_none()) {
            return Ok(None);
        }
        let (access, tokens) = access_of(&entry)?;
        let proxies = Peers::parse(&entry.proxy_peers).map_err(|error| unusable(&error))?;
        let listener = match args.dashboard.or(entry.address) {
            Some(address) => TcpListener::bind(address).await.map_err(|error| {
                let message = format!("cannot serve the dashboard on {address}: {error}");
                Failure::new(Code::SYSTEM, message)
                    .help("name another address, or use --no-dashboard")
            })?,
            None => match on_default().await {
                Ok(listener) => listener,
                Err(error) => {
                    notice(format_args!("there is no dashboard: {error}"));
                    return Ok(None);
                }
            },
        };
        // Told before anything runs.
        let address = listener.local_addr();
        if let Some(address) = address
            .ok()
            .filter(|it| !it.ip().to_canonical().is_loopback())
            && access.is_open()
        {
            return Err(refused(&ServeError::Open { address }));
        }
        Ok(Some(Self {
            listener,
            entry,
            access,
            proxies,
            tokens,
            meter: StoreMeter::new(),
            metrics: Metrics::new(),
        }))
    }

    /// Counts what `scheduling` will do.
    pub(super) fn watch(&self, scheduling: TaskScheduling<()>) -> TaskScheduling<()> {
        self.meter.watch(scheduling).metrics(&self.metrics)
    }

    /// Answers as long as the program runs, and tells where.
    pub(super) fn serve(
        self,
        tenure: &Tenure,
        chosen: &Chosen,
        tasks: &Arc<RunningTasks>,
    ) -> Result<SocketAddr, Failure> {
        let mut dashboard = Dashboard::builder(tenure.leases(), tenure.runs())
            .tasks(tasks)
            .meter(&self.meter)
            .metrics(&self.metrics)
            .access(self.access)
            .proxies(self.proxies);
        if !self.entry.hosts.is_empty() {
            dashboard = dashboard.hosts(self.entry.hosts);
        }
        if let Some(base) = self.entry.base_path {
            dashboard = dashboard.base_path(base);
        }
        if chosen.redis_url().is_some() {
            let chosen = chosen.clone();
            dashboard = dashboard.doctor(move || {
                let chosen = chosen.clone();
                async move { examine(&chosen).await }
            });
        }
        let server = Server::new(&dashboard.build(), self.listener);
        let server = server.map_err(|error| refused(&error))?;
        let address = server.address();
        // It ends with the runtime.
        tokio::spawn(server.run(std::future::pending()));
        if let Some(tokens) = self.tokens {
            tokio::spawn(tokens.follow());
        }
        Ok(address)
    }
}

fn refused(error: &ServeError) -> Failure {
    match error {
        ServeError::Open { .. } => Failure::new(Code::CONFIG, error.to_string()).help(
            "write change_token_file = \"…\" into [dashboard], with a file that only you can read",
        ),
        _ => Failure::new(Code::SYSTEM, chain(error)),
    }
}

/// The default address, or any free port beside it.
async fn on_default() -> std::io::Result<TcpListener> {
    match TcpListener::bind(DEFAULT).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind((DEFAULT.ip(), 0)).await,
    }
}

/// What `tenure doctor` finds.
async fn examine(chosen: &Chosen) -> Result<Verdict, tenure::core::StoreError> {
    let (verdict, findings) = crate::doctor::diagnosed(chosen).await?;
    let findings = findings.into_iter().map(|(severity, topic, text)| Finding {
        severity: severity.to_owned(),
        topic,
        text,
    });
    Ok(Verdict {
        verdict,
        findings: findings.collect(),
    })
}

/// What is told of a credential, or of a proxy's address, that cannot be used.
fn unusable(error: &AccessError) -> Failure {
    let failure = Failure::new(Code::CONFIG, format!("[dashboard]: {error}"));
    if let AccessError::Peer { .. } = error {
        return failure.help("write proxy_peers = [\"127.0.0.1\"]");
    }
    failure.help("`tenure token` makes one; `head -c 24 /dev/urandom | base64` does as well")
}

/// Who may use it; and the list of tokens with its file, if there is one.
fn access_of(entry: &DashboardEntry) -> Result<(Access, Option<TokenFile>), Failure> {
    let mut credentials = Credentials::new();
    for (path, right) in [
        (&entry.read_token, Right::Read),
        (&entry.change_token, Right::Change),
        (&entry.force_token, Right::Force),
    ] {
        if let Some(path) = path {
            let token = secret_in(path)?;
            credentials = credentials
                .token(&token, right)
                .map_err(|error| unusable(&error))?;
        }
    }
    for (users, right) in [
        (&entry.readers, Right::Read),
        (&entry.users, Right::Change),
        (&entry.admins, Right::Force),
    ] {
        for (name, hash) in users {
            credentials = credentials
                .user(name, hash, right)
                .map_err(|error| unusable(&error))?;
        }
    }
    if let Some(header) = &entry.proxy_header {
        let peers = Peers::parse(&entry.proxy_peers).map_err(|error| unusable(&error))?;
        let right = entry.proxy_right.as_deref().map(str::parse);
        let right = right.and_then(Result::ok).unwrap_or(Right::Change);
        let proxied = credentials.proxy_header(header, peers, right);
        credentials = proxied.map_err(|error| unusable(&error))?;
    }
    let file = entry.tokens.as_deref().map(TokenFile::open).transpose()?;
    if let Some(file) = &file {
        credentials = credentials.tokens(&file.list);
    }
    let right = if entry.is_read_only {
        Right::Read
    } else {
        Right::Force
    };
    let access = if credentials.is_empty() {
        Access::open(right)
    } else {
        Access::asked(credentials)
    };
    Ok((access, file))
}

/// The text of a file that only its owner and group can read.
pub(super) fn secret_in(path: &Path) -> Result<String, Failure> {
    let shown = crate::text::shown_os(path.as_os_str());
    let unread = |error: std::io::Error| {
        let message = format!("[dashboard]: cannot read the token in `{shown}`: {error}");
        Failure::new(Code::CONFIG, message)
    };
    let about = std::fs::metadata(path).map_err(unread)?;
    if about.mode() & 0o007 != 0 {
        let message = format!("[dashboard]: everybody on this machine can read `{shown}`");
        return Err(Failure::new(Code::CONFIG, message).help(format!("chmod o= {shown}")));
    }
    if about.len() > MOST_TOKEN {
        let message = format!("[dashboard]: `{shown}` is too long for a token");
        return Err(Failure::new(Code::CONFIG, message));
    }
    std::fs::read_to_string(path).map_err(unread)
}
