//! Stands in front of every route: which host was asked, who asks, and whether they may.
//!
//! One rule for all routes: whoever asks must be known, and what is more than reading (GET, HEAD)
//! must come from a page of ours or from no browser. Open to everybody are the probes, the login
//! page and the assets, which show nothing of the store. What each of those who are known may do,
//! the table of `routes` says.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::access::{Credentials, Kind};
use super::visitor::{Right, Visitor};
use crate::problem::Problem;
use crate::site::{Base, Site};

/// The header in which a change names the form token of a session.
pub(crate) const FORM_TOKEN: &str = "x-tenure-form-token";
/// The cookie that names a session; with TLS and at the root of a host it has the prefix that
/// keeps other hosts from setting it.
pub(crate) const COOKIE: &str = "tenure_session";
pub(crate) const HOST_COOKIE: &str = "__Host-tenure_session";

/// How long an answer may take to begin.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);
/// The longest address, in bytes.
const MOST_URI: usize = 8 * 1024;
/// What everybody may ask for.
pub(crate) const PUBLIC: [&str; 6] = [
    "/healthz",
    "/readyz",
    "/login",
    "/assets/tenure.css",
    "/assets/tenure.js",
    "/assets/tenure.svg",
];

/// Lets a request through, or says why not.
pub(crate) async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    match admitted(&site, request).await {
        Ok(request) => match tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => slow().into_response(),
        },
        Err(refused) => *refused,
    }
}

/// What is told when the store hangs.
fn slow() -> Problem {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let detail = "there was no answer in time; whether anything was changed is unknown";
    Problem::new(status, "slow", "it takes too long", detail)
        .help("look again; the program's log and `tenure doctor` say more")
        .retry_after(10)
}

async fn admitted(site: &Site, request: Request) -> Result<Request, Box<Response>> {
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > MOST_URI {
        let status = StatusCode::URI_TOO_LONG;
        let detail = "an address may have 8 KiB";
        let problem = Problem::new(status, "address", "too long", detail);
        return Err(Box::new(problem.into_response()));
    }
    if let Some(hosts) = site.hosts()
        && !hosts.admit(host_of(&request))
    {
        let status = StatusCode::MISDIRECTED_REQUEST;
        let problem = Problem::new(
            status,
            "host",
            "this host is not served here",
            "the request names a host under which the dashboard is not known",
        );
        let problem = problem.at("host").help(
            "use the address that was printed at the start, or add the name to `hosts` of \
             [dashboard]",
        );
        return Err(Box::new(problem.into_response()));
    }
    let path = request.uri().path();
    let is_public = PUBLIC.contains(&path);
    // Identified also where nobody has to be: probes tell more to those who may read.
    let (mut parts, body) = request.into_parts();
    let from = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|peer| peer.0.ip());
    let known = parts.extensions.get::<Visitor>().cloned();
    let identified = identify(site, known, &parts.headers, from).await;
    let visitor = match identified {
        Ok(visitor) => visitor,
        Err(_) if is_public => None,
        Err(problem) => return Err(Box::new(problem.into_response())),
    };
    if let Some(visitor) = &visitor {
        from_our_page(
            &parts.method,
            &parts.headers,
            host(&parts.headers, &parts.uri),
            visitor,
            is_public,
        )
        .map_err(|problem| Box::new(problem.into_response()))?;
        parts.extensions.insert(visitor.clone().at(from));
    } else if !is_public {
        use axum::extract::FromRequestParts as _;
        let Ok(base) = Base::from_request_parts(&mut parts, site).await;
        return Err(Box::new(unknown(
            &parts.method,
            &parts.headers,
            parts.uri.path(),
            &base,
        )));
    } else if parts.method != Method::GET && parts.method != Method::HEAD {
        came_from_us(&parts.headers, host(&parts.headers, &parts.uri))
            .map_err(|problem| Box::new(problem.into_response()))?;
    }
    Ok(Request::from_parts(parts, body))
}

