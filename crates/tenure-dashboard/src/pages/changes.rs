//! What forms ask for (placeholder until the actions of the API can be called).

use maud::{Markup, html};

use super::fields::Fields;

/// A name for a request.
pub(super) fn fresh_request() -> String {
    tenure_core::RequestId::random().to_string()
}

/// What was just done, as the address says after a form came back. Only known words are shown.
pub(super) fn said(fields: &Fields) -> Option<Markup> {
    let words = match fields.text("done")? {
        "paused" => "The task is paused.",
        "resumed" => "The task goes on.",
        "asked" => "The run is asked for.",
        "backfill" => "The backfill has begun.",
        "backfill-ended" => "The backfill has been ended.",
        "stopping" => "The run has been asked to stop.",
        "unlocked" => "The lock was taken from its holder.",
        _ => return None,
    };
    Some(html! { div.said role="status" { p { (words) } } })
}
