//! The table of all routes, each with the right that it needs.
//!
//! No route is made but through this table, so none can be without an entry; the right is checked
//! where the route is, whatever stands in front of it. Who somebody is, `auth` finds out.

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};

use crate::auth::{Right, Visitor, forbidden};
use crate::site::Site;

/// One route, as the test that walks all of them sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path below the one where the dashboard is mounted, names in braces.
    pub path: String,
    /// What one must be allowed to do; `None`: everybody may ask.
    pub right: Option<Right>,
}

/// Routes with their handlers.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) router: Router<Site>,
    pub(crate) all: Vec<Route>,
}

impl Routes {
    /// With a route that reads.
    pub(crate) fn get<H, T>(self, path: &'static str, right: Option<Right>, handler: H) -> Self
    where
        H: Handler<T, Site>,
        T: 'static,
    {
        self.add("GET", path, right, get(handler))
    }

    /// With a route that changes something.
    pub(crate) fn post<H, T>(self, path: &'static str, right: Option<Right>, handler: H) -> Self
    where
        H: Handler<T, Site>,
        T: 'static,
    {
        self.add("POST", path, right, post(handler))
    }

    fn add(
        mut self,
        method: &'static str,
        path: &'static str,
        right: Option<Right>,
        handler: MethodRouter<Site, Infallible>,
    ) -> Self {
        let handler = match right {
            None => handler,
            Some(right) => handler.route_layer(from_fn(move |request: Request, next: Next| {
                with_right(right, request, next)
            })),
        };
        self.router = self.router.route(path, handler);
        self.all.push(Route {
            method,
            path: path.to_owned(),
            right,
        });
        self
    }

    /// With other routes beside them.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.all.extend(other.all);
        self
    }

    /// With other routes below a path.
    pub(crate) fn nest(mut self, path: &'static str, other: Self) -> Self {
        self.router = self.router.nest(path, other.router);
        let below = other.all.into_iter().map(|route| Route {
            path: format!("{path}{}", route.path),
            ..route
        });
        self.all.extend(below);
        self
    }
}

async fn with_right(right: Right, request: Request, next: Next) -> Response {
    let visitor = request.extensions().get::<Visitor>();
    if visitor.is_some_and(|visitor| visitor.may(right)) {
        return next.run(request).await;
    }
    forbidden(right).into_response()
}

/// All routes of the dashboard.
pub(crate) fn all() -> Routes {
    crate::pages::routes()
        .merge(crate::auth::login_routes())
        .merge(crate::api::probes())
        .nest("/api/v1", crate::api::routes())
}

/// All routes of the dashboard, each with the right that it needs.
#[must_use]
pub fn routes() -> Vec<Route> {
    all().all
}
