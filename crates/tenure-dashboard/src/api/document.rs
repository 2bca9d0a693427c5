//! The `OpenAPI` 3.1 document, made from the table of routes and from the types they answer with.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::refusals;
use super::table::{Doc, Table};
use crate::problem::Told;

/// The document.
pub(crate) fn of(table: &Table) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for doc in &table.docs {
        let path = paths.entry(doc.path).or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            let method = doc.method.to_lowercase();
            methods.insert(method, operation(doc, &mut schemas));
        }
    }
    let definitions = schemas.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tenure",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Locks and scheduled tasks: what the dashboard shows and does. Names in \
                            paths are percent-encoded, byte for byte. Lists are pages: pass `next` \
                            as `after`. Instants are RFC 3339 in UTC, spans are milliseconds. A \
                            path that is none is answered with 404, one that does not know the \
                            method with 405, as a `Problem` like all refusals.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "." }],
        "security": [{}, { "token": [] }, { "password": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" },
                "session": { "type": "apiKey", "in": "cookie", "name": "tenure_session" },
            },
        },
    })
}

fn operation(doc: &Doc, schemas: &mut SchemaGenerator) -> Value {
    let mut parameters = in_path(doc.path);
    if let Some(query) = doc.query {
        parameters.extend(in_query(query(schemas).as_value()));
    }
    let answers = answers(doc, schemas);
    let mut operation = json!({
        "operationId": doc.id,
        "summary": doc.summary,
        "description": format!("Needs the right `{}`.", doc.right),
        "parameters": parameters,
        "responses": answers,
    });
    if let (Some(body), Some(operation)) = (doc.body, operation.as_object_mut()) {
        let schema = body(schemas).to_value();
        let body = json!({
            "required": true,
            "content": { "application/json": { "schema": schema } },
        });
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

/// Every status that a route answers with, and what comes with it.
fn answers(doc: &Doc, schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let schema = match doc.answer {
        Some(answer) => answer(schemas).to_value(),
        None => json!({ "type": "string" }),
    };
    let mut good = json!({
        "description": doc.summary,
        "content": { doc.kind: { "schema": schema } },
    });
    let mut answers = Map::new();
    if doc.has_etag {
        let tag = header("By this an unchanged answer is known: send it as `If-None-Match`.");
        let headers = json!({ "ETag": tag });
        let unchanged = json!({
            "description": "It is as the `If-None-Match` of the request says.",
            "headers": &headers,
        });
        answers.insert("304".to_owned(), unchanged);
        if let Some(good) = good.as_object_mut() {
            good.insert("headers".to_owned(), headers);
        }
    }
    answers.insert(doc.status.to_string(), good);
    let problem = schemas.subschema_for::<Told>().to_value();
    for (status, when) in refusals::of(doc) {
        let mut refusal = json!({
            "description": when,
            "content": { "application/problem+json": { "schema": &problem } },
        });
        let told = match status {
            401 => Some(("WWW-Authenticate", "How to say who asks.")),
            429 | 503 => Some(("Retry-After", "After how many seconds to try again.")),
            _ => None,
        };
        if let (Some((name, what)), Some(refusal)) = (told, refusal.as_object_mut()) {
            refusal.insert("headers".to_owned(), json!({ name: header(what) }));
        }
        answers.insert(status.to_string(), refusal);
    }
    answers
}

/// A header of an answer.
fn header(what: &str) -> Value {
    json!({ "description": what, "schema": { "type": "string" } })
}

/// The parameters that stand in braces in a path.
fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    names
        .map(|name| {
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "schema": { "type": "string", "minLength": 1 },
            })
        })
        .collect()
}

/// The fields of a query's type as parameters.
fn in_query(schema: &Value) -> Vec<Value> {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)));
    fields
        .iter()
        .map(|(name, schema)| {
            let mut schema = schema.clone();
            let description = schema
                .as_object_mut()
                .and_then(|it| it.remove("description"));
            // In a query there is no null: what is absent is left out.
            if let Some(kinds) = schema.get_mut("type").filter(|kinds| kinds.is_array()) {
                let first = kinds.get(0).cloned().unwrap_or_default();
                *kinds = first;
            }
            json!({
                "name": name,
                "in": "query",
                "required": is_required(name),
                "description": description,
                "schema": schema,
            })
        })
        .collect()
}
