//! Turns ticks into runs on a store: one loop for one manager's tasks, whatever their number.
//!
//! The loop owns all state. It never waits for the store or for user code: calls and attempts run
//! beside it and come back as values. Whatever happens, it then looks at the clock and does
//! everything that is due by now ([`Runner::step`]), so a late wake-up, a suspension and an outage
//! need no cases of their own.
//!
//! ```text
//!            ┌── answers of the store ◀── calls ──┐
//!   loop: ───┼── ends of attempts                 │
//!            ├── hints, commands          step ───┤
//!            └── a nap of at most 1 s             └── attempts
//! ```
//!
//! Phases: live → draining (claims nothing, waits for what runs) → stopping (what runs was told to
//! stop) → over.

mod anew;
mod backfilling;
mod calls;
mod cancelling;
mod chains;
mod claiming;
mod crews;
mod deciding;
mod ending;
mod expansion;
mod following;
mod gaps;
mod lead;
mod lease;
mod loss;
mod membership;
mod peers;
mod planning;
mod pruning;
mod replacing;
mod reports;
mod room;
mod runs;
mod shares;
mod stale;
mod starting;
mod successors;
mod taking;
mod upkeep;
mod watch;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenure_core::{Abilities, Clock, Holder, Moment, RunRef, Timestamp, Wakes};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::backfilling::Backfilling;
use self::calls::{Calls, Done};
use self::cancelling::Cancelling;
use self::chains::Chains;
use self::claiming::{Claims, Tokens};
use self::following::Following;
use self::lead::Lead;
use self::lease::NodeLease;
use self::loss::Memory;
use self::peers::Peers;
use self::pruning::Pruning;
use self::replacing::Replacing;
use self::reports::Reports;
pub(crate) use self::room::NodeRoom;
use self::room::Room;
use self::runs::Running;
pub(crate) use self::runs::outcome_of;
use self::stale::{Others, StaleTask};
use self::starting::Starting;
use self::taking::Taking;
use self::watch::{Burst, Deadlines, Early};
use crate::check::Assigned;
use crate::due::Missed;
use crate::ends::Ends;
use crate::event::EventSender;
use crate::hash::Quick;
use crate::manager::{RunAccess, TaskManager};
use crate::options::RunnerOptions;
use crate::running::{Command, Drained, Pulse};
use crate::store_time::StoreTime;
use crate::table::{Table, TaskId};

/// The longest nap: a suspension or a step of a clock is noticed within this time.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// So many runs that are due and not decided are a burst.
const MANY: usize = 256;

/// How long attempts that have ended wait in a burst, for others to begin.
const HOLD_ENDS: Duration = Duration::from_millis(200);

pub(crate) struct Runner {
    manager: Arc<dyn TaskManager>,
    name: Option<Arc<str>>,
    node: Holder,
    calls: Calls,
    clock: Arc<dyn Clock>,
    options: RunnerOptions,
    events: EventSender,
    pulse: Arc<Pulse>,
    commands: mpsc::Receiver<Command>,
    table: Table,
    /// What others are told that this node can run.
    abilities: Abilities,
    /// Tasks are left that are due.
    has_more: bool,
    time: StoreTime,
    lead: Lead,
    lease: NodeLease,
    peers: Peers,
    tokens: Tokens,
    claims: Claims,
    chains: Chains,
    reports: Reports,
    take: Taking,
    cancelling: Cancelling,
    room: Room,
    backfilling: Backfilling,
    following: Following,
    replacing: Replacing,
    /// When the next lease of another node ends, if that is before this node beats again.
    next_end: Option<Moment>,
    // What is walked through is ordered, so that a simulation repeats exactly.
    running: BTreeMap<u64, Running>,
    /// Those of them whose code must not begin yet, by when it may.
    early: Early,
    bursts: VecDeque<Burst>,
    /// Those of them that the store does not know to begin yet.
    starting: Starting,
    deadlines: Deadlines,
    ends: Arc<Ends>,
    ends_taken_at: Moment,
    /// Every attempt that was won and whose end the store has not heard of.
    /// Each with the number under which it is remembered.
    in_hand: HashMap<RunRef, u64, Quick>,
    next_run: u64,
    paused: BTreeMap<TaskId, PausedTask>,
    stale: BTreeMap<TaskId, StaleTask>,
    others: Others,
    memory: Memory,
    told_skew_ms: Option<i64>,
    pruning: Pruning,
    ops: JoinSet<Done>,
    phase: Phase,
    farewell: Farewell,
    rng: fastrand::Rng,
}

/// A task whose claims the store refuses because somebody paused it.
#[derive(Debug)]
struct PausedTask {
    by: String,
    /// In their words; may be empty.
    why: String,
    /// When the store last said so.
    told_at: Timestamp,
    /// How often the store had forgotten something by then, as far as this node knew.
    era: u32,
    /// What will have been missed if the pause turns out to be over.
    missed: Option<Missed>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Live,
    /// Until when runs may finish by themselves.
    Draining {
        until: Moment,
    },
    /// Until when the store is waited for.
    Stopping {
        until: Moment,
    },
    Over,
}

