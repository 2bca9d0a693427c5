//! Nodes and the definitions they bring.

use tenure_core::{
    Beat, Beaten, Definition, HolderId, NodeRecord, Note, Registered, StoreMoment, TaskName,
    TaskRecord, Timestamp,
};

use super::{Node, Runs, Task};

impl Runs {
    pub(super) fn moment(&mut self, now: Timestamp) -> StoreMoment {
        StoreMoment::new(now, self.sequence, self.epoch())
    }

    pub(super) fn beat(&mut self, beat: &Beat, now: Timestamp) -> Beaten {
        let id = beat.node.id;
        let ended_before = self.ended_nodes.iter().any(|ended| ended.node.id == id);
        let known = self
            .nodes
            .get(&id)
            .map(|node| (node.record.joined_at, node.record.expires_at));
        let had_lapsed = ended_before || known.is_some_and(|(_, expires_at)| expires_at <= now);
        self.ended_nodes.retain(|ended| ended.node.id != id);
        let joined_at = known.map_or(now, |(joined_at, _)| joined_at);
        let record = NodeRecord::of_beat(beat, joined_at, now);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.record = record;
            node.left = false;
            node.reported = false;
        } else {
            self.joined += 1;
            let node = Node {
                record,
                order: self.joined,
                tasks: std::collections::HashMap::new(),
                left: false,
                reported: false,
            };
            self.nodes.insert(id, node);
            let text = format!("{} joined", beat.node);
            self.note(now, Note::new("node_joined", text).of_node(id));
        }
        Beaten::new(self.moment(now), had_lapsed, self.alive(now))
    }

    fn alive(&self, now: Timestamp) -> Vec<NodeRecord> {
        let mut alive: Vec<_> = self
            .nodes
            .values()
            .filter(|node| node.record.expires_at > now)
            .collect();
        alive.sort_by_key(|node| node.order);
        alive.into_iter().map(|node| node.record.clone()).collect()
    }

    pub(super) fn leave(&mut self, id: HolderId, now: Timestamp) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.record.expires_at = now;
        node.left = true;
        let text = format!("{} left", node.record.node);
        self.note(now, Note::new("node_left", text).of_node(id));
        if self
            .active_by_node
            .get(&id)
            .is_none_or(std::collections::BTreeSet::is_empty)
        {
            self.end_node(id);
        }
    }

    pub(super) fn register(
        &mut self,
        id: HolderId,
        definition: &Definition,
        now: Timestamp,
    ) -> Registered {
        let generation = definition.generation.clone();
        if let Some(node) = self.nodes.get_mut(&id) {
            node.tasks
                .insert(definition.task.clone(), generation.clone());
        }
        let task = self.task_mut(&definition.task, now);
        task.listed_by.retain(|(node, _)| *node != id);
        task.listed_by.push((id, generation.clone()));
        if task.definitions.is_empty() {
            task.first_seen = now;
        }
        let is_known = task
            .definitions
            .iter()
            .any(|known| known.generation == generation);
        if !is_known {
            task.definitions.push(definition.clone());
        }
        let (first_seen, last_tick) = (task.first_seen, task.last_tick);
        let current = self.current_generation(&definition.task, now);
        let mut registered = Registered::new(first_seen, current.unwrap_or(generation));
        registered.last_tick = last_tick;
        registered.pause = self.pause_of(&definition.task, now).cloned();
        registered
    }

    pub(super) fn task_records(&self, now: Timestamp) -> Vec<TaskRecord> {
        self.tasks
            .iter()
            .filter_map(|(name, task)| self.task_record(name, task, now))
            .collect()
    }

    /// `None` for a task that was claimed or paused but that nobody ever registered.
    fn task_record(&self, name: &TaskName, task: &Task, now: Timestamp) -> Option<TaskRecord> {
        let definition = self.current(task, now)?;
        let mut record = TaskRecord::new(definition.clone(), task.first_seen);
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
        let mut nodes: Vec<_> = self.nodes.values().collect();
        nodes.sort_by_key(|node| node.order);
        let present = nodes.into_iter().map(|node| &node.record);
        self.ended_nodes.iter().chain(present).cloned().collect()
    }
}
