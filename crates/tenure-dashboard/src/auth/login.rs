//! The login page: a token, or a name and a password, for a cookie.

use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, State};
use std::net::SocketAddr;

use axum::Extension;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::access::Kind;
use super::guard::{COOKIE, HOST_COOKIE, by_password, cookies, slowed};
use super::visitor::Right;
use crate::pages::style_path;
use crate::problem::Problem;
use crate::routes::Routes;
use crate::site::{Base, Site};

/// The routes of logging in and out.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/login", None, form)
        .post("/login", None, log_in)
        .post("/logout", Some(Right::Read), log_out)
}

#[derive(Deserialize)]
struct Typed {
    #[serde(default)]
    token: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
}

async fn form(State(site): State<Site>, Base(base): Base) -> Response {
    page(&site, &base, StatusCode::OK, None)
}

fn page(site: &Site, base: &str, status: StatusCode, said: Option<&str>) -> Response {
    let Kind::Asked(credentials) = &site.access().kind else {
        return Redirect::to(&format!("{base}/")).into_response();
    };
    let said = said.map_or_else(String::new, |said| {
        format!("<p class=\"said bad\">{said}</p>")
    });
    let fields = if credentials.has_login() {
        "<label>Token <input type=\"password\" name=\"token\" autocomplete=\"off\"></label>\
         <p>or</p>\
         <label>User <input name=\"user\" autocomplete=\"username\"></label>\
         <label>Password <input type=\"password\" name=\"password\" \
         autocomplete=\"current-password\"></label>\
         <p><button class=\"main\">Log in</button></p>"
    } else {
        "<p>This dashboard is opened by the proxy in front of it: come through that.</p>"
    };
    let (base, style) = (escaped(base), escaped(style_path()));
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Log in · tenure</title>\
         <link rel=\"stylesheet\" href=\"{base}/{style}\"><main class=\"login\">\
         <h1>tenure</h1>{said}<form method=\"post\" action=\"{base}/login\">{fields}</form></main>"
    );
    (status, Html(text)).into_response()
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

async fn log_in(
    State(site): State<Site>,
    Base(base): Base,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    typed: Result<Form<Typed>, FormRejection>,
) -> Response {
    let Ok(Form(typed)) = typed else {
        return Problem::invalid("body", "this is no form of the login page").into_response();
    };
    let Kind::Asked(credentials) = &site.access().kind else {
        return Redirect::to(&format!("{base}/")).into_response();
    };
    let from = peer.map(|peer| peer.0.0.ip());
    if let Some(wait) = site.throttle().wait(from) {
        return slowed(wait).into_response();
    }
    let visitor = if typed.token.trim().is_empty() {
        by_password(&site, credentials, &typed.user, &typed.password).await
    } else {
        credentials.by_token(&typed.token, site.view().clock().wall())
    };
    let Some(visitor) = visitor else {
        site.throttle().failed(from);
        tracing::warn!(target: "tenure::audit", ?from, "a login failed");
        let said = "That is no token, or not this user's password.";
        return page(&site, &base, StatusCode::UNAUTHORIZED, Some(said));
    };
    for old in cookies(&headers) {
        site.sessions().end(old);
    }
    let session = site.sessions().begin(&visitor);
    let by = visitor.name().unwrap_or_default();
    tracing::info!(target: "tenure::audit", by, ?from, "logged in");
    let mut answer = Redirect::to(&format!("{base}/")).into_response();
    set_cookie(&mut answer, &cookie(&session, &base, &headers));
    answer
}

async fn log_out(State(site): State<Site>, Base(base): Base, headers: HeaderMap) -> Response {
    for session in cookies(&headers) {
        site.sessions().end(session);
    }
    let mut answer = Redirect::to(&format!("{base}/login")).into_response();
    let gone = format!("{}; Max-Age=0", cookie("", &base, &headers));
    set_cookie(&mut answer, &gone);
    answer
}

fn set_cookie(answer: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// The cookie of a session. A browser that came by TLS says so in its origin.
fn cookie(session: &str, base: &str, headers: &HeaderMap) -> String {
    let origin = headers.get(header::ORIGIN);
    let is_secure = origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let path = if base.is_empty() { "/" } else { base };
    let common = format!("Path={path}; HttpOnly; SameSite=Strict");
    match (is_secure, base.is_empty()) {
        (true, true) => format!("{HOST_COOKIE}={session}; {common}; Secure"),
        (true, false) => format!("{COOKIE}={session}; {common}; Secure"),
        _ => format!("{COOKIE}={session}; {common}"),
    }
}

/// Base 64 as RFC 4648 has it, with or without its padding; `None` for anything else.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap_or_default());
            bits &= (1 << count) - 1;
        }
    }
    (count < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e90_base64_is_read_and_what_is_none_is_refused() {
        for (text, expected) in [
            ("YW5uOnBhc3M=", Some(&b"ann:pass"[..])),
            ("YW5uOnBhc3M", Some(b"ann:pass")),
            ("", Some(b"")),
            ("Zg==", Some(b"f")),
            ("Z", None),
            ("Z m", None),
            ("é", None),
        ] {
            assert_eq!(base64(text).as_deref(), expected, "{text}");
        }
    }
}
