//! Which nodes can run which tasks, as they say with their beats. Only ever a hint: a node that is
//! taken for one that can and cannot, or the other way round, costs a grace or a refused claim.

use std::collections::HashMap;

use tenure_core::{Abilities, Ability, HolderId};

use super::shares::Hand;

/// A node that takes runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) node: HolderId,
    /// Its part of all runs, beside the others' parts.
    pub(super) weight: u32,
    pub(super) abilities: Abilities,
}

/// Those among whom the runs of a task are shared. Good until the nodes that are alive change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Crew(usize);

impl Crew {
    /// Everybody who takes runs.
    pub(super) const ALL: Self = Self(0);
}

/// Some nodes, in one order in both lists.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) nodes: Vec<HolderId>,
    pub(super) hands: Vec<Hand>,
}

impl Nodes {
    fn of<'m>(members: impl Iterator<Item = &'m Member>) -> Self {
        let (nodes, hands) = members
            .map(|member| (member.node, Hand::new(member.node, member.weight)))
            .unzip();
        Self { nodes, hands }
    }
}

/// All who take runs, and the part of them that can run each task.
#[derive(Debug)]
pub(super) struct Crews {
    /// The first is this node.
    members: Vec<Member>,
    all: Nodes,
    /// Nobody says that it cannot run what this node can.
    are_alike: bool,
    /// The parts that were found so far, and whose tasks they are.
    parts: Vec<Nodes>,
    found: HashMap<Ability, Crew>,
}

impl Crews {
    pub(super) fn new(me: HolderId) -> Self {
        let mut crews = Self {
            members: Vec::new(),
            all: Nodes::default(),
            are_alike: true,
            parts: Vec::new(),
            found: HashMap::new(),
        };
        crews.set(vec![Member {
            node: me,
            weight: 1,
            abilities: Abilities::default(),
        }]);
        crews
    }

    /// From now on these are all, this node first.
    pub(super) fn set(&mut self, members: Vec<Member>) {
        if members == self.members {
            return;
        }
        let own = members.first().map(|me| me.abilities.clone());
        self.are_alike = members
            .iter()
            .all(|it| it.abilities.are_unsaid() || Some(&it.abilities) == own.as_ref());
        self.all = Nodes::of(members.iter());
        self.members = members;
        self.parts.clear();
        self.found.clear();
    }

    pub(super) fn all(&self) -> &Nodes {
        &self.all
    }

    /// Those of a crew; all, if there is none like it any more.
    pub(super) fn of(&self, crew: Crew) -> &Nodes {
        let part = crew.0.checked_sub(1).and_then(|part| self.parts.get(part));
        part.unwrap_or(&self.all)
    }

    /// Who can run what this node calls so. It can itself, whatever it has said.
    pub(super) fn who_can(&mut self, ability: impl FnOnce() -> Ability) -> Crew {
        if self.are_alike {
            return Crew::ALL;
        }
        let ability = ability();
        if let Some(crew) = self.found.get(&ability) {
            return *crew;
        }
        let members = self.members.iter().enumerate();
        let able = members.filter(|(at, it)| *at == 0 || it.abilities.may_have(ability));
        let part = Nodes::of(able.map(|(_, member)| member));
        let crew = if part.nodes.len() == self.all.nodes.len() {
            Crew::ALL
        } else if let Some(at) = self.parts.iter().position(|it| it.nodes == part.nodes) {
            Crew(at + 1)
        } else {
            self.parts.push(part);
            Crew(self.parts.len())
        };
        self.found.insert(ability, crew);
        crew
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::{Generation, TaskName};

    use super::*;

    fn id(n: u8) -> HolderId {
        HolderId::from_bytes([n; 16])
    }

    fn can(task: &str) -> Ability {
        let task = TaskName::new(task).unwrap();
        Ability::of(&task, &Generation::new("g").unwrap())
    }

    fn member(n: u8, tasks: &[&str]) -> Member {
        Member {
            node: id(n),
            weight: 1,
            abilities: Abilities::of(tasks.iter().map(|task| can(task))),
        }
    }

    #[test]
    fn s47_s56_a_task_is_shared_among_those_who_say_that_they_can_run_it() {
        let mut crews = Crews::new(id(1));
        let who_can = |crews: &mut Crews, task: &str| {
            let crew = crews.who_can(|| can(task));
            (crew, crews.of(crew).nodes.clone())
        };
        assert_eq!(who_can(&mut crews, "a").1, [id(1)]);
        let mut silent = member(4, &[]);
        silent.abilities = Abilities::default();
        let members = vec![
            member(1, &["a", "b", "c"]),
            member(2, &["a", "b"]),
            member(3, &["c"]),
            silent,
        ];
        crews.set(members.clone());
        let (of_a, nodes) = who_can(&mut crews, "a");
        assert_eq!(nodes, [1, 2, 4].map(id));
        assert_eq!(who_can(&mut crews, "b"), (of_a, nodes), "one crew");
        assert_eq!(who_can(&mut crews, "c").1, [1, 3, 4].map(id));
        assert_eq!(who_can(&mut crews, "new here").1, [1, 4].map(id));
        assert_eq!(crews.of(Crew::ALL).nodes.len(), 4);
        // Said again it is the same; one that is gone is nobody's turn any more.
        crews.set(members.clone());
        assert_eq!(crews.of(of_a).nodes, [1, 2, 4].map(id));
        crews.set(members.into_iter().filter(|it| it.node != id(2)).collect());
        assert_eq!(who_can(&mut crews, "a").1, [1, 4].map(id));
        // Where all are alike nothing is looked up.
        crews.set(vec![member(1, &["a"]), member(2, &["a"])]);
        let crew = crews.who_can(|| unreachable!("all can run it"));
        assert_eq!(crew, Crew::ALL);
    }
}
