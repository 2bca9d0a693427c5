//! The table of routes: each with its handler and with what the document says of it.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::refusals::Refusal;
use crate::auth::Right;
use crate::routes::Routes;
use crate::site::Site;

pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What the document says of a route.
#[derive(Debug)]
pub(crate) struct Doc {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// What one must be allowed to do.
    pub(crate) right: Right,
    /// The name of the operation.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) query: Option<SchemaOf>,
    pub(crate) body: Option<SchemaOf>,
    /// The status of a good answer, and its content.
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) answer: Option<SchemaOf>,
    /// Whether an unchanged answer may be told as 304.
    pub(crate) has_etag: bool,
    /// What this route refuses besides what all do, and what its path, query and body bring along.
    pub(super) refusals: Vec<Refusal>,
}

/// All routes.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) routes: Routes,
    pub(crate) docs: Vec<Doc>,
}

impl Doc {
    fn new(method: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path: "",
            right: Right::Read,
            id,
            summary,
            query: None,
            body: None,
            status: 200,
            kind: "application/json",
            answer: None,
            has_etag: method == "GET",
            refusals: Vec::new(),
        }
    }

    /// Something that is read.
    pub(crate) fn read<A: JsonSchema>(id: &'static str, summary: &'static str) -> Self {
        let mut doc = Self::new("GET", id, summary);
        doc.answer = Some(SchemaGenerator::subschema_for::<A>);
        doc
    }

    /// Something that is changed.
    pub(crate) fn change<B: JsonSchema, A: JsonSchema>(
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        let mut doc = Self::new("POST", id, summary);
        doc.right = Right::Change;
        doc.body = Some(SchemaGenerator::subschema_for::<B>);
        doc.answer = Some(SchemaGenerator::subschema_for::<A>);
        doc
    }

    /// With parameters in the query.
    pub(crate) fn query<Q: JsonSchema>(mut self) -> Self {
        self.query = Some(Q::json_schema);
        self
    }

    /// With another status of a good answer.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With an answer that is no JSON.
    pub(crate) fn kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self.answer = None;
        self
    }

    /// With another right than its method needs.
    pub(crate) fn right(mut self, right: Right) -> Self {
        self.right = right;
        self
    }

    /// With a status that it also answers with, and when.
    pub(super) fn refuses(mut self, status: u16, when: &'static str) -> Self {
        self.refusals.push((status, when));
        self
    }

    /// Of something that may not be there.
    pub(super) fn not_found(self, when: &'static str) -> Self {
        self.refuses(404, when)
    }

    /// Of something that may have changed since it was seen.
    pub(super) fn conflict(self, when: &'static str) -> Self {
        self.refuses(409, when)
    }

    pub(crate) fn without_etag(mut self) -> Self {
        self.has_etag = false;
        self
    }
}

impl Table {
    /// With a route more.
    pub(crate) fn add<H, T>(mut self, path: &'static str, mut doc: Doc, handler: H) -> Self
    where
        H: axum::handler::Handler<T, Site>,
        T: 'static,
    {
        doc.path = path;
        let right = Some(doc.right);
        self.routes = match doc.method {
            "POST" => self.routes.post(path, right, handler),
            _ => self.routes.get(path, right, handler),
        };
        self.docs.push(doc);
        self
    }
}
