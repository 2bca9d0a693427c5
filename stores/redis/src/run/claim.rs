//! Claims: who runs a scheduled tick. Every item of a batch is decided in one script.
//!
//! The batch is sent sorted by tick, so that of two runs that must not overlap the earlier one
//! wins, and in groups of one tick, index and window, which the script decides with one read and
//! one write of the tick's bucket. This is the store's busiest path, on both sides.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use redis::Value;
use tenure_core::{
    Claim, ClaimAnswer, ClaimBatch, ClaimItem, ClaimReply, Fence, Generation, MaxRunning, OnCrash,
    Overlap, Pause, Refusal, RunRef, RunState, StoreError, StoreErrorKind, TaskName, Timestamp,
    Token,
};

use super::control::read_pause;
use super::name::{SHARED_KEYS, push_hex, read_tick, score};
use super::row::{NodeNumber, Row, crash_of, not_ours, report, unreadable};
use super::rule::{Rule, rule_of};
use super::state::state_of;
use super::strict::guarded;
use super::{BASE, RECORD, TASK, first_state, millis};
use crate::link::{Call, Script};
use crate::reply::{Reply, text_of};
use crate::store::RedisStore;

static CLAIM: Script = Script::new(
    "claim runs",
    &[
        BASE,
        RECORD,
        TASK,
        include_str!("../scripts/run_admit.lua"),
        include_str!("../scripts/run_claim.lua"),
    ],
);
static CLAIM_STRICTLY: Script = guarded!(
    "claim runs",
    BASE,
    RECORD,
    TASK,
    include_str!("../scripts/run_admit.lua"),
    include_str!("../scripts/run_claim.lua"),
);

/// How often a batch is sent when what it concerns changes meanwhile.
const MOST_SENDINGS: usize = 16;

/// Items of one tick, one index and one window, no task twice.
struct Group<'b> {
    tick: Timestamp,
    index: u32,
    window: Duration,
    /// Each with its place in the batch.
    items: Vec<(usize, &'b ClaimItem)>,
}

/// A batch as it is sent.
struct Plan<'b> {
    groups: Vec<Group<'b>>,
}

impl<'b> Plan<'b> {
    fn new(items: &'b [ClaimItem]) -> Self {
        let mut order: Vec<(usize, &ClaimItem)> = items.iter().enumerate().collect();
        order.sort_by_key(|(_, item)| (item.tick, item.index, item.window));
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut seen = HashSet::with_capacity(items.len());
        for (at, item) in order {
            let fits = groups.last().is_some_and(|group| {
                (group.tick, group.index, group.window) == (item.tick, item.index, item.window)
            });
            if !fits || seen.contains(&item.task) {
                seen.clear();
                groups.push(Group {
                    tick: item.tick,
                    index: item.index,
                    window: item.window,
                    items: Vec::new(),
                });
            }
            seen.insert(&item.task);
            if let Some(group) = groups.last_mut() {
                group.items.push((at, item));
            }
        }
        Self { groups }
    }

    /// The ticks whose records items may replace, of which none is known yet; nothing if no item
    /// can wait, has a limit or an alias.
    fn lines(&self) -> Option<BTreeSet<Timestamp>> {
        let is_plain = |item: &ClaimItem| {
            item.max_running.is_none()
                && item.aliases.is_empty()
                && matches!(item.overlap, Overlap::Skip | Overlap::Allow)
        };
        let all_plain = self.items().all(|(_, item)| is_plain(item));
        (!all_plain).then(BTreeSet::new)
    }

    /// The items in the order in which they are sent and answered.
    fn items(&self) -> impl Iterator<Item = (usize, &'b ClaimItem)> {
        self.groups.iter().flat_map(|group| &group.items).copied()
    }
}

/// An answer, but for the name of who was first.
enum Answer {
    Final(ClaimAnswer),
    Taken {
        by: Option<NodeNumber>,
        state: RunState,
        since: Timestamp,
        under: Option<TaskName>,
    },
}

impl Answer {
    fn refused(refusal: Refusal) -> Self {
        Self::Final(ClaimAnswer::Refused(refusal))
    }

