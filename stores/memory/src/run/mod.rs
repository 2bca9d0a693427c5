//! Runs in memory: the facts, and the indexes by which they are found.
//!
//! A record is changed in one place only, [`Runs::put`], which keeps every index in step with it.
//! What each request means stands in the files beside this one: claims, endings, nodes, control,
//! reading.

mod cancel;
mod claim;
mod control;
mod ending;
mod loss;
mod node;
mod read;
mod store;
mod tasks;

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;
use tenure_core::{
    Backfill, Cancel, Definition, Generation, Holder, HolderId, MaxRunning, NodeRecord, Note,
    Overlap, Pause, Refusal, RequestId, RunKey, RunKind, RunRecord, RunState, TaskName, Timestamp,
    Token,
};

use self::tasks::Tasks;

/// How many events are kept.
const EVENTS_KEPT: usize = 10_000;
/// How many ended nodes are remembered, for people and for their coming back.
const ENDED_NODES_KEPT: usize = 100;
/// How many takes of a node are remembered, so that one that arrives again, long after its answer,
/// takes nothing that nobody would know of.
const TAKES_KEPT: usize = 64;
/// How many definitions of a task are remembered, so that an old one that comes back is known as
/// old.
const DEFINITIONS_KEPT: usize = 16;
/// How many definitions are looked through for one that a new task shares.
const SHARED_KEPT: usize = 10_000;

/// The two clocks, read once for a request. Everything that is told or compared with a tick is wall
/// time; nodes' leases end by the steady clock, so that no step of the wall clock takes a node that
/// lives for dead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    pub(crate) steady: Timestamp,
}

/// Newest tick first; of one tick by task, index and kind.
type HistoryOrder = (Reverse<Timestamp>, TaskName, u32, RunKind);

#[derive(Debug, Default, Clone)]
pub(crate) struct Runs {
    epoch: Option<Token>,
    /// Grows with every beat and every call that claims or registers.
    sequence: u64,
    /// How often nodes said that something was forgotten, and who said so last.
    losses: u64,
    loss_told_by: Option<HolderId>,
    fence: u64,
    /// Shared with the events that tell of them.
    records: HashMap<RunKey, Arc<Run>>,
    /// The records that are in neither of the two orders yet. Claims are in a hurry; whoever reads
    /// puts them in order first, and each ending a few.
    unordered: VecDeque<RunKey>,
    history: BTreeSet<HistoryOrder>,
    by_task: HashMap<TaskName, BTreeSet<HistoryOrder>>,
    /// In order; there is seldom more than one.
    active_by_slot: HashMap<(TaskName, u32), Vec<RunKey>>,
    /// In the order in which they came into its hands.
    active_by_node: HashMap<HolderId, BTreeMap<u64, RunKey>>,
    /// How many records were written.
    hands: u64,
    waiting: BTreeSet<(Timestamp, RunKey)>,
    /// Scheduled runs that wait for their first attempt, the oldest tick first.
    queued: HashMap<(TaskName, u32), BTreeSet<RunKey>>,
    /// Of runs in hand, those that are asked to stop.
    cancels: HashMap<RunKey, Cancel>,
    nodes: HashMap<HolderId, Node>,
    ended_nodes: VecDeque<Node>,
    joined: u64,
    tasks: Tasks,
    /// What tasks have in common, by generation.
    shared: HashMap<Generation, Arc<Definition>>,
    backfills: BTreeMap<RequestId, (u64, Backfill)>,
    events: VecDeque<(Timestamp, Told)>,
    event_count: u64,
}

/// What an event tells, as it is kept.
#[derive(Debug, Clone)]
enum Told {
    Run(Arc<Run>),
    Note(Note),
}

/// A record with what the store needs to know besides.
#[derive(Debug, Clone)]
struct Run {
    /// Without its node, which stands beside it.
    record: RunRecord,
    /// Who has it, or had it last; shared by all that it has.
    node: Option<Arc<Holder>>,
    /// Its number among the runs in hand: grows with every write.
    hand: u64,
    /// The token of the current attempt.
    token: Option<Token>,
    /// The token of the claim that made the record, and what kept the run back.
    claimed_with: Option<Token>,
    kept_back: Option<Refusal>,
    /// The last attempt that its own node ended.
    ended: Option<(u32, Token)>,
    overlap: Overlap,
    max_running: Option<MaxRunning>,
    keep_until: Timestamp,
}

#[derive(Debug, Clone)]
struct Node {
    record: NodeRecord,
    /// The same as in the record.
    holder: Arc<Holder>,
    /// When its lease ends, by the steady clock.
    ends: Timestamp,
    /// The how-manyth node to join.
    order: u64,
    /// The tokens of its last takes, oldest first.
    takes: VecDeque<Token>,
    /// The sequence of its last beat, claim or registration.
    own: u64,
    /// It said that it was leaving.
    left: bool,
    /// A recovery has told of its end already.
    reported: bool,
}

