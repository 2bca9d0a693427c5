//! One run: what it printed, its attempts, who had it and against whom, and why it is as it is.

use maud::{Markup, html};
use tenure_core::RunKey;

use super::forms::{self, Right};
use super::frame::{Block, OFTEN, Page, Place, Region, SELDOM};
use super::now::took;
use super::say::{self, Rel};
use crate::view::{Attempt, RunDetail, View, ViewError, segment};

/// The page of a run.
pub(super) async fn page(
    view: &View,
    key: &RunKey,
    said: Option<Markup>,
    right: &Right,
) -> Result<Page, ViewError> {
    let run = view.run(key).await?;
    let now = view.snapshot().await?.1;
    let row = &run.run;
    let mut blocks = vec![
        Block::Fixed(html! {
            div.head {
                h1 {
                    a href=(format!("task?name={}", segment(&row.task))) { (row.task) }
                    " at " (say::time(row.tick, Rel::Time))
                }
                p.mono { (row.id) }
            }
            @if let Some(said) = said { (said) }
        }),
        Block::One(Region::plain("state", state(&run))),
    ];
    if run.can_cancel && right.may_change {
        blocks.push(Block::One(Region::plain(
            "actions",
            forms::of_run(row, right),
        )));
    }
    blocks.push(Block::Columns(vec![
        Region::sheet("facts", facts(&run)),
        Region::sheet("attempts", attempts(&run)),
    ]));
    blocks.push(Block::One(Region::sheet("output", output(&run))));
    blocks.push(Block::One(Region::sheet("story", story(&run))));
    Ok(Page {
        title: format!(
            "{} at {}",
            row.task,
            row.tick.0.to_jiff().strftime("%-d %b %H:%M:%S")
        ),
        place: Some(Place::Tasks),
        now: Some(now.into()),
        every: if run.can_cancel { OFTEN } else { SELDOM },
        blocks,
    })
}

fn state(run: &RunDetail) -> Markup {
    let row = &run.run;
    html! {
        div.row {
            span data-announce { (say::stands(row)) }
            @if let Some(gone) = &row.node_gone { span { (gone) } }
            @if let Some(reason) = &row.reason { span { (reason) } }
            @else if let Some(code) = row.exit_code { span.soft { "exit code " (code) } }
        }
    }
}

fn facts(run: &RunDetail) -> Markup {
    let row = &run.run;
    html! {
        header { h2 { "Facts" } }
        div.body {
            dl.facts {
                dt { "due" } dd { (say::time(row.tick, Rel::Time)) }
                dt { "began late by" } dd { (say::lateness(row.lateness_ms)) }
                dt { "took" } dd { (took(row)) }
                dt { "kind" }
                dd { (row.kind) @if let Some(request) = &row.request { " " code { (request) } } }
                @if let Some(asked) = &row.asked { dt { "because" } dd { (asked) } }
                dt { "index" } dd { (row.index) }
                dt { "attempt" } dd { (row.attempt) }
                dt { "fence" }
                dd { @if let Some(fence) = row.fence { code { (fence) } } @else { "–" } }
                dt { "node" } dd { (say::node(row.node.as_ref())) }
                dt { "claimed against" }
                dd {
                    @if run.against.is_empty() { span.soft { "nobody else was alive" } }
                    @for (at, name) in run.against.iter().take(20).enumerate() {
                        @if at > 0 { ", " } (name)
                    }
                    @if run.against.len() > 20 { ", … and " (run.against.len() - 20) " more" }
                }
                dt { "after a crash" }
                dd { @if run.on_crash == "retry" { "runs again" } @else { "told as lost" } }
                dt { "generation" }
                dd { code { (run.generation.as_deref().unwrap_or("–")) } }
            }
        }
    }
}

fn attempts(run: &RunDetail) -> Markup {
    let row = &run.run;
    let is_claimed = row.attempt > 0;
    html! {
        header { h2 { "Attempts" } span.count { (row.attempt) } }
        @if !is_claimed {
            p.empty { "Nobody has claimed it." }
        } @else {
            table.cards {
                caption.hidden { "Attempts, oldest first" }
                thead { tr { th scope="col" { "No." } th scope="col" { "State" }
                    th scope="col" { "Began" } th scope="col" { "Took" }
                    th scope="col" { "Node" } } }
                tbody {
                    @for attempt in &run.attempts { (earlier(attempt)) }
                    tr {
                        td data-column="No." { (row.attempt) }
                        td data-column="State" { (say::stands(row)) }
                        td.nowrap data-column="Began" {
                            (say::time_or_dash(row.started_at, Rel::Time))
                        }
                        td.nowrap data-column="Took" { (took(row)) }
                        td data-column="Node" { (say::node(row.node.as_ref())) }
                    }
                }
            }
        }
    }
}