    fn into_final(self) -> Option<ClaimAnswer> {
        match self {
            Self::Final(answer) => Some(answer),
            Self::Taken { .. } => None,
        }
    }
}

impl RedisStore {
    pub(super) async fn claim_batch(&self, batch: &ClaimBatch) -> Result<ClaimReply, StoreError> {
        let plan = Plan::new(&batch.items);
        let checked = &self.shared.runs.checked;
        let mut word = checked.word_for(batch.node, &batch.items);
        let mut lines = plan.lines();
        for _ in 0..MOST_SENDINGS {
            let call = self.claim_call(batch, &plan, &word, lines.as_ref())?;
            let mut reply = Reply::new(CLAIM.doing, self.send_to_count(call, may_win).await?)?;
            let (now, sequence, epoch) = (reply.timestamp()?, reply.number()?, reply.text()?);
            let fence = reply.text()?;
            let answers = match fence.as_str() {
                // Generations changed. Without a word, this is not answered.
                "again" if !word.is_empty() => {
                    word.clear();
                    continue;
                }
                "lines" => {
                    let ticks = reply.nested()?.rest();
                    let mut missing = Vec::new();
                    for tick in ticks {
                        let tick = text_of(CLAIM.doing, tick)?;
                        let known = read_tick(&tick);
                        missing.push(known.ok_or_else(|| {
                            not_ours("the line", &self.run_names().of("slots"), tick.as_bytes())
                        })?);
                    }
                    if let Some(lines) = &mut lines {
                        lines.extend(missing);
                    }
                    continue;
                }
                "lapsed" => all_refused(batch, &Refusal::NodeLapsed),
                "behind" => all_refused(batch, &Refusal::StoreForgot),
                _ => {
                    let base = fence.parse().map_err(|_| reply.unknown(&fence))?;
                    self.decided(batch, &plan, &word, (now, base), reply)
                        .await?
                }
            };
            return Ok(ClaimReply::new(now, sequence, epoch, answers));
        }
        // Each sending decides nothing, so nothing happened.
        Err(StoreError::new(
            StoreErrorKind::Unavailable,
            "what the claims concern changed again and again while they were sent; try again",
        ))
    }

    /// Reads what was decided of each item of a batch that was sent with `word`.
    async fn decided(
        &self,
        batch: &ClaimBatch,
        plan: &Plan<'_>,
        word: &str,
        (now, base): (Timestamp, u64),
        mut reply: Reply,
    ) -> Result<Vec<ClaimAnswer>, StoreError> {
        let codes = reply.text()?;
        let mut details = reply.nested()?;
        let seen = reply.text()?;
        let mut answers = Vec::with_capacity(batch.items.len());
        for ((offset, code), (at, item)) in codes.char_indices().zip(plan.items()) {
            let answer = match code {
                'w' | 'W' => {
                    let run = RunRef::new(item.key(), 1, item.token);
                    let fence = Fence::new(base.saturating_add(offset as u64));
                    let claim = Claim::new(run, fence, now, item.on_crash);
                    Answer::Final(ClaimAnswer::Won(claim))
                }
                'e' | 'l' => {
                    let by = Duration::ZERO;
                    let refusal = batch.window_is_open(item, now).err();
                    Answer::refused(refusal.unwrap_or(match code {
                        'e' => Refusal::TooEarly { by },
                        _ => Refusal::TooLate { by },
                    }))
                }
                _ => {
                    let detail = details.bytes()?;
                    self.claim_answer(&reply, code, item, &detail)?
                }
            };
            answers.push((at, answer));
        }
        if answers.len() != batch.items.len() {
            return Err(reply.unknown(&codes));
        }
        // Under the word that the batch brought along, all of it was known.
        if seen != word {
            let checked = codes.chars().zip(plan.items());
            let checked = checked.filter_map(|(code, (_, item))| (code == 'W').then_some(item));
            self.shared.runs.checked.found(batch.node, &seen, checked);
        }
        answers.sort_unstable_by_key(|(at, _)| *at);
        let answers = answers.into_iter().map(|(_, answer)| answer).collect();
        Ok(self.named(answers).await)
    }

