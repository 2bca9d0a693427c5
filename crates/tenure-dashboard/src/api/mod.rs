//! The JSON API under `/api/v1`: everything the pages show and do, for programs.
//!
//! One table lists the routes; the router and the `OpenAPI` document are both made from it, so
//! neither can be without the other. Lists are pages with a position, answers carry an `ETag`,
//! refusals are `application/problem+json`.

mod answer;
mod changes;
mod document;
mod events;
mod feed;
mod input;
mod probes;
mod reads;
mod refusals;
mod table;

use axum::http::StatusCode;

pub(crate) use self::feed::Feed;
pub(crate) use self::probes::routes as probes;
use self::table::Table;
use crate::auth::Right;
use crate::problem::Problem;
use crate::routes::Routes;

/// All routes of the API.
fn table() -> Table {
    let table = reads::add(Table::default());
    let table = changes::add(table);
    events::add(table)
}

/// The answer to a path that is none.
pub(crate) fn nowhere() -> Problem {
    Problem::not_found("the API has no such path").help("see api/v1/openapi.json for its paths")
}

/// The API, without the path under which it is mounted.
pub(crate) fn routes() -> Routes {
    let table = table();
    let document = document::of(&table);
    let document = move |headers: axum::http::HeaderMap| {
        let answer = answer::json(&document, &headers);
        std::future::ready(answer)
    };
    let mut routes = table
        .routes
        .get("/openapi.json", Some(Right::Read), document);
    routes.router = routes
        .router
        .fallback(async || nowhere())
        .method_not_allowed_fallback(|| async {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let detail = "this path does not know this method";
            Problem::new(status, "method", "not this way", detail)
                .help("see api/v1/openapi.json for the methods of each path")
        });
    routes
}
