//! On which nodes a task is defined otherwise than the store has it, as nodes say with their beats.
//!
//! A beat tells definitions as marks that may say too much and never too little: whoever is told
//! here has another definition, or none; one may be missing.

use tenure::core::{Ability, NodeRecord, RunStore, TaskRecord, Timestamp};

use crate::exit::Failure;
use crate::store::failure;
use crate::text::visible;

/// The nodes that are alive and run something.
#[derive(Debug)]
pub(crate) struct Versions(Vec<NodeRecord>);

/// Nodes that list a task and have another definition of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Others {
    pub(crate) count: usize,
    /// Who, if every node lists the task; else those that lack it cannot be told from them.
    names: Vec<String>,
}

impl Versions {
    pub(crate) async fn of(runs: &dyn RunStore, now: Timestamp) -> Result<Self, Failure> {
        let nodes = runs.nodes().await;
        let nodes = nodes.map_err(|error| failure("cannot list nodes", &error))?;
        let runs_something = |node: &NodeRecord| node.expires_at > now && node.capacity > 0;
        Ok(Self(nodes.into_iter().filter(runs_something).collect()))
    }

    /// Those that have another definition of the task, if any has.
    pub(crate) fn others(&self, task: &TaskRecord) -> Option<Others> {
        let definition = &task.definition;
        let ability = Ability::of(&definition.task, &definition.generation);
        let lacks = |node: &&NodeRecord| !node.abilities.may_have(ability);
        let lacking: Vec<&NodeRecord> = self.0.iter().filter(lacks).collect();
        let listed = usize::try_from(task.nodes).unwrap_or(usize::MAX);
        let count = listed.saturating_sub(self.0.len() - lacking.len());
        if count == 0 {
            return None;
        }
        let are_known = listed == self.0.len();
        let names = lacking.iter().filter(|_| are_known);
        let names = names.map(|node| visible(&node.node.to_string()));
        Some(Others {
            count,
            names: names.collect(),
        })
    }

    /// How many nodes list the task, and who of them has another definition, in words.
    pub(crate) fn nodes_of(&self, task: &TaskRecord) -> String {
        let noun = if task.nodes == 1 { "node" } else { "nodes" };
        let others = self.others(task);
        let others = others.map(|others| format!("; {}", others.in_words()));
        format!("on {} {noun}{}", task.nodes, others.unwrap_or_default())
    }
}

impl Others {
    pub(crate) fn in_words(&self) -> String {
        let verb = if self.count == 1 { "has" } else { "have" };
        let who = match &*self.names {
            [] => format!("{} of them", self.count),
            names => names.join(", "),
        };
        format!("{who} {verb} another definition")
    }
}

#[cfg(test)]
mod tests {
    use tenure::core::{Abilities, Beat, Definition, Generation, Holder, TaskName};

    use super::*;

    fn generation(name: &str) -> Generation {
        Generation::new(name).unwrap()
    }

    fn node(label: &str, has: &[&str]) -> NodeRecord {
        let name = TaskName::new("t").unwrap();
        let mut beat = Beat::new(
            Holder::new(label).with_pid(7),
            std::time::Duration::from_secs(15),
        );
        beat.abilities = Abilities::of(has.iter().map(|it| Ability::of(&name, &generation(it))));
        NodeRecord::of_beat(&beat, Timestamp::EPOCH, Timestamp::EPOCH)
    }

    #[test]
    fn nodes_that_have_another_definition_are_told_by_name_if_that_is_sure() {
        let name = TaskName::new("t").unwrap();
        let definition = Definition::new(name, generation("new"), "* * * * *");
        let mut task = TaskRecord::new(definition, Timestamp::EPOCH);
        let mut unsaid = node("c", &[]);
        unsaid.abilities = Abilities::default();
        for (nodes, listed, expected) in [
            (vec![node("a", &["new"]), node("b", &["new"])], 2, None),
            (
                vec![node("a", &["new"]), node("b", &["old"])],
                2,
                Some("b (pid 7) has another"),
            ),
            (vec![node("a", &["new"]), node("b", &[])], 1, None),
            (
                vec![node("a", &["new"]), node("b", &["old"]), node("c", &[])],
                2,
                Some("1 of them has another"),
            ),
            (
                vec![node("a", &["old"]), node("b", &["old"])],
                2,
                Some("a (pid 7), b (pid 7) have another"),
            ),
            (vec![node("a", &["new"]), unsaid], 2, None),
        ] {
            task.nodes = listed;
            let told = Versions(nodes).others(&task).map(|it| it.in_words());
            let expected = expected.map(|text| format!("{text} definition"));
            assert_eq!(told, expected);
        }
    }
}
