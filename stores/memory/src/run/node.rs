//! Nodes and the definitions they bring.

use tenure_core::{
    Beat, Beaten, Definition, HolderId, NodeRecord, Note, Registered, Seen, StoreMoment, TaskName,
    TaskRecord,
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
            ends: now.steady + beat.ttl,
            order,
            takes,
            own,
            left: false,
            reported: false,
        };
        self.nodes.insert(id, node);
        if had_lapsed {
            self.forget_tasks(id);
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

    /// Takes back what a node registered.
    pub(super) fn forget_tasks(&mut self, id: HolderId) {
        for task in self.tasks.values_mut() {
            task.listed_by.retain(|(node, _)| *node != id);
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
        self.forget_tasks(id);
        if self
            .active_by_node
            .get(&id)
            .is_none_or(std::collections::BTreeSet::is_empty)
        {
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
        let brought = (!is_known).then(|| self.shared(definition));
        let task = self.task_mut(&definition.task, now);
        task.listed_by.retain(|(node, _)| *node != id);
        // Most tasks have one of each, and there may be very many tasks.
        task.listed_by.reserve_exact(1);
        task.listed_by
            .extend(node.map(|id| (id, generation.clone())));
        if task.definitions.is_empty() {
            task.first_seen = now.wall;
        }
        if let Some(brought) = brought {
            task.definitions.reserve_exact(1);
            task.definitions.push(brought);
            let surplus = task.definitions.len().saturating_sub(DEFINITIONS_KEPT);
            task.definitions.drain(..surplus);
        }
        let (first_seen, last_tick) = (task.first_seen, task.last_tick);
        let current = self.current_generation(&definition.task, now);
        let mut registered = Registered::new(first_seen, current.unwrap_or(generation));
        registered.last_tick = last_tick;
        registered.sequence = self.sequence;
        registered.pause = self.pause_of(&definition.task, now).cloned();
        registered
    }

    pub(super) fn withdraw(&mut self, id: HolderId, name: &TaskName) {
        if let Some(task) = self.tasks.get_mut(name) {
            task.listed_by.retain(|(node, _)| *node != id);
        }
    }

    pub(super) fn task_records(&self, now: Now) -> Vec<TaskRecord> {
        self.tasks
            .iter()
            .filter_map(|(name, task)| self.task_record(name, task, now))
            .collect()
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

impl Node {
    /// Whether it left, or a recovery has told of its end.
    fn was_given_up(&self) -> bool {
        self.left || self.reported
    }
}
