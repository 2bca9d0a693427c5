//! The headers of every answer, refusals and assets included: what a browser may do with a page,
//! and whether it must come by TLS from now on.
//!
//! The dashboard speaks no TLS. That a request came by TLS is known from a proxy whose address was
//! named, and from nobody else.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::site::Site;

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                   img-src 'self' data:; connect-src 'self'; \
                   frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// A year. Of the host alone: nothing is known of those below it.
const ONLY_TLS: &str = "max-age=31536000";
const PROTOCOL: &str = "x-forwarded-proto";

/// Puts them on an answer.
pub(crate) async fn headers(State(site): State<Site>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let is_tls = is_tls(&site, peer.map(|peer| peer.0.ip()), request.headers());
    let mut answer = next.run(request).await;
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` browsers send forms with the origin `null`, which nobody could trust.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_tls {
        let value = HeaderValue::from_static(ONLY_TLS);
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
    // Assets say themselves how long they last; everything else is about this moment.
    if !headers.contains_key(header::CACHE_CONTROL) {
        let value = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, value);
    }
    answer
}

/// Whether a proxy that is believed says that the browser came by TLS. Where several proxies stand
/// in a row, all of them must have been reached so.
fn is_tls(site: &Site, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    if !peer.is_some_and(|peer| site.believes(peer)) {
        return false;
    }
    let mut said = headers.get_all(PROTOCOL).iter().peekable();
    let has_any = said.peek().is_some();
    has_any
        && said.all(|value| {
            value.to_str().is_ok_and(|value| {
                let mut hops = value.split(',').map(str::trim);
                hops.all(|hop| hop.eq_ignore_ascii_case("https"))
            })
        })
}
