//! The store: what it promises as it is set up now, how busy it is, how fast it answers.

use maud::{Markup, html};

use super::draw;
use super::frame::{Block, OFTEN, Page, Place, Region};
use super::say;
use crate::view::{Finding, Latency, StoreState, Traffic, View, ViewError};

/// The page.
pub(super) async fn page(view: &View) -> Result<Page, ViewError> {
    let store = view.store().await?;
    Ok(Page {
        title: "Store".to_owned(),
        place: Some(Place::Store),
        now: Some(store.now),
        every: OFTEN,
        blocks: vec![
            Block::Fixed(html! { div.head { h1 { "Store" } p { (store.store) } } }),
            Block::One(Region::plain("verdict", verdict(&store))),
            Block::One(Region::plain("figures", figures(&store))),
            Block::One(Region::sheet("traffic", traffic(store.traffic.as_ref()))),
            Block::One(Region::sheet("findings", findings(&store.verdict.findings))),
        ],
    })
}

fn verdict(store: &StoreState) -> Markup {
    let worst = worst(&store.verdict.findings);
    let class = match worst {
        "danger" => "said bad",
        _ => "said",
    };
    html! {
        div class=(class) {
            p { strong { (store.verdict.verdict) } }
            @if store.losses > 0 {
                p { "Nodes told " (store.losses) " times that the store had forgotten something." }
            }
        }
    }
}

fn worst(findings: &[Finding]) -> &'static str {
    let has = |severity: &str| findings.iter().any(|finding| finding.severity == severity);
    ["danger", "warning"]
        .into_iter()
        .find(|severity| has(severity))
        .unwrap_or("good")
}

fn figures(store: &StoreState) -> Markup {
    let trips = &store.round_trips_us;
    let best = trips.iter().min().copied().unwrap_or(0);
    let off = store.clock_ahead_ms.unsigned_abs();
    let last = store.traffic.as_ref();
    html! {
        dl.figures {
            div { dt { "round trip, best of " (trips.len()) } dd { (micros(best)) } }
            div class=(if off >= 1000 { "warn" } else { "" }) {
                dt { "this clock, compared" }
                dd {
                    @if off < 10 { "exact" }
                    @else {
                        (say::span(off))
                        @if store.clock_ahead_ms > 0 { " ahead" } @else { " behind" }
                    }
                }
            }
            div class=(if store.losses > 0 { "bad" } else { "" }) {
                dt { "losses told" } dd { (say::number(store.losses)) }
            }
            @if let Some(traffic) = last {
                div { dt { "calls, last minute" } dd { (say::number(traffic.calls)) } }
                div class=(if traffic.failed > 0 { "bad" } else { "" }) {
                    dt { "of those unanswered" } dd { (say::number(traffic.failed)) }
                }
            }
            div { dt { "sequence" } dd { (say::number(store.sequence)) } }
        }
    }
}

fn traffic(traffic: Option<&Traffic>) -> Markup {
    html! {
        header {
            h2 { "Calls a second" }
            span.soft { "what this process's runner asked of the store in the last minute" }
        }
        @match traffic {
            None => p.empty { "This process counts no calls." },
            Some(traffic) => {
                div.body.scroll tabindex="0" role="region" aria-label="Calls a second"
                    data-at="100" {
                    (draw::rates(&traffic.per_second))
                }
                @if let Some(latency) = &traffic.latency { (latencies(latency)) }
            }
        }
    }
}

fn latencies(latency: &Latency) -> Markup {
    html! {
        div.body {
            dl.facts {
                dt { "half of the calls within" } dd { (micros(latency.p50_us)) }
                dt { "90 % within" } dd { (micros(latency.p90_us)) }
                dt { "99 % within" } dd { (micros(latency.p99_us)) }
                dt { "the slowest" } dd { (micros(latency.max_us)) }
            }
        }
    }
}

fn findings(findings: &[Finding]) -> Markup {
    html! {
        header { h2 { "Findings" } span.soft { "the same as " code { "tenure doctor" } } }
        @if findings.is_empty() {
            p.empty { "There is nothing to say." }
        } @else {
            table.cards {
                caption.hidden { "What was looked at" }
                thead { tr { th scope="col" { "Weight" } th scope="col" { "What" }
                    th scope="col" { "Found" } } }
                tbody {
                    @for finding in findings {
                        tr class=[(finding.severity == "danger").then_some("bad")] {
                            td data-column="Weight" {
                                (say::badge(tone(&finding.severity), &finding.severity))
                            }
                            td data-column="What" { (finding.topic) }
                            td data-column="Found" { (finding.text) }
                        }
                    }
                }
            }
        }
    }
}

fn tone(severity: &str) -> &'static str {
    match severity {
        "good" => "ok",
        "warning" => "warn",
        "danger" => "bad",
        _ => "idle",
    }
}

fn micros(us: u64) -> String {
    match us {
        0..1000 => format!("{us} µs"),
        1000..1_000_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        _ => say::span(us / 1000),
    }
}
