//! Notices when an alarm is due: one loop for one manager's rules, beside its runner.
//!
//! What happens on this node says where to look ([`Sign`]s); the records say how things are. A look
//! that fails is made again later, so the store may be away. Every node does the same; the
//! [`Book`] lets one of them be first.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_core::{Clock, Moment, RunKey, RunRecord, StoreError, TaskName, Timestamp};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::book::{Book, Entry, Subject, within};
use super::delivery::task_of;
use super::rule::AlarmRule;
use super::standing::{Standing, in_words, query, standing};
use super::watch::{OpenSubjects, Reason, Sign, locked};
use super::{Alarm, AlarmKind, AlarmState};
use crate::event::{EventSender, RunnerEvent};
use crate::manager::RunAccess;
use crate::running::Pulse;
use crate::spec::TaskSpec;

/// How many runs are watched for taking too long.
const MAX_WATCHED: usize = 100_000;
/// How often what other nodes noticed is read.
const REFRESH_EVERY: Duration = Duration::from_secs(15);
/// How long a run's end takes to be on record, mostly, and the longest pause before looking again.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a run is looked for that should be on record.
const MAX_LOOKS: u32 = 12;
const LONGEST_NAP: Duration = Duration::from_secs(5);

/// What must be looked at, and when.
pub(super) type Place = (usize, AlarmKind, TaskName);

#[derive(Debug)]
pub(super) struct Look {
    at: Moment,
    reason: Reason,
    tries: u32,
}

pub(super) struct Watched {
    pub(super) rule: Arc<AlarmRule>,
    pub(super) book: Book,
}

/// The tasks as they are defined now: they may be replaced while the warden watches.
pub(crate) type Specs = Arc<Mutex<HashMap<TaskName, Arc<TaskSpec>>>>;

/// A panic elsewhere leaves them whole: they are only ever exchanged as one.
pub(crate) fn specs_of(specs: &Specs) -> MutexGuard<'_, HashMap<TaskName, Arc<TaskSpec>>> {
    specs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loop.
pub(crate) struct Warden {
    pub(super) watched: Vec<Watched>,
    pub(super) access: RunAccess,
    pub(super) limit: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pulse: Arc<Pulse>,
    events: EventSender,
    specs: Specs,
    signs: mpsc::Receiver<Sign>,
    has_overflowed: Arc<AtomicBool>,
    pub(super) open: OpenSubjects,
    pub(super) looks: HashMap<Place, Look>,
    due: BTreeSet<(Moment, Place)>,
    /// When a run will have taken too long, under which rule.
    long: BTreeSet<(Moment, RunKey, usize)>,
    long_by_run: HashMap<RunKey, Vec<(Moment, usize)>>,
    pub(super) losses: Vec<String>,
    next_refresh: Moment,
    pub(super) is_skewed: HashSet<usize>,
}

/// A warden before its manager is prepared.
pub(crate) struct WardenParts {
    pub(super) rules: Vec<Arc<AlarmRule>>,
    pub(super) signs: mpsc::Receiver<Sign>,
    pub(super) has_overflowed: Arc<AtomicBool>,
    pub(super) open: OpenSubjects,
}

impl WardenParts {
    pub(crate) fn finish(
        self,
        access: RunAccess,
        manager: Option<&str>,
        (clock, limit): (Arc<dyn Clock>, Duration),
        (events, pulse): (EventSender, Arc<Pulse>),
        specs: Specs,
    ) -> Warden {
        let watched = self.rules.into_iter().filter_map(|rule| {
            let task = TaskName::new(task_of(&rule, manager)).ok()?;
            let book = Book::new(access.store.clone(), limit, task);
            Some(Watched { rule, book })
        });
        Warden {
            watched: watched.collect(),
            limit,
            next_refresh: clock.now(),
            clock,
            pulse,
            events,
            specs,
            signs: self.signs,
            has_overflowed: self.has_overflowed,
            open: self.open,
            looks: HashMap::new(),
            due: BTreeSet::new(),
            long: BTreeSet::new(),
            long_by_run: HashMap::new(),
            losses: Vec::new(),
            is_skewed: HashSet::new(),
            access,
        }
    }
}

impl Warden {
    /// Watches until the runner has ended. Dropping the future ends it at once.
    pub(crate) async fn run(mut self) {
        loop {
            let nap = self.nap();
            tokio::select! {
                biased;
                sign = self.signs.recv() => match sign {
                    Some(sign) => self.seen(sign),
                    None => return,
                },
                () = sleep(nap) => {}
            }
            while let Ok(sign) = self.signs.try_recv() {
                self.seen(sign);
            }
            if self.has_overflowed.swap(false, Ordering::Relaxed) {
                self.look_everywhere();
            }
            self.work().await;
        }
    }

