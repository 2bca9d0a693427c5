//! Puts the dashboard together: what it shows and where.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::middleware::from_fn_with_state;
use tenure_core::{Clock, LeaseStore, RunStore, StoreError, SystemClock};
use tenure_tasks::{Metrics, RunningTasks};

use crate::auth::{Access, Credentials, Hosts, Peers, guard, headers};
use crate::site::{Plan, Site};
use crate::view::{Doctor, Parts, StoreMeter, Verdict, View};

/// The dashboard of one store. See the crate's page.
#[derive(Debug)]
pub struct Dashboard {
    site: Site,
}

/// A dashboard that is being put together.
pub struct DashboardBuilder {
    leases: Arc<dyn LeaseStore>,
    runs: Arc<dyn RunStore>,
    tasks: Option<Weak<RunningTasks>>,
    clock: Arc<dyn Clock>,
    doctor: Option<Doctor>,
    meter: StoreMeter,
    base: Option<String>,
    access: Access,
    hosts: Option<Hosts>,
    proxies: Peers,
    metrics: Option<Metrics>,
}

impl fmt::Debug for DashboardBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashboardBuilder").finish_non_exhaustive()
    }
}

impl Dashboard {
    /// A dashboard of the locks in `leases` and the tasks in `runs`, which usually are one store.
    #[must_use]
    pub fn builder(leases: Arc<dyn LeaseStore>, runs: Arc<dyn RunStore>) -> DashboardBuilder {
        DashboardBuilder {
            leases,
            runs,
            tasks: None,
            clock: Arc::new(SystemClock),
            doctor: None,
            meter: StoreMeter::new(),
            base: None,
            access: Access::asked(Credentials::new()),
            hosts: None,
            proxies: Peers::default(),
            metrics: None,
        }
    }

    /// What it shows, for pages of an application's own.
    #[must_use]
    pub fn view(&self) -> &View {
        self.site.view()
    }

    /// The routes, to be nested under any path. Requests that an application passes on should tell
    /// where they come from (`into_make_service_with_connect_info::<SocketAddr>`), for the records
    /// of changes and against those who guess credentials.
    pub fn router(&self) -> Router {
        routed(self.site.clone())
    }

    /// The routes as they are served on an address of their own: for hosts that are known.
    pub(crate) fn router_on(&self, address: SocketAddr) -> Router {
        let any_address = !address.ip().to_canonical().is_loopback();
        routed(self.site.clone().on_hosts(Hosts {
            names: Vec::new(),
            any_address,
        }))
    }

    /// Whether anybody could use it without a credential.
    pub(crate) fn is_open(&self) -> bool {
        self.site.access().is_open()
    }
}

fn routed(site: Site) -> Router {
    let asked = from_fn_with_state(site.clone(), guard);
    let headers = from_fn_with_state(site.clone(), headers);
    crate::routes::all()
        .router
        .fallback(crate::pages::nowhere)
        .layer(asked)
        .layer(headers)
        .with_state(site)
}

impl DashboardBuilder {
    /// Also shows what this process's runner knows: live output, health, events as they happen.
    /// The dashboard does not keep the tasks from ending.
    #[must_use]
    pub fn tasks(mut self, tasks: &Arc<RunningTasks>) -> Self {
        self.tasks = Some(Arc::downgrade(tasks));
        self
    }

    /// Shows what `meter` counts as the store's traffic.
    #[must_use]
    pub fn meter(mut self, meter: &StoreMeter) -> Self {
        self.meter = meter.clone();
        self
    }

    /// Answers `/metrics` with what `metrics` counts.
    #[must_use]
    pub fn metrics(mut self, metrics: &Metrics) -> Self {
        self.metrics = Some(metrics.clone());
        self
    }

    /// Who may use it. Without this, nobody: an empty list of credentials opens nothing.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Answers only requests for these host names, for addresses in digits and for `localhost`.
    /// Without this every host is answered, and whoever mounts the router checks it.
    #[must_use]
    pub fn hosts<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.hosts = Some(Hosts {
            names: names.into_iter().map(Into::into).collect(),
            any_address: true,
        });
        self
    }

    /// The proxies in front of it whose `X-Forwarded-Proto` is believed: where that says `https`,
    /// browsers are told to come by TLS only (`Strict-Transport-Security`). Those of
    /// [`Credentials::proxy_header`] are believed as well, and nobody else is.
    #[must_use]
    pub fn proxies(mut self, peers: Peers) -> Self {
        self.proxies = peers;
        self
    }

    /// How the store is examined for its page: at most once a minute, when somebody looks. Without
    /// one, the store's own promises are shown.
    #[must_use]
    pub fn doctor<F>(mut self, examine: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Verdict, StoreError>> + Send + 'static,
    {
        self.doctor = Some(Arc::new(move || Box::pin(examine())));
        self
    }

    /// The path under which browsers see the dashboard, such as `/tenure`: needed only behind a
    /// proxy that removes it. Otherwise each request tells.
    #[must_use]
    pub fn base_path(mut self, base: impl Into<String>) -> Self {
        self.base = Some(base.into().trim_end_matches('/').to_owned());
        self
    }

    /// Another clock, for tests.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The dashboard.
    #[must_use]
    pub fn build(self) -> Dashboard {
        let view = View::new(Parts {
            leases: self.leases,
            runs: self.runs,
            tasks: self.tasks,
            clock: self.clock,
            doctor: self.doctor,
            traffic: self.meter.meter,
        });
        Dashboard {
            site: Site::new(Plan {
                view,
                base: self.base,
                access: self.access,
                hosts: self.hosts,
                proxies: self.proxies,
                metrics: self.metrics,
            }),
        }
    }
}
