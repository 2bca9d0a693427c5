//! Starting and finishing attempts.

use std::collections::HashSet;

use tenure_core::{
    Finish, Finished, RunKey, RunKind, RunState, Start, Started, StoreError, Timestamp, Token,
};

use super::name::{RunName, hex};
use super::row::{report, unreadable, write_reason};
use super::state::{letter_of, state_of};
use super::strict::touching;
use super::{BASE, RECORD, millis};
use crate::link::{Call, Script};
use crate::reply::Reply;
use crate::store::RedisStore;

static START: Script = Script::new(
    "start runs",
    &[BASE, RECORD, include_str!("../scripts/run_start.lua")],
);
static START_STRICTLY: Script = touching!(
    "start runs",
    BASE,
    RECORD,
    include_str!("../scripts/run_start.lua"),
);
static FINISH: Script = Script::new(
    "finish runs",
    &[BASE, RECORD, include_str!("../scripts/run_finish.lua")],
);

/// How many finishes one script does: each may bring a whole output along.
const MOST_BYTES: usize = 4 << 20;

impl RedisStore {
    pub(super) async fn start_runs(&self, starts: &[Start]) -> Result<Vec<Started>, StoreError> {
        if starts.is_empty() {
            return Ok(Vec::new());
        }
        let names = self.run_names();
        let touches = self.touches();
        let script = self.by_safety(&START, &START_STRICTLY);
        let mut call = self.run_call(script, starts.len() + touches.len());
        for start in starts {
            call.push(names.bucket(start.run.key.tick));
        }
        for key in touches {
            call.push(key);
        }
        for start in starts {
            let name = RunName::new(&start.run.key)?;
            call.push(name.tick);
            call.push(name.field);
            call.push(start.run.attempt);
            call.push(start.run.token.to_string());
        }
        // A run whose start was forgotten would be taken for one that never began, and begun again.
        let answer = self.send_to_count(call, |_| true).await?;
        let mut reply = Reply::new(START.doing, answer)?;
        let now = reply.timestamp()?;
        let codes = reply.text()?;
        if codes.len() != starts.len() {
            return Err(reply.unknown(&codes));
        }
        let answers = starts
            .iter()
            .zip(codes.chars())
            .map(|(start, code)| match code {
                'r' => Started::Running { now },
                'n' => Started::Refused,
                _ => {
                    // An error would keep the others' answers back.
                    report(&self.broken(&start.run.key));
                    Started::Refused
                }
            });
        Ok(answers.collect())
    }

    /// The error for a record that a script could not read.
    pub(super) fn broken(&self, key: &RunKey) -> StoreError {
        unreadable("the record", &self.run_names().bucket(key.tick), key)
    }

    pub(super) async fn finish_runs(
        &self,
        finishes: &[Finish],
    ) -> Result<Vec<Finished>, StoreError> {
        let mut answers = vec![Finished::Unknown; finishes.len()];
        // A part that fails leaves those before it done; sent again, they are answered as done.
        for groups in parts_of(finishes) {
            self.finish_some(&groups, &mut answers).await?;
        }
        Ok(answers)
    }

    async fn finish_some(
        &self,
        groups: &[Group<'_>],
        answers: &mut [Finished],
    ) -> Result<(), StoreError> {
        let call = self.finish_call(groups)?;
        let mut reply = Reply::new(FINISH.doing, self.send(call).await?)?;
        let codes = reply.text()?;
        let mut details = reply.nested()?;
        let mut codes_left = codes.chars();
        for (at, finish) in groups.iter().flat_map(|group| &group.items) {
            let answer = match codes_left.next() {
                Some('d') => Finished::Recorded,
                Some('u') => Finished::Unknown,
                Some('l') => {
                    let text = details.text()?;
                    read_late(&text).ok_or_else(|| details.unknown(&text))?
                }
                Some('b') => {
                    // The others are done by now, and an error would keep their answers back.
                    report(&self.broken(&finish.run.key));
                    Finished::Unknown
                }
                _ => return Err(reply.unknown(&codes)),
            };
            if let Some(place) = answers.get_mut(*at) {
                *place = answer;
            }
        }
        Ok(())
    }

    fn finish_call(&self, groups: &[Group<'_>]) -> Result<Call, StoreError> {
        let names = self.run_names();
        let mut call = self.run_call(&FINISH, 2 + 2 * groups.len());
        call.push(names.request(Token::random()));
        call.push(names.of("cancels"));
        for group in groups {
            call.push(names.bucket(group.tick));
            call.push(names.outputs(group.tick));
        }
        self.push_hint(&mut call);
        call.push(groups.len());
        for group in groups {
            call.push(group.tick.as_millis());
            call.push(group.items.len());
            for (_, finish) in &group.items {
                push_finish(&mut call, finish)?;
            }
        }
        Ok(call)
    }
}

fn push_finish(call: &mut Call, finish: &Finish) -> Result<(), StoreError> {
    let key = &finish.run.key;
    let is_scheduled = key.kind == RunKind::Scheduled;
    let name = RunName::new(key)?;
    call.push(name.field);
    if is_scheduled {
        call.push("");
    } else {
        // No name holds a NUL.
        call.push(format!("{}\0{}", name.slot, name.mark));
    }
    call.push(finish.run.attempt);
    call.push(hex(finish.run.token));
    let state = letter_of(finish.outcome.state())?;
    let exit = finish
        .exit_code
        .map_or_else(|| "*".to_owned(), |code| code.to_string());
    // An older tenure kept who asked for a run as its reason.
    call.push(format!("{state} {exit} {}", u8::from(!is_scheduled)));
    call.push(write_reason(finish.reason.as_deref()));
    match finish.again_after {
        Some(after) => call.push(millis(after)),
        None => call.push(""),
    }
    match kept(finish) {
        Some(output) => call.push(format!("+{output}")),
        None => call.push(""),
    }
    Ok(())
}

/// As much of the output as is kept, cut between characters.
fn kept(finish: &Finish) -> Option<&str> {
    let output = finish.output.as_deref()?;
    let mut end = output.len().min(Finish::MAX_OUTPUT);
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    output.get(..end)
}

/// Finishes of runs of one tick, no run twice.
struct Group<'f> {
    tick: Timestamp,
    items: Vec<(usize, &'f Finish)>,
}

/// What each script is sent.
fn parts_of(finishes: &[Finish]) -> Vec<Vec<Group<'_>>> {
    let mut order: Vec<(usize, &Finish)> = finishes.iter().enumerate().collect();
    order.sort_by_key(|(_, finish)| finish.run.key.tick);
    let mut parts: Vec<Vec<Group<'_>>> = Vec::new();
    let mut seen = HashSet::new();
    let mut bytes = 0;
    for (at, finish) in order {
        let key = &finish.run.key;
        let more = 512 + kept(finish).map_or(0, str::len);
        if parts.is_empty() || bytes + more > MOST_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        let Some(groups) = parts.last_mut() else {
            continue;
        };
        let fits = groups.last().is_some_and(|group| group.tick == key.tick);
        if !fits || seen.contains(&key) {
            seen.clear();
            groups.push(Group {
                tick: key.tick,
                items: Vec::new(),
            });
        }
        seen.insert(key);
        if let Some(group) = groups.last_mut() {
            group.items.push((at, finish));
        }
    }
    parts
}

/// Reads `STATE ATTEMPT`.
fn read_late(text: &str) -> Option<Finished> {
    let (state, attempt) = text.split_once(' ')?;
    let state: RunState = state_of(state)?;
    let attempt = attempt.parse().ok()?;
    Some(Finished::Late { state, attempt })
}