    fn claim_call(
        &self,
        batch: &ClaimBatch,
        plan: &Plan<'_>,
        word: &str,
        lines: Option<&BTreeSet<Timestamp>>,
    ) -> Result<Call, StoreError> {
        let names = self.run_names();
        let more = lines.map_or(0, BTreeSet::len);
        let guards = self.guards();
        let items = batch.items.len();
        let keys = SHARED_KEYS + 4 + 2 * plan.groups.len() + items + 2 * more + guards.len();
        // Besides its history an item has a field, the end of its record, and perhaps a generation.
        let (args, bytes) = (keys + 32 + 3 * items, 1024 + 64 * keys + 160 * items);
        let script = self.by_safety(&CLAIM, &CLAIM_STRICTLY);
        let mut call = self.with_shared_keys(script.sized_call(keys, args, bytes));
        call.push(names.of("generations"));
        call.push(names.of("cancels"));
        call.push(names.of("definitions"));
        call.push(names.of("renamed"));
        for group in &plan.groups {
            call.push(names.bucket(group.tick));
            call.push(names.outputs(group.tick));
        }
        for (_, item) in plan.items() {
            names.push_history(&mut call, &item.task);
        }
        for tick in lines.into_iter().flatten() {
            call.push(names.bucket(*tick));
            call.push(names.outputs(*tick));
        }
        for key in guards {
            call.push(key);
        }
        call.push(batch.node.to_string());
        call.push(first_state(batch.start));
        call.push(millis(batch.early.min(ClaimBatch::MAX_EARLY)));
        call.push(Token::random().to_string());
        call.push(word);
        call.push(lines.map_or_else(String::new, |lines| self.write_lines(plan, lines)));
        call.push(plan.groups.len());
        for seen in [batch.seen.sequence, batch.seen.own, batch.seen.losses] {
            call.push(seen);
        }
        let mut offset = 0;
        for group in &plan.groups {
            push_group(&mut call, group, offset, word.is_empty())?;
            offset += group.items.len();
        }
        self.push_settings(&mut call);
        Ok(call)
    }

    /// What the script must know of items that may wait.
    fn write_lines(&self, plan: &Plan<'_>, ticks: &BTreeSet<Timestamp>) -> String {
        let by = plan.items().enumerate();
        let by = by.filter(|(_, (_, item))| item.overlap == Overlap::CancelOther);
        let by: HashMap<String, String> = by
            .map(|(offset, (_, item))| (offset.to_string(), item.key().to_string()))
            .collect();
        let aliases = plan.items().enumerate();
        let aliases: HashMap<String, Vec<String>> = aliases
            .filter(|(_, (_, item))| !item.aliases.is_empty())
            .map(|(offset, (_, item))| {
                let names = item.aliases.iter();
                let fields = names.map(|name| format!("s{}:{}", item.index, name.as_str()));
                (offset.to_string(), fields.collect())
            })
            .collect();
        let ticks: Vec<_> = ticks
            .iter()
            .map(|tick| tick.as_millis().to_string())
            .collect();
        let hint = self.hint();
        serde_json::json!({ "ticks": ticks, "hint": hint, "by": by, "aliases": aliases })
            .to_string()
    }

