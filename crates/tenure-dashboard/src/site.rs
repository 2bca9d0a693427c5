//! What every handler is given: the views, who may use them, and where the dashboard is mounted.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use tenure_tasks::Metrics;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::api::Feed;
use crate::auth::{Access, Hosts, Kind, Peers, Sessions, Throttle, Visitor};
use crate::view::View;

/// How many passwords are checked at once.
const PASSWORDS: usize = 2;

/// The state of all routes. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    inner: Arc<Inner>,
    /// The hosts that suit the address it is served on.
    served: Option<Hosts>,
}

#[derive(Debug)]
struct Inner {
    view: View,
    /// Where it is mounted, if a proxy hides that; without a slash at the end.
    base: Option<String>,
    access: Access,
    hosts: Option<Hosts>,
    proxies: Peers,
    sessions: Sessions,
    throttle: Throttle,
    passwords: Semaphore,
    metrics: Option<Metrics>,
    feed: Feed,
}

/// What a site is made from.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) view: View,
    pub(crate) base: Option<String>,
    pub(crate) access: Access,
    pub(crate) hosts: Option<Hosts>,
    /// The proxies that are believed how a request came to them.
    pub(crate) proxies: Peers,
    pub(crate) metrics: Option<Metrics>,
}

impl Site {
    pub(crate) fn new(plan: Plan) -> Self {
        let clock = plan.view.clock().clone();
        Self {
            served: None,
            inner: Arc::new(Inner {
                feed: Feed::of(&plan.view),
                view: plan.view,
                base: plan.base,
                access: plan.access,
                hosts: plan.hosts,
                proxies: plan.proxies,
                sessions: Sessions::new(clock.clone()),
                throttle: Throttle::new(clock),
                passwords: Semaphore::new(PASSWORDS),
                metrics: plan.metrics,
            }),
        }
    }

    /// What is shown.
    pub(crate) fn view(&self) -> &View {
        &self.inner.view
    }

    pub(crate) fn access(&self) -> &Access {
        &self.inner.access
    }

    /// The hosts that are answered, if not all are.
    pub(crate) fn hosts(&self) -> Option<&Hosts> {
        self.inner.hosts.as_ref().or(self.served.as_ref())
    }

    /// Whether what a peer says of how a request came to it counts: it is one of the proxies that
    /// were named, for this or to name users.
    pub(crate) fn believes(&self, peer: IpAddr) -> bool {
        let names_users = match &self.access().kind {
            Kind::Asked(credentials) => credentials.believe(peer),
            Kind::Open(_) | Kind::Outside => false,
        };
        names_users || self.inner.proxies.contain(peer)
    }

    /// Answers only these hosts, if nobody has said which.
    pub(crate) fn on_hosts(mut self, hosts: Hosts) -> Self {
        self.served = Some(hosts);
        self
    }

    /// Whether what a visitor was known by still counts, for answers that last.
    pub(crate) fn still_admits(&self, visitor: &Visitor) -> bool {
        let now = self.view().clock().wall();
        let by_token = match &self.access().kind {
            Kind::Asked(credentials) => credentials.still_admits(visitor, now),
            _ => true,
        };
        by_token && visitor.session().is_none_or(|it| self.sessions().lasts(it))
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.inner.sessions
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.inner.throttle
    }

    /// A turn to check a password.
    pub(crate) async fn password_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.inner.passwords.acquire().await.ok()
    }

    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.inner.metrics.as_ref()
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.inner.feed
    }
}

/// The path under which the dashboard is mounted, as the browser sees it: empty at the root, else
/// such as `/tenure`. Every link begins with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base(pub(crate) String);

impl FromRequestParts<Site> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Infallible> {
        if let Some(base) = &site.inner.base {
            return Ok(Self(base.clone()));
        }
        // A router that is nested sees the rest of the path only; what is missing is the base.
        let whole = parts.extensions.get::<OriginalUri>();
        let whole = whole.map_or_else(|| parts.uri.path(), |whole| whole.path());
        let rest = parts.uri.path();
        let base = match whole.strip_suffix(rest) {
            Some(base) => base,
            // Asked for without the slash at its end, which the rest of the path has anyway.
            None if rest == "/" => whole,
            None => "",
        };
        Ok(Self(base.trim_end_matches('/').to_owned()))
    }
}
