//! What forms ask for: each is done, and the browser sent back to a page that says so.
//!
//! What is done, and how it is recorded, is in `change`; who may is decided in front of all routes.
//! Here a form is read. One that belongs to a session must carry the session's token, which no
//! other site's page can know.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::FromRequest;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use tenure_core::{BackfillState, Fence, RequestId, RunKey, Timestamp, parse_duration};

use super::fields::Fields;
use super::listing::address;
use super::{lock_key, task_name, told};
use crate::auth::{Right, Visitor};
use crate::change::{Actor, Pace};
use crate::problem::Problem;
use crate::routes::Routes;
use crate::site::Site;
use crate::view::segment;

/// The field of a form that names the session's token.
pub(super) const TOKEN: &str = "form_token";

/// The routes that forms post to.
pub(super) fn routes() -> Routes {
    let change = Some(Right::Change);
    Routes::default()
        .post("/pause", change, async |order: Order| {
            done(pause(&order).await)
        })
        .post("/resume", change, async |order: Order| {
            done(resume(&order).await)
        })
        .post("/run-now", change, async |order: Order| {
            done(run_now(&order).await)
        })
        .post("/backfill", change, async |order: Order| {
            done(backfill(&order).await)
        })
        .post("/end-backfill", change, async |order: Order| {
            done(end_backfill(&order).await)
        })
        .post("/cancel", change, async |order: Order| {
            done(cancel(&order).await)
        })
        .post("/unlock", Some(Right::Force), async |order: Order| {
            done(unlock(&order).await)
        })
}

/// A form that was sent, by whom, and to which address.
struct Order {
    site: Site,
    visitor: Visitor,
    form: Fields,
    query: Fields,
}

impl FromRequest<Site> for Order {
    type Rejection = Response;

    async fn from_request(request: axum::extract::Request, site: &Site) -> Result<Self, Response> {
        use axum::extract::FromRequestParts as _;
        let (mut parts, body) = request.into_parts();
        let Ok(visitor) = Visitor::from_request_parts(&mut parts, site).await;
        let query = Fields::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let request = axum::extract::Request::from_parts(parts, body);
        let body = Bytes::from_request(request, site).await;
        let body = body.map_err(IntoResponse::into_response)?;
        let form = Fields::parse(&body);
        let token = visitor.form_token();
        if token.is_some_and(|token| form.text(TOKEN) != Some(token)) {
            return Err(told(
                StatusCode::FORBIDDEN,
                "You may not change this",
                "The form is not of this session.",
            ));
        }
        Ok(Self {
            site: site.clone(),
            visitor,
            form,
            query,
        })
    }
}

impl Order {
    fn actor(&self) -> Actor {
        Actor::new(&self.visitor, self.form.text("by"))
    }

    fn why(&self) -> &str {
        self.form.text("why").unwrap_or_default()
    }

    fn task(&self) -> Result<tenure_core::TaskName, Problem> {
        Ok(task_name(&self.form)?)
    }

    fn request(&self, field: &'static str) -> Result<RequestId, Problem> {
        let id = RequestId::new(self.form.text(field).unwrap_or_default());
        id.map_err(|error| Problem::invalid(field, error.to_string()))
    }

    fn instant(&self, field: &'static str) -> Result<Timestamp, Problem> {
        let text = self.form.text(field).unwrap_or_default();
        // A browser leaves the seconds out where they are nought.
        let instant = [format!("{text}Z"), format!("{text}:00Z"), text.to_owned()];
        let instant = instant.iter().find_map(|text| text.parse().ok());
        let refused = || Problem::invalid(field, format!("`{text}` is no date and time"));
        instant.ok_or_else(refused)
    }
}