    fn nap(&self) -> Duration {
        let now = self.clock.now();
        let look = self.due.first().map(|(at, _)| *at);
        let long = self.long.first().map(|(at, ..)| *at);
        let next = look.into_iter().chain(long).chain([self.next_refresh]);
        let next = next.min().unwrap_or(now);
        next.since(now).min(LONGEST_NAP)
    }

    fn seen(&mut self, sign: Sign) {
        let now = self.clock.now();
        match sign {
            Sign::Look(kind, task, reason) => {
                let wait = reason.ended.as_ref().map_or(Duration::ZERO, |_| FIRST_LOOK);
                for rule in self.rules_about(kind, &task) {
                    self.look((rule, kind, task.clone()), now + wait, reason.clone());
                }
            }
            Sign::Began(key) => {
                for rule in self.rules_about(AlarmKind::TooLong, &key.task) {
                    let bound = self.watched.get(rule).and_then(|it| it.rule.longer_than);
                    if let Some(bound) = bound
                        && self.long.len() < MAX_WATCHED
                    {
                        // A little later, so that the record says so too.
                        let at = now + bound + FIRST_LOOK;
                        self.long.insert((at, key.clone(), rule));
                        let by_run = self.long_by_run.entry(key.clone()).or_default();
                        by_run.push((at, rule));
                    }
                }
            }
            Sign::Ended(key) => {
                for (at, rule) in self.long_by_run.remove(&key).unwrap_or_default() {
                    self.long.remove(&(at, key.clone(), rule));
                }
            }
            Sign::StoreLoss(what) => {
                // What is remembered here may be what the store forgot.
                for watched in &mut self.watched {
                    watched.book.forget();
                }
                if self.losses.len() < 16 {
                    self.losses.push(what);
                }
            }
            Sign::NodeLost => self.look_everywhere(),
        }
    }

    fn rules_about(&self, kind: AlarmKind, task: &TaskName) -> Vec<usize> {
        let rules = self.watched.iter().enumerate();
        let about = rules.filter(|(_, it)| it.rule.is_on(kind) && it.rule.is_about(task));
        about.map(|(place, _)| place).collect()
    }

    pub(super) fn look(&mut self, place: Place, at: Moment, mut reason: Reason) {
        if let Some(before) = self.looks.remove(&place) {
            self.due.remove(&(before.at, place.clone()));
            reason.bad = reason.bad.max(before.reason.bad);
            reason.ended = reason.ended.or(before.reason.ended);
        }
        self.due.insert((at, place.clone()));
        let tries = 0;
        self.looks.insert(place, Look { at, reason, tries });
    }

    /// Looks at every task in every respect, spread over some seconds.
    fn look_everywhere(&mut self) {
        let now = self.clock.now();
        let tasks: Vec<TaskName> = specs_of(&self.specs).keys().cloned().collect();
        for (n, task) in tasks.into_iter().enumerate() {
            let wait = Duration::from_millis(u64::try_from(n).unwrap_or(u64::MAX) / 2);
            for kind in AlarmKind::ALL.into_iter().filter(|kind| kind.is_of_task()) {
                for rule in self.rules_about(kind, &task) {
                    let place = (rule, kind, task.clone());
                    if !self.looks.contains_key(&place) {
                        self.look(place, now + wait, Reason::default());
                    }
                }
            }
        }
    }

    /// Does what is due.
    async fn work(&mut self) {
        let now = self.clock.now();
        while self.long.first().is_some_and(|(at, ..)| *at <= now)
            && let Some((at, key, rule)) = self.long.pop_first()
        {
            if let Some(by_run) = self.long_by_run.get_mut(&key) {
                by_run.retain(|it| *it != (at, rule));
            }
            let reason = Reason {
                bad: Some(key.tick),
                ended: None,
            };
            self.look((rule, AlarmKind::TooLong, key.task.clone()), now, reason);
        }
        while let Some((at, place)) = self.due.first().cloned()
            && at <= now
        {
            self.due.pop_first();
            let Some(look) = self.looks.remove(&place) else {
                continue;
            };
            match self.examine(&place, &look).await {
                Ok(true) => {}
                Ok(false) => self.look_again(place, look),
                Err(error) => {
                    tracing::debug!(%error, "an alarm could not be looked after; trying again");
                    self.look_again(place, look);
                    // The store is in trouble: the rest would only wait for it one by one.
                    break;
                }
            }
        }
        if self.next_refresh <= now {
            self.next_refresh = now + REFRESH_EVERY.mul_f64(0.9 + fastrand::f64() / 5.0);
            if let Err(error) = self.refresh().await {
                tracing::debug!(%error, "what other nodes noticed could not be read");
            }
        }
        if let Err(error) = self.look_at_losses().await {
            tracing::debug!(%error, "a loss of the store could not be put on record");
        }
        if let Err(error) = self.look_at_clock().await {
            tracing::debug!(%error, "a wrong clock could not be put on record");
        }
    }

