//! The files that pages need, compiled into the program: a style sheet, a script, an icon.
//!
//! Their addresses carry a hash of their content, so a browser may keep them for ever and gets a
//! new one with a new program.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::routes::Routes;

/// The style sheet.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "tenure.css",
        "text/css",
        include_str!("../../assets/tenure.css"),
    )
});
/// The script.
pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../../assets/tenure.js");
    Asset::new("tenure.js", "text/javascript", text)
});
/// The icon.
pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../../assets/tenure.svg");
    Asset::new("tenure.svg", "image/svg+xml", text)
});

/// One file.
#[derive(Debug)]
pub(super) struct Asset {
    path: String,
    tag: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, kind: &'static str, text: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = format!("{:016x}", hasher.finish());
        Self {
            path: format!("assets/{name}?v={hash}"),
            tag: format!("\"{hash}\""),
            kind,
            text,
        }
    }

    /// Its address, seen from any page.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let has_it = asked
            .get(header::IF_NONE_MATCH)
            .is_some_and(|tag| tag == self.tag.as_str());
        let keep = HeaderValue::from_static("public, max-age=31536000, immutable");
        let tag = HeaderValue::from_str(&self.tag).unwrap_or(HeaderValue::from_static("\"\""));
        let headers = [(header::CACHE_CONTROL, keep), (header::ETAG, tag)];
        if has_it {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let kind = HeaderValue::from_static(self.kind);
        (headers, [(header::CONTENT_TYPE, kind)], self.text).into_response()
    }
}

/// Serves the files.
pub(super) fn routes() -> Routes {
    let of = |asset: &'static LazyLock<Asset>| {
        move |asked: HeaderMap| std::future::ready(asset.answer(&asked))
    };
    Routes::default()
        .get("/assets/tenure.css", None, of(&STYLE))
        .get("/assets/tenure.js", None, of(&SCRIPT))
        .get("/assets/tenure.svg", None, of(&ICON))
}