/// Whether a change comes from where it may come from.
fn from_our_page(
    method: &Method,
    headers: &HeaderMap,
    host: Option<&str>,
    visitor: &Visitor,
    is_public: bool,
) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    came_from_us(headers, host)?;
    if is_public {
        return Ok(());
    }
    // A form carries it among its fields, where the handler looks.
    let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    if let Some(token) = visitor.form_token().filter(|_| !is_form) {
        let given = headers.get(FORM_TOKEN).map(HeaderValue::as_bytes);
        if given != Some(token.as_bytes()) {
            return Err(foreign(
                FORM_TOKEN,
                "the form token is missing or of another session",
            ));
        }
    }
    Ok(())
}

/// Whether a change comes from a page of ours, or from no browser at all.
fn came_from_us(headers: &HeaderMap, host: Option<&str>) -> Result<(), Problem> {
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => Err(foreign(
                "sec-fetch-site",
                "the request comes from another site's page",
            )),
        };
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    let is_ours = authority.is_some_and(|(_, authority)| {
        host.is_some_and(|host| authority.eq_ignore_ascii_case(host))
    });
    if is_ours {
        return Ok(());
    }
    Err(foreign(
        "origin",
        "the request comes from another site's page",
    ))
}

fn foreign(place: &str, detail: &str) -> Problem {
    let status = StatusCode::FORBIDDEN;
    let problem = Problem::new(status, "foreign-page", "not from a page of ours", detail);
    problem
        .at(place)
        .help("open the dashboard itself and do it there")
}

/// What somebody without a credential is told: browsers are shown the login page.
fn unknown(method: &Method, headers: &HeaderMap, path: &str, base: &Base) -> Response {
    let wants_page = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if *method == Method::GET && wants_page && !path.starts_with("/api/") {
        return Redirect::to(&format!("{}/login", base.0)).into_response();
    }
    denied().into_response()
}

/// What is told to somebody who is known and may not do this.
pub(crate) fn forbidden(right: Right) -> Problem {
    let status = StatusCode::FORBIDDEN;
    let detail = match right {
        Right::Read => "your credential does not let you look",
        Right::Change => "your credential lets you look and not change",
        Right::Force => "your credential does not let you take locks from their holders",
    };
    let problem = Problem::new(status, "right", "you may not do this", detail);
    problem.help(format!("use a credential with the right `{right}`"))
}

/// The same answer to whatever was wrong with a credential.
pub(crate) fn denied() -> Problem {
    let status = StatusCode::UNAUTHORIZED;
    let detail = "there is no credential, or it is wrong or no longer valid";
    Problem::new(status, "credential", "who are you?", detail)
        .at("authorization")
        .help("send `Authorization: Bearer TOKEN`, or log in at the page /login")
}

pub(crate) fn slowed(wait: std::time::Duration) -> Problem {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let detail = "too many wrong credentials came from your address";
    Problem::new(status, "slow-down", "wait a little", detail)
        .help("wait and use the right credential; other addresses are not held up")
        .retry_after(wait.as_secs().max(1))
}

/// Who asks: `None` for nobody in particular, an error for wrong credentials.
async fn identify(
    site: &Site,
    known: Option<Visitor>,
    headers: &HeaderMap,
    from: Option<IpAddr>,
) -> Result<Option<Visitor>, Problem> {
    let credentials = match &site.access().kind {
        Kind::Outside => {
            return Ok(Some(
                known.unwrap_or_else(|| Visitor::unknown(Right::Force, "application")),
            ));
        }
        Kind::Open(right) => return Ok(Some(Visitor::unknown(*right, "open"))),
        Kind::Asked(credentials) => credentials,
    };
    if let Some(visitor) = credentials.by_proxy(headers, from) {
        return Ok(Some(visitor));
    }
    let now = site.view().clock().wall();
    for name in cookies(headers) {
        let Some(visitor) = site.sessions().visitor(name) else {
            continue;
        };
        if credentials.still_admits(&visitor, now) {
            return Ok(Some(visitor));
        }
        // The token with which it began has ended, was taken back or lost a right.
        site.sessions().end(name);
    }
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    if let Some(wait) = site.throttle().wait(from) {
        return Err(slowed(wait));
    }
    // A token may have letters of any language, which are bytes here.
    let given = std::str::from_utf8(given.as_bytes()).ok();
    let visitor = match given.and_then(|text| text.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            credentials.by_token(token, now)
        }
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => match basic(pair) {
            Some((name, password)) => by_password(site, credentials, &name, &password).await,
            None => None,
        },
        _ => None,
    };
    if visitor.is_none() {
        site.throttle().failed(from);
        return Err(denied());
    }
    Ok(visitor)
}

