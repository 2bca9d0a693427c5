//! Nodes and the definitions they bring.

use std::sync::Arc;

use tenure_core::{
    Beat, Beaten, Definition, HolderId, NodeRecord, Note, Pause, Registered, Seen, StoreMoment,
    TaskName, TaskRecord, Timestamp,
};

use super::{DEFINITIONS_KEPT, Node, Now, Runs, Task};

impl Runs {
    pub(super) fn moment(&mut self, now: Now) -> StoreMoment {
        let mut moment = StoreMoment::new(now.wall, self.sequence, self.epoch());
        moment.losses = self.losses;
        moment
    }

    /// What a node that asks now sees of this store's memory.
    pub(super) fn seen_by(&self, id: HolderId) -> Seen {
        let mut seen = Seen::default();
        seen.sequence = self.sequence;
        seen.losses = self.losses;
        seen.own = self.nodes.get(&id).map_or(0, |node| node.own);
        seen
    }

    /// The sequence was raised by a call of this node.
    pub(super) fn called(&mut self, id: HolderId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.own = self.sequence;
        }
    }

    pub(super) fn beat(&mut self, beat: &Beat, now: Now) -> Beaten {
        let id = beat.node.id;
        let before = self.nodes.remove(&id).or_else(|| self.take_ended(id));
        let had_lapsed = before.as_ref().is_some_and(|node| node.ends <= now.steady);
        if before.as_ref().is_none_or(Node::was_given_up) {
            let text = format!("{} joined", beat.node);
            self.note(now, Note::new("node_joined", text).of_node(id));
        }
        let lapsed_at = before.as_ref().map(|node| node.record.expires_at);
        let (joined_at, order) = if let Some(node) = &before {
            (node.record.joined_at, node.order)
        } else {
            self.joined += 1;
            (now.wall, self.joined)
        };
        let (takes, own) = before
            .map(|node| (node.takes, node.own))
            .unwrap_or_default();
        let node = Node {
            record: NodeRecord::of_beat(beat, joined_at, now.wall),
            holder: Arc::new(beat.node.clone()),
            ends: now.steady + beat.ttl,
            order,
            takes,
            own,
            left: false,
            reported: false,
        };
        self.nodes.insert(id, node);
        if let Some(lapsed_at) = lapsed_at.filter(|_| had_lapsed) {
            self.forget_tasks(id, lapsed_at);
        }
        self.sequence += 1;
        self.called(id);
        let mut beaten = Beaten::new(self.moment(now), had_lapsed, self.alive(now));
        beaten.own = own;
        beaten
    }

    fn take_ended(&mut self, id: HolderId) -> Option<Node> {
        let mut ended = self.ended_nodes.iter();
        let at = ended.position(|node| node.record.node.id == id)?;
        self.ended_nodes.remove(at)
    }

    /// Whether a node ever beat, as far as is remembered.
    pub(super) fn has_beaten(&self, id: HolderId) -> bool {
        let mut ended = self.ended_nodes.iter();
        self.nodes.contains_key(&id) || ended.any(|node| node.record.node.id == id)
    }

    /// Takes back what a node registered, which counted until `until`.
    pub(super) fn forget_tasks(&mut self, id: HolderId, until: Timestamp) {
        for task in self.tasks.values_mut() {
            task.unlist(id, until);
        }
    }

    fn alive(&self, now: Now) -> Vec<NodeRecord> {
        let mut alive: Vec<_> = self
            .nodes
            .values()
            .filter(|node| node.ends > now.steady)
            .collect();
        alive.sort_by_key(|node| node.order);
        alive.into_iter().map(|node| node.record.clone()).collect()
    }

    pub(super) fn leave(&mut self, id: HolderId, now: Now) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.was_given_up()) else {
            return;
        };
        node.ends = now.steady;
        node.record.expires_at = now.wall;
        node.left = true;
        let text = format!("{} left", node.record.node);
        self.note(now, Note::new("node_left", text).of_node(id));
        self.forget_tasks(id, now.wall);
        if self.is_idle(id) {
            self.end_node(id);
        }
    }

    /// A call of this node registers tasks.
    pub(super) fn registers(&mut self, id: HolderId) {
        self.sequence += 1;
        self.called(id);
    }

    pub(super) fn register(
        &mut self,
        id: HolderId,
        definition: &Definition,
        now: Now,
    ) -> Registered {
        let generation = definition.generation.clone();
        // A node that was given up meanwhile lists nothing; its next beat tells it to register
        // again.
        let node = self.nodes.contains_key(&id).then_some(id);
        let is_known = self.tasks.get(&definition.task).is_some_and(|task| {
            let mut known = task.definitions.iter();
            known.any(|known| known.generation == generation)
        });
        let brought = (!is_known).then(|| self.brought(definition));
        let inherited = self.inherited(definition, now);
        let Some(task) = self.task_mut(&definition.task, now) else {
            return Registered::new(now.wall, generation);
        };
        if task.definitions.is_empty() {
            let (first_seen, pause) = inherited.unwrap_or((now.wall, None));
            task.first_seen = first_seen;
            task.pause = task.pause.take().or(pause.map(Box::new));
        }
        if let Some(brought) = brought {
            task.definitions.reserve_exact(1);
            let mut older = task.definitions.iter();
            let at = older.position(|known| known.number > brought.number);
            task.definitions
                .insert(at.unwrap_or(task.definitions.len()), brought);
            let surplus = task.definitions.len().saturating_sub(DEFINITIONS_KEPT);
            task.definitions.drain(..surplus);
        }
        let mut known = task.definitions.iter();
        let listed = known.find(|known| known.generation == generation).cloned();
        task.listed_by.retain(|(node, _)| *node != id);
        // Most tasks have one of each, and there may be very many tasks.
        task.listed_by.reserve_exact(1);
        task.listed_by.extend(node.map(|id| {
            let listed = listed.unwrap_or_else(|| Arc::new(definition.clone()));
            (id, listed)
        }));
        let (first_seen, last_tick) = (task.first_seen, task.last_tick);
        let current = self.current_generation(&definition.task, now);
        let mut registered = Registered::new(first_seen, current.unwrap_or(generation));
        registered.last_tick = last_tick;
        registered.sequence = self.sequence;
        registered.pause = self.pause_of(&definition.task, now).cloned();
        registered
    }

    /// A definition that is new. One that ends the task is newer than all that there are.
    fn brought(&mut self, definition: &Definition) -> Arc<Definition> {
        if definition.ended.is_none() || definition.number > 0 {
            return self.shared(definition);
        }
        let task = self.tasks.get(&definition.task);
        let newest = task.and_then(|task| task.definitions.last());
        let mut last = definition.clone();
        last.number = newest.map_or(0, |newest| newest.number);
        self.shared(&last)
    }

    /// When the first of a definition's aliases that is known was first seen, and its pause.
    fn inherited(&self, definition: &Definition, now: Now) -> Option<(Timestamp, Option<Pause>)> {
        let known = |alias: &&TaskName| {
            let task = self.tasks.get(alias);
            task.is_some_and(|task| !task.definitions.is_empty())
        };
        let alias = definition.aliases.iter().find(known)?;
        let first_seen = self.tasks.get(alias)?.first_seen;
        Some((first_seen, self.pause_of(alias, now).cloned()))
    }

    pub(super) fn withdraw(&mut self, id: HolderId, name: &TaskName, now: Now) {
        if let Some(task) = self.tasks.get_mut(name) {
            task.unlist(id, now.wall);
        }
    }

    pub(super) fn task_records(&self, now: Now) -> Vec<TaskRecord> {
        let mut records: Vec<_> = self
            .tasks
            .iter()
            .filter_map(|(name, task)| self.task_record(name, task, now))
            .collect();
        records.sort_by(|a, b| a.definition.task.cmp(&b.definition.task));
        records
    }

    /// `None` for a task that was claimed or paused but that nobody ever registered.
    fn task_record(&self, name: &TaskName, task: &Task, now: Now) -> Option<TaskRecord> {
        let mut definition = self.current(task, now)?.clone();
        definition.task = name.clone();
        let mut record = TaskRecord::new(definition, task.first_seen);
        let live = task
            .listed_by
            .iter()
            .filter(|(node, _)| self.is_alive(*node, now))
            .count();
        record.nodes = u32::try_from(live).unwrap_or(u32::MAX);
        if live == 0 {
            let listed_by = task.listed_by.iter();
            let ended = listed_by.filter_map(|(node, _)| self.nodes.get(node));
            let ended = ended.map(|node| node.record.expires_at).max();
            let since = ended.max(task.listed_until);
            record.unlisted_since = since.map(|since| since.min(now.wall));
        }
        record.last_tick = task.last_tick;
        record.pause = self.pause_of(name, now).cloned();
        Some(record)
    }

    pub(super) fn node_records(&self) -> Vec<NodeRecord> {
        let mut nodes: Vec<_> = self.ended_nodes.iter().chain(self.nodes.values()).collect();
        nodes.sort_by_key(|node| node.order);
        nodes.into_iter().map(|node| node.record.clone()).collect()
    }
}

impl Task {
    /// Strikes a node that listed this task until `until`.
    fn unlist(&mut self, id: HolderId, until: Timestamp) {
        let before = self.listed_by.len();
        self.listed_by.retain(|(node, _)| *node != id);
        if self.listed_by.len() < before {
            self.listed_until = self.listed_until.max(Some(until));
        }
    }
}

impl Node {
    /// Whether it left, or a recovery has told of its end.
    fn was_given_up(&self) -> bool {
        self.left || self.reported
    }
}