/// What the end is told to, and to whom.
#[derive(Debug, Default)]
struct Farewell {
    drained: Drained,
    replies: Vec<oneshot::Sender<Drained>>,
}

impl Runner {
    pub(crate) fn new(
        assigned: Assigned,
        access: RunAccess,
        options: &RunnerOptions,
        clock: &Arc<dyn Clock>,
        events: &EventSender,
        commands: mpsc::Receiver<Command>,
        pulse: Arc<Pulse>,
    ) -> Self {
        let now = clock.now();
        let calls = Calls {
            max_batch: access.store.promises().max_batch.max(1),
            store: access.store,
            clock: clock.clone(),
            limit: options.store_timeout,
            events: events.clone(),
        };
        let table = Table::new(assigned.work);
        Self {
            name: assigned.manager.name().map(Arc::from),
            manager: assigned.manager,
            peers: Peers::new(access.node.id),
            node: access.node,
            calls,
            clock: clock.clone(),
            options: options.clone(),
            events: events.clone(),
            pulse,
            commands,
            abilities: table.abilities(),
            table,
            has_more: false,
            time: StoreTime::default(),
            lead: Lead::default(),
            lease: NodeLease::new(options, now),
            tokens: Tokens::default(),
            claims: Claims::default(),
            chains: Chains::default(),
            reports: Reports::default(),
            take: Taking::new(now),
            cancelling: Cancelling::default(),
            room: Room::default(),
            backfilling: Backfilling::new(now),
            following: Following::default(),
            replacing: Replacing::default(),
            next_end: None,
            running: BTreeMap::new(),
            early: Early::new(),
            bursts: VecDeque::new(),
            starting: Starting::default(),
            deadlines: Deadlines::new(),
            ends: Arc::default(),
            ends_taken_at: now,
            in_hand: HashMap::default(),
            next_run: 0,
            paused: BTreeMap::new(),
            stale: BTreeMap::new(),
            others: Others::default(),
            memory: Memory::default(),
            told_skew_ms: None,
            pruning: Pruning::new(now),
            ops: JoinSet::new(),
            phase: Phase::Live,
            farewell: Farewell::default(),
            rng: fastrand::Rng::new(),
        }
    }

    /// Shares the limit on all runs of the node with other managers.
    pub(crate) fn sharing(mut self, part: room::Part) -> Self {
        self.room.share(part);
        self
    }

    /// Works until it is drained. Dropping the future stops everything at once.
    pub(crate) async fn run(mut self) {
        let mut hints = self.calls.store.listen();
        loop {
            self.step();
            if matches!(self.phase, Phase::Over) {
                break;
            }
            self.wait(&mut hints).await;
        }
        self.close().await;
    }

    /// Does everything that is due by now.
    fn step(&mut self) {
        let now = self.clock.now();
        self.has_more = false;
        self.watch_runs(now);
        self.tell_starts(now);
        self.watch_trust(now);
        self.beat_if_due(now);
        self.flush(now);
        self.repair_if_needed(now);
        if matches!(self.phase, Phase::Live) {
            self.look_at_end(now);
            self.register_if_needed(now);
            self.replace_if_asked(now);
            if self.may_claim(now) {
                self.evaluate_due(now);
                self.sweep(now);
                self.look_at_chains(now);
                self.look_at_held(now);
                self.dispatch(now);
                self.follow_if_due(now);
                self.take_if_due(now);
                self.look_at_backfills(now);
            }
        } else {
            self.advance(now);
        }
        self.settle_room();
        let backlog = self.claims.backlog();
        self.pulse.backlog.store(backlog, Ordering::Relaxed);
    }

    /// Whether new runs may be claimed now.
    fn may_claim(&self, now: Moment) -> bool {
        self.lease.may_claim(now) && self.memory.may_claim(now)
    }

    /// Waits until something happens, and deals with all that has happened by then.
    async fn wait(&mut self, hints: &mut Wakes) {
        self.see_bursts_begin().await;
        let nap = self.nap();
        let holds_ends = self.holds_ends(self.clock.now());
        tokio::select! {
            biased;
            Some(command) = self.commands.recv() => self.asked(command),
            Some(done) = self.ops.join_next() => self.done(done.ok()),
            () = self.ends.came(), if !holds_ends => {}
            _ = hints.next() => self.hinted(),
            () = sleep(nap), if !self.has_more => {}
            () = tokio::task::yield_now(), if self.has_more => {}
        }
        while let Some(done) = self.ops.try_join_next() {
            self.done(done.ok());
        }
        let now = self.clock.now();
        if !self.holds_ends(now) {
            self.take_ends(now);
        }
    }