#[derive(Debug, Clone)]
struct Task {
    /// When it was first registered; for tasks that nobody registered, when they were first named.
    first_seen: Timestamp,
    /// Each definition, those with lower numbers first, else in the order in which its generation
    /// was first registered. There are few, and there may be very many tasks, so lists are smaller
    /// and no slower than maps.
    ///
    /// Each is shared by all tasks that differ in nothing but their name: the name in it is that of
    /// one of them.
    definitions: SmallVec<[Arc<Definition>; 1]>,
    /// Which node can run it in which definition. Nodes end seldom, so that nothing else says which
    /// tasks a node has.
    listed_by: SmallVec<[(HolderId, Arc<Definition>); 1]>,
    last_tick: Option<Timestamp>,
    /// Until when a node that lists it no longer did.
    listed_until: Option<Timestamp>,
    /// Few tasks are paused, so the others pay a pointer.
    pause: Option<Box<Pause>>,
}

impl Task {
    /// The pause that holds now. One whose end has come is as good as none.
    fn pause_at(&self, now: Now) -> Option<&Pause> {
        self.pause
            .as_deref()
            .filter(|pause| pause.holds_at(now.wall))
    }
}

impl Run {
    fn new(record: RunRecord, keep_until: Timestamp) -> Self {
        Self {
            record,
            node: None,
            hand: 0,
            token: None,
            claimed_with: None,
            kept_back: None,
            ended: None,
            overlap: Overlap::Skip,
            max_running: None,
            keep_until,
        }
    }

    /// The record as it is told.
    fn told(&self) -> RunRecord {
        let mut record = self.record.clone();
        record.node = self.node.as_deref().cloned();
        record.set_started(record.started_at);
        record
    }

    fn node_id(&self) -> Option<HolderId> {
        self.node.as_ref().map(|node| node.id)
    }
}

fn order(key: &RunKey) -> HistoryOrder {
    (
        Reverse(key.tick),
        key.task.clone(),
        key.index,
        key.kind.clone(),
    )
}

fn key_of((Reverse(tick), task, index, kind): &HistoryOrder) -> RunKey {
    let mut key = RunKey::scheduled(task.clone(), *tick, *index);
    key.kind = kind.clone();
    key
}

impl Runs {
    fn get(&self, key: &RunKey) -> Option<&Run> {
        self.records.get(key).map(Arc::as_ref)
    }

    /// Writes a record, keeps the indexes in step, and tells the event feed.
    fn put(&mut self, mut run: Run, now: Now) {
        self.hands += 1;
        run.hand = self.hands;
        let key = run.record.key.clone();
        if !run.record.state.is_active() && !self.cancels.is_empty() {
            self.cancels.remove(&key);
        }
        let run = Arc::new(run);
        self.tell(now, Told::Run(run.clone()));
        match self.records.insert(key.clone(), run.clone()) {
            Some(before) => self.unindex(&before),
            None => self.unordered.push_back(key),
        }
        self.index(&run);
    }

    /// Writes that a claimed run begins. It stays in the same hand, so no index changes.
    fn put_begun(&mut self, mut run: Run, now: Now) {
        run.record.state = RunState::Running;
        run.record.started_at = Some(now.wall);
        let run = Arc::new(run);
        self.tell(now, Told::Run(run.clone()));
        if let Some(kept) = self.records.get_mut(&run.record.key) {
            *kept = run;
        }
    }

    fn index(&mut self, run: &Run) {
        let record = &run.record;
        let key = &record.key;
        if record.state.is_active() {
            let slot = (key.task.clone(), key.index);
            let keys = self.active_by_slot.entry(slot).or_default();
            if let Err(place) = keys.binary_search(key) {
                // Nearly always the only one.
                keys.reserve_exact(1);
                keys.insert(place, key.clone());
            }
            if let Some(node) = &run.node {
                let keys = self.active_by_node.entry(node.id).or_default();
                keys.insert(run.hand, key.clone());
            }
        }
        if let (RunState::Waiting, Some(due)) = (record.state, record.due_at) {
            self.waiting.insert((due, key.clone()));
            if record.attempt == 0 && key.kind == RunKind::Scheduled {
                let slot = (key.task.clone(), key.index);
                self.queued.entry(slot).or_default().insert(key.clone());
            }
        }
    }

    fn unindex(&mut self, run: &Run) {
        let key = &run.record.key;
        let slot = (key.task.clone(), key.index);
        if run.record.state.is_active() {
            if let Entry::Occupied(mut keys) = self.active_by_slot.entry(slot.clone()) {
                keys.get_mut().retain(|other| other != key);
                if keys.get().is_empty() {
                    keys.remove();
                }
            }
            let node = run.node_id();
            if let Some(keys) = node.and_then(|node| self.active_by_node.get_mut(&node)) {
                keys.remove(&run.hand);
            }
        }
        if let Some(due) = run.record.due_at {
            self.waiting.remove(&(due, key.clone()));
            if let Some(keys) = self.queued.get_mut(&slot) {
                keys.remove(key);
                if keys.is_empty() {
                    self.queued.remove(&slot);
                }
            }
        }
    }