    /// Reads an answer that says more than its letter. What cannot be read is told in the log, and
    /// must not keep the node from the other answers: it would not know what it won.
    fn claim_answer(
        &self,
        reply: &Reply,
        code: char,
        item: &ClaimItem,
        detail: &[u8],
    ) -> Result<Answer, StoreError> {
        let names = self.run_names();
        let text = String::from_utf8_lossy(detail);
        match code {
            't' => Ok(read_taken(&text).unwrap_or_else(|| {
                report(&unreadable(
                    "the record",
                    &names.bucket(item.tick),
                    item.key(),
                ));
                unreadable_taken()
            })),
            'm' => {
                let row = Row::read(&item.key(), &names.bucket(item.tick), detail);
                Ok(row.map_or_else(
                    |error| {
                        report(&error);
                        unreadable_taken()
                    },
                    |row| of_existing(item, row),
                ))
            }
            'o' | 'q' => {
                let rule = Rule::new(item.overlap, item.max_running);
                let because = rule.kept_back(&item.key(), &text).unwrap_or_else(|| {
                    report(&not_ours("the run", &names.of("slots"), detail));
                    let blocker = item.key();
                    Refusal::Overlap { blocker }
                });
                Ok(match code {
                    'q' => Answer::Final(ClaimAnswer::Waits(because)),
                    _ => Answer::refused(because),
                })
            }
            'p' => {
                let pause = read_pause(detail, &names.of("pauses"));
                let pause = pause.unwrap_or_else(|error| {
                    report(&error);
                    Pause::new("somebody who cannot be read", "")
                });
                let (by, why) = (pause.by, pause.why);
                Ok(Answer::refused(Refusal::Paused { by, why }))
            }
            'g' => {
                let current = Generation::new(&*text).or_else(|_| {
                    report(&not_ours("the generation", &names.of("lists"), detail));
                    Generation::new("unreadable")
                });
                let current = current.map_err(|_| reply.unknown(&text))?;
                Ok(Answer::refused(Refusal::StaleGeneration { current }))
            }
            other => Err(reply.unknown(&other.to_string())),
        }
    }

    /// Puts in the names of those who were first, if they can be read.
    async fn named(&self, answers: Vec<Answer>) -> Vec<ClaimAnswer> {
        let is_final = |answer: &Answer| matches!(answer, Answer::Final(_));
        if answers.iter().all(is_final) {
            let answers = answers.into_iter();
            return answers.filter_map(Answer::into_final).collect();
        }
        let first = answers.iter().filter_map(|answer| match answer {
            Answer::Taken { by, .. } => *by,
            Answer::Final(_) => None,
        });
        let who = self.holders(first).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "those who were first are not named");
            HashMap::new()
        });
        let named = answers.into_iter().map(|answer| match answer {
            Answer::Final(answer) => answer,
            Answer::Taken {
                by,
                state,
                since,
                under,
            } => ClaimAnswer::Taken {
                by: by.and_then(|by| who.get(&by).cloned()),
                state,
                since,
                under,
            },
        });
        named.collect()
    }
}

/// Whether a reply says of an item that it is won, now or by an earlier sending.
fn may_win(answer: &Value) -> bool {
    let codes = match answer {
        Value::Array(parts) => parts.get(4),
        _ => None,
    };
    matches!(codes, Some(Value::BulkString(codes)) if codes.iter().any(|one| b"wWm".contains(one)))
}

fn all_refused(batch: &ClaimBatch, refusal: &Refusal) -> Vec<ClaimAnswer> {
    let refused = |_: &ClaimItem| ClaimAnswer::Refused(refusal.clone());
    batch.items.iter().map(refused).collect()
}

/// A record exists; more is not known.
fn unreadable_taken() -> Answer {
    Answer::Taken {
        by: None,
        state: RunState::Lost,
        since: Timestamp::EPOCH,
        under: None,
    }
}

/// Adds a group, with the generations if the script must look at them.
fn push_group(
    call: &mut Call,
    group: &Group<'_>,
    offset: usize,
    needs_a_look: bool,
) -> Result<(), StoreError> {
    let items = || group.items.iter().map(|(_, item)| *item);
    let place = format!("s{}", group.index);
    call.push(group.tick.as_millis());
    call.push(score(group.tick));
    call.push(&place);
    call.push(millis(group.window));
    // The same for all of a group, since it follows from the window.
    call.push(items().next().map_or(0, |item| millis(item.keep_for())));
    call.push(group.items.len());
    for item in items().filter(|_| needs_a_look) {
        call.push(item.generation.as_str());
    }
    for item in items() {
        call.push_joined(&[place.as_bytes(), b":", item.task.as_str().as_bytes()]);
    }
    let mut text = String::with_capacity(128);
    let mut ending = Ending::default();
    for (offset, item) in (offset..).zip(items()) {
        text.clear();
        write_tail(&mut text, item, offset, ending.of(item)?);
        call.push(&text);
    }
    Ok(())
}

