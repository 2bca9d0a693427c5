//! Puts the dashboard together: what it shows and where.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use axum::Router;
use tenure_core::{Clock, LeaseStore, RunStore, StoreError, SystemClock};
use tenure_tasks::RunningTasks;

use crate::pages;
use crate::site::Site;
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
        }
    }

    /// What it shows, for pages of an application's own.
    #[must_use]
    pub fn view(&self) -> &View {
        self.site.view()
    }

    /// The routes, to be nested under any path.
    pub fn router(&self) -> Router {
        pages::router().with_state(self.site.clone())
    }
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
            site: Site::new(view, self.base),
        }
    }
}
