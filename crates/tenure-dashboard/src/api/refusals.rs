//! Which refusals a route may answer with, as the document tells of them.
//!
//! What stands in front of all routes refuses in the same ways for all of them; names, queries and
//! bodies are refused where they are read; what only one route refuses is said beside that route.
//! Knows nothing of how a document is written.

use std::collections::BTreeMap;

use super::table::Doc;
use crate::auth::Right;

/// A status, and when a route answers with it.
pub(super) type Refusal = (u16, &'static str);

/// What is refused before any route is asked.
const BEFORE: [Refusal; 5] = [
    (401, "The credential is missing, wrong or no longer valid."),
    (414, "The address is longer than 8 KiB."),
    (
        421,
        "The dashboard is not known under the host that the request names.",
    ),
    (429, "Too many wrong credentials came from this address."),
    (503, "The store does not answer, or not in time."),
];
/// What a change is refused for, besides.
const FORBIDDEN: Refusal = (
    403,
    "The credential does not have the right, or the request comes from another site's page.",
);
/// Of a route with names in its path or with a query.
const UNREADABLE: Refusal = (
    400,
    "A part of the request cannot be read or is not allowed; `place` says which.",
);
/// Of a route with a body.
const OF_BODIES: [Refusal; 4] = [
    UNREADABLE,
    (408, "The body did not arrive within ten seconds."),
    (413, "The body is longer than 64 KiB, or broke off."),
    (415, "The body is not JSON, or does not say that it is."),
];

/// All refusals of a route, each status with the cases in which it is answered.
pub(super) fn of(doc: &Doc) -> BTreeMap<u16, String> {
    let mut all: Vec<Refusal> = BEFORE.to_vec();
    if doc.method != "GET" || doc.right > Right::Read {
        all.push(FORBIDDEN);
    }
    if doc.body.is_some() {
        all.extend(OF_BODIES);
    } else if doc.query.is_some() || doc.path.contains('{') {
        all.push(UNREADABLE);
    }
    all.extend(&doc.refusals);
    let mut told: BTreeMap<u16, String> = BTreeMap::new();
    for (status, when) in all {
        let cases = told.entry(status).or_default();
        if !cases.is_empty() {
            cases.push(' ');
        }
        cases.push_str(when);
    }
    told
}