fn earlier(attempt: &Attempt) -> Markup {
    let took = attempt
        .started_at
        .map(|from| attempt.ended_at.0.since(from.0));
    let took = took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    html! {
        tr {
            td data-column="No." { (attempt.attempt) }
            td data-column="State" {
                (say::state(attempt.state))
                @if let Some(reason) = &attempt.reason { span.sub { (reason) } }
            }
            td.nowrap data-column="Began" { (say::time_or_dash(attempt.started_at, Rel::Time)) }
            td.nowrap data-column="Took" {
                @if let Some(ms) = took { (say::span(ms)) } @else { "–" }
            }
            td data-column="Node" { (say::node(attempt.node.as_ref())) }
        }
    }
}

fn output(run: &RunDetail) -> Markup {
    let from = match run.output_from {
        "live" => "live",
        "record" => "as it is kept: the first and the last 64 KiB",
        _ => "",
    };
    html! {
        header { h2 #output-heading { "Output" } span.soft { (from) } }
        @match (&run.output, run.output_from) {
            (Some(output), _) if !output.is_empty() => {
                pre.output tabindex="0" role="region" aria-labelledby="output-heading" {
                    (plain(output))
                }
            },
            (_, "elsewhere") if run.run.node_gone.is_some() => p.empty {
                "What it printed was known to its node alone, which is gone."
            },
            (_, "elsewhere") => p.empty {
                "It runs on another node"
                @if let Some(node) = &run.run.node { ", " (node.to_string()) ", " }
                " which alone has its output until it ends. That node's own dashboard shows it "
                "live."
            },
            _ => p.empty { "It has printed nothing." },
        }
    }
}

/// What a terminal would show of a text: colours and other commands to it are left out.
pub(super) fn plain(output: &str) -> String {
    let mut plain = String::with_capacity(output.len());
    let mut rest = output.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_command(&mut rest),
            '\u{9b}' => while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' => plain.push('\n'),
            '\n' | '\t' => plain.push(c),
            // Also the marks that turn the direction of text round, and so what a reader sees.
            c if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                plain.push('\u{fffd}');
            }
            c => plain.push(c),
        }
    }
    plain
}

fn skip_command(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        // A control sequence: up to its final letter.
        Some('[') => while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
        // A command with text, such as a title or a link: up to its terminator.
        Some(']' | 'P' | '_' | '^' | 'X') => {
            while let Some(c) = rest.next() {
                if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        // A choice of character set has one letter more.
        Some('(' | ')' | '#' | '%') => drop(rest.next()),
        _ => {}
    }
}

fn story(run: &RunDetail) -> Markup {
    html! {
        header { h2 { "Why" } span.soft { "what happened, in order" } }
        @if run.story.is_empty() {
            p.empty { "The store tells nothing more." }
        } @else {
            ol.story {
                @for line in &run.story {
                    li { (say::moment(line.at)) span { (line.what) } }
                }
            }
        }
        @if !run.meanwhile.is_empty() {
            header { h3 { "Meanwhile" } }
            ol.story {
                @for line in &run.meanwhile {
                    li { (say::moment(line.at)) span { (line.what) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn e101_commands_to_a_terminal_do_not_reach_the_page() {
        for (printed, expected) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "link"),
            ("\u{1b}(Bplain", "plain"),
            ("50 %\r100 %\r\n", "50 %\n100 %\n"),
            ("a\u{0}b\u{8}c", "a\u{fffd}b\u{fffd}c"),
            ("\u{202e}evil", "\u{fffd}evil"),
            ("tab\tline\n", "tab\tline\n"),
            ("cut \u{1b}", "cut "),
            ("cut \u{1b}[3", "cut "),
            ("cut \u{1b}]0;", "cut "),
        ] {
            assert_eq!(plain(printed), expected, "{printed:?}");
        }
    }
}