/// The user with this password, checked where nobody waits, a few at a time.
pub(crate) async fn by_password(
    site: &Site,
    credentials: &Credentials,
    name: &str,
    password: &str,
) -> Option<Visitor> {
    if !credentials.has_users() {
        return None;
    }
    if let Some(visitor) = site.sessions().checked(name, password) {
        return Some(visitor);
    }
    // Each check takes 19 MiB and tens of milliseconds.
    let _turn = site.password_turn().await?;
    let (credentials, user, typed) = (credentials.clone(), name.to_owned(), password.to_owned());
    let checked = tokio::task::spawn_blocking(move || credentials.by_password(&user, &typed)).await;
    let visitor = checked.ok().flatten()?;
    site.sessions().remember(name, password, &visitor);
    Some(visitor)
}

/// Name and password of HTTP's basic authentication.
fn basic(pair: &str) -> Option<(String, String)> {
    let bytes = super::login::base64(pair.trim())?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// The names of sessions in the cookies of a request, a few at most.
pub(crate) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let all = all.filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|text| text.split(';'));
    let ours = pairs.filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE || name == HOST_COOKIE).then_some(value)
    });
    ours.take(4)
}

fn host_of(request: &Request) -> Option<&str> {
    host(request.headers(), request.uri())
}

/// The host that was asked: of the address line if it has one, else of the header.
fn host<'r>(headers: &'r HeaderMap, uri: &'r axum::http::Uri) -> Option<&'r str> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

/// The hosts under which a dashboard is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    pub(crate) names: Vec<String>,
    /// Addresses in digits are taken whatever they are: no name can be made to point at them.
    pub(crate) any_address: bool,
}

impl Hosts {
    fn admit(&self, host: Option<&str>) -> bool {
        let Some(authority) = host.and_then(|host| host.parse::<Authority>().ok()) else {
            return false;
        };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().trim_matches(['[', ']']);
        if let Ok(address) = host.parse::<IpAddr>() {
            let is_named = self.names.iter().any(|name| name.as_str() == host);
            return self.any_address || address.is_loopback() || is_named;
        }
        let host = host.trim_end_matches('.');
        host.eq_ignore_ascii_case("localhost")
            || self
                .names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    #[test]
    fn f22_only_known_names_and_addresses_are_served() {
        let loopback = Hosts::default();
        let public = Hosts {
            names: vec!["dash.example".to_owned()],
            any_address: true,
        };
        for (host, here, there) in [
            (Some("127.0.0.1:9187"), true, true),
            (Some("localhost"), true, true),
            (Some("LOCALHOST:1"), true, true),
            (Some("[::1]:9187"), true, true),
            (Some("192.0.2.1:80"), false, true),
            (Some("dash.example"), false, true),
            (Some("Dash.Example.:443"), false, true),
            (Some("evil.example"), false, false),
            (Some("localhost.evil.example"), false, false),
            (Some("127.0.0.1@evil.example"), false, false),
            (Some("x@127.0.0.1"), false, false),
            (Some(""), false, false),
            (None, false, false),
        ] {
            assert_eq!(loopback.admit(host), here, "{host:?}");
            assert_eq!(public.admit(host), there, "{host:?}");
        }
    }

    #[test]
    fn f21_changes_come_from_our_pages_or_from_no_browser() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            });
            pairs.collect::<HeaderMap>()
        };
        for (given, is_ours) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("origin", "http://here:1")], true),
            (&[("origin", "http://HERE:1")], true),
            (&[("origin", "http://here:2")], false),
            (&[("origin", "http://evil")], false),
            (&[("origin", "null")], false),
            (
                &[
                    ("origin", "http://here:1"),
                    ("sec-fetch-site", "cross-site"),
                ],
                false,
            ),
        ] {
            let found = came_from_us(&headers(given), Some("here:1"));
            assert_eq!(found.is_ok(), is_ours, "{given:?}");
        }
    }
}