/// Where to go after a change; or a page that says why there was none.
fn done(outcome: Result<String, Problem>) -> Response {
    match outcome {
        Ok(address) => match HeaderValue::from_str(&address) {
            Ok(address) => (StatusCode::SEE_OTHER, [(header::LOCATION, address)]).into_response(),
            Err(_) => StatusCode::NO_CONTENT.into_response(),
        },
        Err(problem) => {
            let help = problem.0.help.as_deref().unwrap_or_default();
            let message = format!("{}. {help}", problem.0.detail);
            told(problem.status(), &problem.0.title, &message)
        }
    }
}

fn task_address(task: &tenure_core::TaskName, done: &str) -> String {
    address("task", &[("name", task.as_str()), ("done", done)])
}

async fn pause(order: &Order) -> Result<String, Problem> {
    let task = order.task()?;
    let until = match order.form.text("for") {
        None => None,
        Some(text) => {
            let refused = |_| Problem::invalid("for", format!("`{text}` is no length of time"));
            let length: Duration = parse_duration(text).map_err(refused)?;
            Some(order.site.view().snapshot().await?.1 + length)
        }
    };
    let view = order.site.view();
    view.pause(&order.actor(), &task, order.why(), until, false)
        .await?;
    Ok(task_address(&task, "paused"))
}

async fn resume(order: &Order) -> Result<String, Problem> {
    let task = order.task()?;
    let view = order.site.view();
    view.resume(&order.actor(), &task, order.why()).await?;
    Ok(task_address(&task, "resumed"))
}

async fn run_now(order: &Order) -> Result<String, Problem> {
    let task = order.task()?;
    let request = order.request("request")?;
    let view = order.site.view();
    let asked = view
        .run_now(&order.actor(), &task, None, Some(request), order.why())
        .await?;
    Ok(match asked.runs.as_slice() {
        [run] => address("run", &[("id", &run.to_string()), ("done", "asked")]),
        _ => task_address(&task, "asked"),
    })
}

async fn backfill(order: &Order) -> Result<String, Problem> {
    let task = order.task()?;
    let (from, to) = (order.instant("from")?, order.instant("to")?);
    let parallel = order.form.text("parallel").unwrap_or("1");
    let refused = |_| Problem::invalid("parallel", format!("`{parallel}` is no number"));
    let pace = Pace::checked(0, parallel.parse().map_err(refused)?)?;
    let view = order.site.view();
    let is_forced = order.form.text("all").is_some();
    let (record, survey) = view.survey(&task, from, to, is_forced).await?;
    view.backfill(&order.actor(), &record, &survey, order.why(), pace)
        .await?;
    Ok(task_address(&task, "backfill"))
}

async fn end_backfill(order: &Order) -> Result<String, Problem> {
    let (task, id) = (order.task()?, order.request("id")?);
    let view = order.site.view();
    view.change_backfill(&order.actor(), &id, BackfillState::Cancelled, order.why())
        .await?;
    Ok(task_address(&task, "backfill-ended"))
}

async fn cancel(order: &Order) -> Result<String, Problem> {
    let id = order.form.text("id").unwrap_or_default();
    let run: RunKey = id
        .parse()
        .map_err(|error| Problem::invalid("id", format!("{error}")))?;
    order
        .site
        .view()
        .cancel(&order.actor(), &run, order.why())
        .await?;
    Ok(address("run", &[("id", id), ("done", "stopping")]))
}

async fn unlock(order: &Order) -> Result<String, Problem> {
    let key = lock_key(&order.query)?;
    let fence = order.form.text("fence").unwrap_or_default().trim();
    let refused = |_| Problem::invalid("fence", format!("`{fence}` is not the number you saw"));
    let fence = Fence::new(fence.parse().map_err(refused)?);
    order
        .site
        .view()
        .force_unlock(&order.actor(), &key, fence, order.why())
        .await?;
    Ok(format!(
        "lock?key={}&done=unlocked",
        segment(key.as_bytes())
    ))
}

/// A name for a request.
pub(super) fn fresh_request() -> String {
    RequestId::random().to_string()
}

/// What was just done, as the address says after a form came back. Only known words are shown.
pub(super) fn said(asked: &Fields) -> Option<Markup> {
    let words = match asked.text("done")? {
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