    fn look_again(&mut self, place: Place, look: Look) {
        if self.looks.contains_key(&place) {
            return;
        }
        let pause = FIRST_LOOK * (1 << look.tries.min(7));
        let at = self.clock.now() + pause.min(LONGEST_PAUSE);
        let tries = look.tries.saturating_add(1);
        self.due.insert((at, place.clone()));
        self.looks.insert(place, Look { at, tries, ..look });
    }

    /// Reads how a task stands and puts changes on record. False if the run that gave reason to
    /// look is not on record as ended yet.
    async fn examine(&mut self, place: &Place, look: &Look) -> Result<bool, StoreError> {
        let (rule, kind, task) = place;
        let Some(watched) = self.watched.get_mut(*rule) else {
            return Ok(true);
        };
        let rule = watched.rule.clone();
        let query = query(*kind, &rule, task);
        let records = within(self.limit, self.access.store.history(&query))
            .await?
            .runs;
        if let Some(key) = &look.reason.ended
            && look.tries < MAX_LOOKS
        {
            let mut ended = records.iter().filter(|record| record.state.is_final());
            if !ended.any(|record| record.key == *key) {
                return Ok(false);
            }
        }
        let now = within(self.limit, self.access.store.now()).await?.now;
        let spec = specs_of(&self.specs).get(task).cloned();
        let spec = spec.as_deref();
        if let Some(bad) = look.reason.bad {
            // Later runs may be good already: told it is, and right behind it that it is over.
            let until = records.iter().filter(|record| record.key.tick <= bad);
            let stood = standing(*kind, &rule, spec, until.cloned(), now);
            if matches!(stood, Standing::Bad(..)) {
                self.stands(place, stood, now).await?;
            }
        }
        let stands = standing(*kind, &rule, spec, records, now);
        self.stands(place, stands, now).await?;
        Ok(true)
    }

    /// Puts on record how a task stands, if that is a change.
    async fn stands(
        &mut self,
        (rule, kind, task): &Place,
        standing: Standing,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (record, count, state) = match standing {
            Standing::Open => return Ok(()),
            Standing::Bad(record, count) => (record, count, AlarmState::Raised),
            Standing::Good(record) => (record, 0, AlarmState::Recovered),
        };
        let text = match state {
            AlarmState::Raised => in_words(*kind, &record, count, now),
            AlarmState::Recovered => {
                let tick = record.key.tick;
                format!("{task} is right again ({kind}), with its tick {tick}")
            }
        };
        let mut alarm = self.alarm_of_node(*rule, *kind, now, text);
        alarm.state = state;
        alarm.task = Some(task.clone());
        alarm.run = Some(record.key.to_string());
        alarm.node = record.node.as_ref().map(ToString::to_string);
        alarm.count = count;
        let subject = Subject {
            kind: *kind,
            of: task.as_str().to_owned(),
        };
        self.change(*rule, &subject, alarm, |last| match state {
            // What is older than the latest change was dealt with by it.
            AlarmState::Raised => !last.is_raised() && noted_at(&record) > last.made_at,
            AlarmState::Recovered => last.is_raised(),
        })
        .await
    }

    /// Puts a change on record if it is one after the last: `is_change` decides; where there was
    /// none before, only something raised is.
    pub(super) async fn change(
        &mut self,
        rule: usize,
        subject: &Subject,
        alarm: Alarm,
        is_change: impl Fn(&Entry) -> bool,
    ) -> Result<(), StoreError> {
        let Some(watched) = self.watched.get_mut(rule) else {
            return Ok(());
        };
        let last = watched.book.last(subject).await?;
        let is_change = match &last {
            None => alarm.state == AlarmState::Raised,
            Some(last) => is_change(last),
        };
        let is_open = alarm.state == AlarmState::Raised;
        let task = alarm.task.clone();
        if is_change && let Some(alarm) = watched.book.add(subject, last.as_ref(), alarm).await? {
            match alarm.state {
                AlarmState::Raised => tracing::warn!(rule = alarm.rule, "alarm: {}", alarm.text),
                AlarmState::Recovered => tracing::info!(rule = alarm.rule, "{}", alarm.text),
            }
            let alarm = Box::new(alarm);
            self.events.tell(|| RunnerEvent::Alarm { alarm });
        }
        if let Some(task) = task {
            self.mark(subject.kind, task, is_open);
        }
        Ok(())
    }

    pub(super) fn mark(&self, kind: AlarmKind, task: TaskName, is_open: bool) {
        let mut open = locked(&self.open);
        if is_open {
            open.insert((kind, task));
        } else {
            open.remove(&(kind, task));
        }
    }
}

/// When a record came to stand as it does, at the latest.
fn noted_at(record: &RunRecord) -> Timestamp {
    let times = [record.started_at, record.ended_at];
    let latest = times.into_iter().flatten().max();
    latest.unwrap_or(record.created_at).max(record.created_at)
}