    /// Whether a node has nothing in hand.
    fn is_idle(&self, node: HolderId) -> bool {
        let in_hand = self.active_by_node.get(&node);
        in_hand.is_none_or(BTreeMap::is_empty)
    }

    /// Puts at most so many records in order that are not yet.
    fn bring_in_order(&mut self, most: usize) {
        for _ in 0..most {
            let Some(key) = self.unordered.pop_front() else {
                // It may have been very long once.
                self.unordered.shrink_to(1024);
                return;
            };
            let at = order(&key);
            self.history.insert(at.clone());
            self.by_task.entry(key.task).or_default().insert(at);
        }
    }

    fn forget(&mut self, at: &HistoryOrder) {
        self.records.remove(&key_of(at));
        self.history.remove(at);
        if let Some(keys) = self.by_task.get_mut(&at.1) {
            keys.remove(at);
            if keys.is_empty() {
                self.by_task.remove(&at.1);
            }
        }
    }

    /// Adds a note to the events.
    pub(crate) fn note(&mut self, now: Now, note: Note) {
        self.tell(now, Told::Note(note));
    }

    fn tell(&mut self, now: Now, told: Told) {
        self.event_count += 1;
        self.events.push_back((now.wall, told));
        while self.events.len() > EVENTS_KEPT {
            self.events.pop_front();
        }
    }

    /// Drawn once, at the first question.
    fn epoch(&mut self) -> String {
        self.epoch.get_or_insert_with(Token::random).to_string()
    }

    fn next_fence(&mut self) -> tenure_core::Fence {
        self.fence += 1;
        tenure_core::Fence::new(self.fence)
    }

    fn is_alive(&self, node: HolderId, now: Now) -> bool {
        self.nodes
            .get(&node)
            .is_some_and(|node| node.ends > now.steady)
    }

    /// Whether something waits that is due, so that runners are worth waking.
    fn has_due(&self, now: Now) -> bool {
        self.waiting
            .first()
            .is_some_and(|(due, _)| *due <= now.wall)
    }

    /// The definition with the highest number, and of those the one registered first most recently,
    /// among those that live nodes list; if none does, among all.
    fn current<'t>(&self, task: &'t Task, now: Now) -> Option<&'t Definition> {
        let is_listed = |definition: &&Arc<Definition>| {
            task.listed_by.iter().any(|(node, listed)| {
                listed.generation == definition.generation && self.is_alive(*node, now)
            })
        };
        let newest_first = || task.definitions.iter().rev();
        newest_first()
            .find(is_listed)
            .or_else(|| newest_first().next())
            .map(Arc::as_ref)
    }

    /// The definition, kept once for all tasks that differ in nothing but their name.
    fn shared(&mut self, definition: &Definition) -> Arc<Definition> {
        if let Some(known) = self.shared.get(&definition.generation) {
            let mut alike = definition.clone();
            alike.task = known.task.clone();
            return if alike == **known {
                known.clone()
            } else {
                Arc::new(definition.clone())
            };
        }
        if self.shared.len() >= SHARED_KEPT {
            self.shared.retain(|_, known| Arc::strong_count(known) > 1);
        }
        let definition = Arc::new(definition.clone());
        if self.shared.len() < SHARED_KEPT {
            let generation = definition.generation.clone();
            self.shared.insert(generation, definition.clone());
        }
        definition
    }

    /// The generation of a task whose claims are accepted, if anybody registered the task.
    fn current_generation(&self, task: &TaskName, now: Now) -> Option<Generation> {
        let definition = self.current(self.tasks.get(task)?, now)?;
        Some(definition.generation.clone())
    }

    fn pause_of(&self, task: &TaskName, now: Now) -> Option<&Pause> {
        self.tasks.get(task)?.pause_at(now)
    }

    /// A task's entry, made for tasks that nobody registered, so that they can be paused too. There
    /// always is one.
    fn task_mut(&mut self, task: &TaskName, now: Now) -> Option<&mut Task> {
        if self.tasks.get(task).is_none() {
            let new = Task {
                first_seen: now.wall,
                definitions: SmallVec::new(),
                listed_by: SmallVec::new(),
                last_tick: None,
                listed_until: None,
                pause: None,
            };
            self.tasks.add(task, new);
        }
        self.tasks.get_mut(task)
    }

    fn saw_tick(&mut self, key: &RunKey, now: Now) {
        if key.kind != RunKind::Scheduled {
            return;
        }
        let task = match self.tasks.get_mut(&key.task) {
            Some(task) => Some(task),
            None => self.task_mut(&key.task, now),
        };
        if let Some(task) = task {
            task.last_tick = task.last_tick.max(Some(key.tick));
        }
    }
}