    /// Whether ended attempts wait, because very many others are about to begin: what has ended is
    /// not late for anything that a moment would spoil.
    fn holds_ends(&self, now: Moment) -> bool {
        self.claims.backlog() >= MANY && now < self.ends_taken_at + HOLD_ENDS
    }

    /// How long nothing is due.
    fn nap(&self) -> Duration {
        let now = self.clock.now();
        let mut next: Option<Moment> = None;
        let mut consider = |moment: Option<Moment>| {
            next = [next, moment].into_iter().flatten().min();
        };
        if !self.lease.is_beating {
            consider(Some(self.lease.next_beat));
        }
        if self.lease.is_live {
            consider(self.lease.trusted_until());
        }
        consider(self.early.keys().next().copied());
        consider(self.starting.next());
        consider(self.deadlines.first().map(|(at, _)| *at));
        if self.claims.backlog() >= MANY {
            consider(Some(self.ends_taken_at + HOLD_ENDS));
        }
        consider(self.reports.next());
        consider(self.memory.next(now));
        consider(self.next_end.filter(|_| matches!(self.phase, Phase::Live)));
        match self.phase {
            Phase::Live if self.may_claim(now) => {
                consider(self.claims.next());
                consider(self.chains.next());
                consider(self.take.next().filter(|_| self.table.len() > 0));
                consider(self.backfilling.next());
                consider(self.following.next());
                consider(self.until_due(now).map(|until| now + until));
            }
            Phase::Draining { until } | Phase::Stopping { until } => consider(Some(until)),
            Phase::Live | Phase::Over => {}
        }
        next.map_or(LONGEST_NAP, |next| next.since(now).min(LONGEST_NAP))
    }

    fn done(&mut self, done: Option<Done>) {
        match done {
            // A call was aborted, which only the end does.
            None | Some(Done::Noted) => {}
            Some(Done::Beaten {
                asked_at,
                answered_at,
                answer,
            }) => self.beaten(asked_at, answered_at, answer),
            Some(Done::Registered(answer)) => self.registered(answer),
            Some(Done::Replaced(answer)) => self.replaced(answer),
            Some(Done::Claimed {
                flight,
                asked_at,
                answered_at,
                answer,
            }) => self.claimed(flight, asked_at, answered_at, answer),
            Some(Done::Started {
                waiting,
                asked_at,
                answer,
            }) => self.started(waiting, asked_at, answer),
            Some(Done::Restored(answer)) => self.restored(answer),
            Some(Done::Surveyed(left)) => self.surveyed(left),
            Some(Done::Taken {
                take,
                asked_at,
                answer,
            }) => self.taken(take, asked_at, answer),
            Some(Done::Finished { finishes, answer }) => self.finished(finishes, answer),
            Some(Done::Passed { groups, answer }) => self.passed(groups, answer),
            Some(Done::Recovered(answer)) => self.recovered(answer),
            Some(Done::Backfills(answer)) => self.backfills(answer),
            Some(Done::Expanded(id, answer)) => self.expanded(&id, answer),
            Some(Done::Followed { asked, answer }) => self.followed(&asked, answer),
            Some(Done::Pruned(answer)) => self.pruned(answer),
            Some(Done::Cancels(answer)) => self.cancels(answer),
            Some(Done::Definitions(answer)) => self.definitions(answer),
        }
    }

    fn hinted(&mut self) {
        let now = self.clock.now();
        self.take.look_now(now);
        self.look_at_cancels();
        self.backfills_hinted(now);
        if let Some(store_now) = self.time.at(now) {
            self.look_at_paused(store_now);
        }
    }

    fn asked(&mut self, command: Command) {
        match command {
            Command::NextTicks(count, reply) => {
                // Nobody waits any more if this fails.
                let _ = reply.send(self.table.upcoming(count));
            }
            Command::OutputOf(run, reply) => {
                let mut attempts = self.running.values().map(|running| &*running.attempt);
                let attempt = attempts.find(|attempt| attempt.key == run);
                let _ = reply.send(attempt.map(|attempt| attempt.output.so_far()));
            }
            Command::Drain(patience, reply) => self.drain(patience, reply),
            Command::Replace(replacement) => self.replace(replacement),
        }
    }

    /// Shows how things are to whoever asks for the health.
    fn show(&self) {
        let mut pulse = self.pulse.change();
        pulse.node = Some(self.node.clone());
        pulse.is_live = matches!(self.phase, Phase::Live);
        pulse.trusted_until = self.lease.trusted_until();
        if !self.lease.is_in_trouble() {
            pulse.trouble = None;
        }
        pulse.tasks = self.table.len();
        pulse.nodes = self.peers.count();
        pulse.clock_ahead_ms = self.time.at(self.clock.now()).map(|store| {
            self.clock
                .wall()
                .as_millis()
                .saturating_sub(store.as_millis())
        });
    }
}