/// The end of the record that the item makes if it is won: what the script need not know.
fn write_tail(text: &mut String, item: &ClaimItem, offset: usize, ending: &str) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{offset} ");
    push_hex(text, item.token);
    text.push(' ');
    text.push_str(item.generation.as_str());
    text.push_str(ending);
}

/// What a record ends with, behind the generation: the item's rules. Nearly always those of the
/// item before.
#[derive(Default)]
struct Ending {
    of: Option<(OnCrash, Overlap, Option<MaxRunning>)>,
    text: String,
}

impl Ending {
    fn of(&mut self, item: &ClaimItem) -> Result<&str, StoreError> {
        let rules = (item.on_crash, item.overlap, item.max_running);
        if self.of != Some(rules) {
            let crash = crash_of(item.on_crash)?;
            let rule = rule_of(item.overlap, item.max_running)?;
            self.text = format!(" {crash} {rule} *");
            self.of = Some(rules);
        }
        Ok(&self.text)
    }
}

/// Reads `STATE NODE SINCE`, with the task's other name behind it if the record stands there.
fn read_taken(text: &str) -> Option<Answer> {
    let mut parts = text.splitn(4, ' ');
    let state = state_of(parts.next()?)?;
    let by = match parts.next()? {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    let since = Timestamp::from_millis(parts.next()?.parse().ok()?);
    let under = parts.next().map(TaskName::new).transpose().ok()?;
    Some(Answer::Taken {
        by,
        state,
        since,
        under,
    })
}

/// The answer to a claim of a run that has a record: to a resend the first one, else who has it.
fn of_existing(item: &ClaimItem, row: Row) -> Answer {
    if row.token == Some(item.token) {
        // Nothing keeps it back any more once it was taken or cancelled.
        if let Some(because) = row.kept_back {
            return if row.state == RunState::Waiting {
                Answer::Final(ClaimAnswer::Waits(because))
            } else {
                Answer::refused(because)
            };
        }
        // One that is over, or waits again, was ended by this very node, which so knows it had it.
        if let Some(claim) = row.claim(&item.key()) {
            return Answer::Final(ClaimAnswer::Won(claim));
        }
    }
    Answer::Taken {
        by: row.node,
        state: row.state,
        since: row.since,
        under: None,
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::TaskName;

    use super::*;

    fn item(task: &str, ms: i64, index: u32) -> ClaimItem {
        let (task, generation) = (TaskName::new(task).unwrap(), Generation::new("g").unwrap());
        ClaimItem::new(task, Timestamp::from_millis(ms), index, generation)
    }

    #[test]
    fn s33_items_are_sent_by_tick_in_groups_without_repeats() {
        let mut wide = item("a", 1, 2);
        wide.window *= 2;
        let items = [
            item("b", 2, 1),
            item("a", 1, 1),
            item("a", 2, 1),
            item("a", 1, 1),
            wide,
            item("a", 1, 2),
            item("b", 1, 2),
        ];
        let plan = Plan::new(&items);
        let places = |group: &Group<'_>| {
            let places = group.items.iter().map(|(at, _)| *at);
            (group.tick.as_millis(), group.index, places.collect())
        };
        let groups: Vec<(i64, u32, Vec<usize>)> = plan.groups.iter().map(places).collect();
        let expected = [
            (1, 1, vec![1]),
            (1, 1, vec![3]),
            (1, 2, vec![5, 6]),
            (1, 2, vec![4]),
            (2, 1, vec![0, 2]),
        ];
        assert_eq!(groups, expected);
        assert_eq!(plan.items().count(), items.len());
    }

    #[test]
    fn tokens_are_sent_as_they_show_themselves() {
        let item = item("t", 1, 1);
        let mut text = String::new();
        let mut ending = Ending::default();
        write_tail(&mut text, &item, 7, ending.of(&item).unwrap());
        assert_eq!(text, format!("7 {} g l s *", item.token));
        let mut other = item.clone();
        (other.on_crash, other.overlap) = (OnCrash::Retry { max_attempts: 3 }, Overlap::Allow);
        assert_eq!(ending.of(&other).unwrap(), " 3 a *");
    }
}
