//! What one can do from a page: forms that post and come back.
//!
//! Each says who acts and why. What cannot be undone is folded away, and taking a lock away asks
//! for the fence that was seen, so that nobody takes it from a holder they never looked at. What a
//! form does is done in `changes`.

use maud::{Markup, html};

use super::changes::TOKEN;
use crate::auth::Visitor;
use crate::change::Pace;
use crate::view::{BackfillRow, LockDetail, RunRow, TaskRow};

/// What whoever looks at a page may do.
#[derive(Debug, Clone)]
pub(super) struct Right {
    pub(super) may_change: bool,
    /// Whether they may take a lock from its holder.
    pub(super) may_force: bool,
    /// Who it is, if the dashboard knows.
    pub(super) who: Option<String>,
    /// What a form must carry, if the visitor is known by a session.
    pub(super) token: Option<String>,
}

impl From<&Visitor> for Right {
    fn from(visitor: &Visitor) -> Self {
        Self {
            may_change: visitor.may_change(),
            may_force: visitor.may(crate::auth::Right::Force),
            who: visitor.name().map(str::to_owned),
            token: visitor.form_token().map(str::to_owned),
        }
    }
}

/// What can be done with a task.
pub(super) fn of_task(task: &TaskRow, right: &Right) -> Markup {
    html! {
        h2.hidden { "Actions" }
        div.columns {
            div.stack {
                @if task.pause.is_some() { (resume(task, right)) } @else { (pause(task, right)) }
            }
            div.stack { (run_now(task, right)) (backfill(task, right)) }
        }
    }
}

fn pause(task: &TaskRow, right: &Right) -> Markup {
    html! {
        details.act #pause {
            summary { "Pause" }
            form method="post" action="pause" {
                input type="hidden" name="name" value=(task.task);
                (who(right))
                (why("why", "deploying the new rates"))
                label {
                    "For"
                    select name="for" {
                        option value="" { "until somebody resumes it" }
                        option value="15m" { "15 minutes" }
                        option value="1h" { "1 hour" }
                        option value="4h" { "4 hours" }
                        option value="24h" { "1 day" }
                        option value="168h" { "1 week" }
                    }
                }
                button.main { "Pause" }
            }
        }
    }
}

fn resume(task: &TaskRow, right: &Right) -> Markup {
    html! {
        // Open from the start, which is no sign that somebody is about to use it.
        details.act #resume open data-quiet {
            summary { "Resume" }
            form method="post" action="resume" {
                input type="hidden" name="name" value=(task.task);
                (who(right))
                (why("why", "the release is out"))
                button.main { "Resume" }
            }
        }
    }
}

fn run_now(task: &TaskRow, right: &Right) -> Markup {
    html! {
        details.act #run-now {
            summary { "Run now" }
            form method="post" action="run-now" {
                input type="hidden" name="name" value=(task.task);
                // Sent twice, it is still one run.
                input type="hidden" name="request" value=(super::changes::fresh_request());
                (who(right))
                (why("why", "the customer waits for it"))
                button.main { "Run now" }
            }
        }
    }
}

fn backfill(task: &TaskRow, right: &Right) -> Markup {
    html! {
        details.act #backfill {
            summary { "Backfill" }
            form method="post" action="backfill" {
                input type="hidden" name="name" value=(task.task);
                label {
                    "Ticks from (UTC)"
                    input type="datetime-local" name="from" step="1" required;
                }
                label {
                    "up to (UTC)"
                    input type="datetime-local" name="to" step="1" required;
                }
                label {
                    "At once"
                    input type="number" name="parallel" min="1" max=(Pace::MOST_PARALLEL) value="1"
                        required;
                }
                label.check {
                    input type="checkbox" name="all" value="yes";
                    "also ticks that ran well"
                }
                (who(right))
                (why("why", "the source was down"))
                button.main { "Run these ticks" }
            }
        }
    }
}

/// The way to end a backfill.
pub(super) fn end_backfill(backfill: &BackfillRow, right: &Right) -> Markup {
    html! {
        form method="post" action="end-backfill" {
            input type="hidden" name="name" value=(backfill.task);
            input type="hidden" name="id" value=(backfill.id);
            (token(right))
            button { "End" }
        }
    }
}

/// What can be done with a run that has not ended.
pub(super) fn of_run(run: &RunRow, right: &Right) -> Markup {
    html! {
        details.act #cancel {
            summary { "Stop this run" }
            form method="post" action="cancel" {
                input type="hidden" name="id" value=(run.id);
                (who(right))
                (why("why", "it reads the wrong file"))
                button.danger { "Stop it" }
            }
        }
    }
}

/// How a lock is taken from its holder, or from one of those who share it.
pub(super) fn of_lock(lock: &LockDetail, right: &Right) -> Markup {
    let fence = lock.lock.fence;
    html! {
        details.act.danger #unlock {
            summary {
                @if fence.is_some() { "Take it from its holder" }
                @else { "Take it from one of them" }
            }
            form method="post" action=(format!("unlock?key={}", lock.lock.path)) {
                p {
                    "The holder is told, but may be in the middle of something: only a resource "
                    "that checks fences refuses what it still does. Nothing happens if somebody "
                    "else holds the lock by then."
                }
                @if let Some(fence) = fence {
                    label {
                        "Repeat the fence, " (fence)
                        input name="fence" inputmode="numeric" autocomplete="off" required
                            pattern=(fence);
                    }
                } @else {
                    label {
                        "The fence of the one that is to lose it"
                        input name="fence" inputmode="numeric" autocomplete="off" required
                            pattern="[0-9]+";
                    }
                }
                (who(right))
                (why("why", "the machine is gone"))
                button.danger { "Take it away" }
            }
        }
    }
}

/// Who is logged in, and the way out; nothing for those who came without the login page.
pub(super) fn log_out(right: &Right) -> Markup {
    html! {
        @if right.token.is_some() {
            form.log-out method="post" action="logout" {
                (token(right))
                @if let Some(who) = &right.who { span.soft.small { (who) } }
                button.small { "Log out" }
            }
        }
    }
}

/// Who acts: asked for, unless the dashboard knows.
fn who(right: &Right) -> Markup {
    html! {
        (token(right))
        @if let Some(who) = &right.who {
            p.small.soft.wide { "As " strong { (who) } }
        } @else {
            label {
                "Who"
                input name="by" autocomplete="name" maxlength="100" required
                    placeholder="your name";
            }
        }
    }
}

fn token(right: &Right) -> Markup {
    html! {
        @if let Some(token) = &right.token { input type="hidden" name=(TOKEN) value=(token); }
    }
}

fn why(name: &str, example: &str) -> Markup {
    html! {
        label {
            "Why"
            input name=(name) autocomplete="off" maxlength="500"
                placeholder=(format!("such as: {example}"));
        }
    }
}
