//! What can happen to clients and servers, and what it does to the world.

use super::node::{Answer, Data, Era, Node};
use super::{
    Action, Bug, Client, FailOver, LOSSES, PROMOTIONS, Pending, Safety, Step, Ticks, World,
};
use crate::rank::Ranks;

impl FailOver {
    pub(super) fn client_actions(&self, world: &World, number: usize, actions: &mut Vec<Action>) {
        let nodes = 0..world.nodes.len();
        let mut primaries = nodes.filter(|node| world.nodes[*node].follows.is_none());
        match world.clients[number].step {
            // The clients are alike: the first one to ask is called 0.
            Step::Wants if number > 0 && world.is_new() => {}
            Step::Wants => actions.extend(primaries.map(|node| Action::Ask(number, node))),
            Step::Installs(pending, _) => {
                if self.is_enough(pending, Bug::InstallDoesNotWait) {
                    actions.push(Action::Install(number));
                }
                actions.push(Action::Undo(number));
            }
            Step::Granted(pending, _) => {
                if self.is_enough(pending, Bug::GrantsDoNotWait) {
                    actions.push(Action::Accept(number));
                }
                actions.push(Action::Undo(number));
            }
            Step::Pushed(..) => actions.push(Action::HearPush(number)),
            Step::Holds { renewal, .. } => {
                for node in primaries.by_ref().filter(|_| self.has_hand_off) {
                    actions.push(Action::Release(number, node));
                    if renewal.is_none() {
                        actions.push(Action::Renew(number, node));
                    }
                }
                if renewal.is_some_and(|it| self.is_enough(it, Bug::RenewalsDoNotWait)) {
                    actions.push(Action::Renewed(number));
                }
            }
            Step::Done => {}
        }
    }

    fn is_enough(&self, pending: Pending, bug: Bug) -> bool {
        let terms = self.terms;
        terms.safety == Safety::Plain || terms.bug == Some(bug) || pending.is_copied
    }

    pub(super) fn node_actions(&self, world: &World, number: usize, actions: &mut Vec<Action>) {
        let node = &world.nodes[number];
        if node.follows.is_some() {
            actions.push(Action::Copy(number));
            // The replicas are alike: the first one that is promoted is called 1.
            let is_first = world.left[PROMOTIONS] == self.promotions;
            if world.left[PROMOTIONS] > 0 && (number == 1 || !is_first) {
                actions.push(Action::Promote(number));
            }
        }
        if world.left[LOSSES] > 0 {
            actions.push(Action::Restart(number));
            if node.follows.is_none() {
                actions.push(Action::Flush(number));
            }
        }
        for (other, primary) in world.nodes.iter().enumerate() {
            let is_new = other != number && node.follows != Some(other);
            let is_newer = primary.epoch > node.epoch || self.may_go_back;
            if is_new && is_newer && primary.follows.is_none() {
                actions.push(Action::Follow(number, other));
            }
        }
    }

    pub(super) fn act(&self, world: &mut World, action: Action) {
        let terms = self.terms;
        let clock = world.greatest_fence + 1;
        match action {
            Action::Ask(number, node) => {
                let token = world.clients[number].token;
                let pending = Pending::at(node);
                world.clients[number].step = match world.nodes[node].acquire(token, clock, terms) {
                    Answer::Granted { fence, is_new } => {
                        if is_new {
                            world.note_grant(fence);
                        }
                        Step::Granted(pending, fence)
                    }
                    Answer::Held => {
                        if self.has_hand_off {
                            world.nodes[node].queue(token);
                        }
                        Step::Wants
                    }
                    Answer::Quarantined => Step::Wants,
                    Answer::NeedInstall => Step::Installs(pending, world.nodes[node].era),
                };
            }
            Action::Install(number) => {
                if let Step::Installs(pending, era) = world.clients[number].step {
                    world.nodes[pending.node].install(era, terms);
                    world.clients[number].step = Step::Wants;
                }
            }
            Action::Accept(number) => {
                if let Step::Granted(pending, fence) = world.clients[number].step {
                    world.accept(number, fence, terms.ttl.saturating_sub(pending.age));
                }
            }
            Action::Undo(number) => {
                if let Step::Granted(pending, _) = world.clients[number].step {
                    let token = world.clients[number].token;
                    world.nodes[pending.node].undo(token);
                }
                world.clients[number].step = Step::Wants;
            }
            Action::HearPush(number) => {
                if let Step::Pushed(fence, left) = world.clients[number].step {
                    let is_word_enough =
                        terms.safety == Safety::Plain || terms.bug == Some(Bug::PushIsTrusted);
                    world.accept(number, fence, if is_word_enough { left } else { 0 });
                }
            }
            Action::Renew(number, node) => {
                let token = world.clients[number].token;
                if !world.nodes[node].renew(token, terms) {
                    // Told that the lock is not its own.
                    world.clients[number].finish();
                } else if let Step::Holds { renewal, .. } = &mut world.clients[number].step {
                    *renewal = Some(Pending::at(node));
                }
            }
            Action::Renewed(number) => {
                if let Step::Holds { trust, renewal, .. } = &mut world.clients[number].step
                    && let Some(pending) = renewal.take()
                {
                    *trust = (*trust).max(terms.ttl.saturating_sub(pending.age));
                }
            }
            Action::Release(number, node) => self.release(world, number, node),
            _ => {}
        }
    }

    fn release(&self, world: &mut World, number: usize, node: usize) {
        let (terms, clock) = (self.terms, world.greatest_fence + 1);
        let token = world.clients[number].token;
        let handed = world.nodes[node].release(token, clock, terms);
        world.clients[number].finish();
        if let Some((next, fence)) = handed {
            world.note_grant(fence);
            world.push(next, fence, terms.ttl);
        }
    }
}

impl Pending {
    fn at(node: usize) -> Self {
        Self {
            node,
            age: 0,
            is_copied: false,
        }
    }
}

impl World {
    fn is_new(&self) -> bool {
        self.greatest_fence == 0 && self.clients.iter().all(|c| c.step == Step::Wants)
    }

    fn note_grant(&mut self, fence: u8) {
        self.grant_fell |= fence <= self.greatest_fence;
        self.greatest_fence = self.greatest_fence.max(fence);
    }

    fn push(&mut self, token: u8, fence: u8, left: Ticks) {
        let is_listening = |c: &&mut Client| c.token == token && c.step == Step::Wants;
        if let Some(client) = self.clients.iter_mut().find(is_listening) {
            client.step = Step::Pushed(fence, left);
        }
    }

    fn accept(&mut self, number: usize, fence: u8, trust: Ticks) {
        if trust == 0 {
            self.clients[number].step = Step::Wants;
            return;
        }
        self.trust_fell |= fence <= self.trusted_fence;
        self.trusted_fence = self.trusted_fence.max(fence);
        self.clients[number].step = Step::Holds {
            fence,
            trust,
            renewal: None,
        };
    }

    /// What is done to servers.
    pub(super) fn harm(&mut self, action: Action) {
        match action {
            Action::Promote(number) => {
                self.left[PROMOTIONS] -= 1;
                let epoch = self.nodes.iter().map(|node| node.epoch).max().unwrap_or(0) + 1;
                let line = self.new_name();
                let node = &mut self.nodes[number];
                node.follows = None;
                node.epoch = epoch;
                node.era.line = line;
            }
            Action::Follow(number, primary) => {
                self.disconnect(number);
                self.nodes[number].follows = Some(primary);
                self.nodes[number].epoch = self.nodes[primary].epoch;
            }
            Action::Copy(number) => {
                if let Some(primary) = self.nodes[number].follows {
                    self.nodes[number].data = self.nodes[primary].data;
                    self.nodes[number].epoch = self.nodes[primary].epoch;
                    for pending in self.clients.iter_mut().filter_map(Client::pending) {
                        if pending.node == primary {
                            pending.is_copied = true;
                        }
                    }
                }
            }
            Action::Restart(number) => {
                self.left[LOSSES] -= 1;
                self.disconnect(number);
                let name = self.new_name();
                let node = &mut self.nodes[number];
                node.data = Data::default();
                node.era = Era {
                    run: name,
                    line: name,
                };
            }
            Action::Flush(number) => {
                self.left[LOSSES] -= 1;
                self.nodes[number].data = Data::default();
            }
            _ => {}
        }
    }

    /// A name that no server has had.
    fn new_name(&self) -> u8 {
        let known = |node: &Node| {
            let marker = node.data.marker.map_or(0, |era| era.line.max(era.run));
            node.era.line.max(node.era.run).max(marker)
        };
        self.nodes.iter().map(known).max().unwrap_or(0) + 1
    }

    /// What waits for an answer from this server gets none. Who waits to begin a quarantine has
    /// another question to send, and may send it over a new connection.
    fn disconnect(&mut self, number: usize) {
        for client in &mut self.clients {
            match &mut client.step {
                Step::Granted(pending, _) if pending.node == number => {
                    client.step = Step::Wants;
                }
                Step::Holds { renewal, .. } => {
                    *renewal = renewal.filter(|pending| pending.node != number);
                }
                _ => {}
            }
        }
    }

    pub(super) fn tick(&mut self, longest: Ticks) {
        for node in &mut self.nodes {
            node.tick();
        }
        for client in &mut self.clients {
            if let Some(pending) = client.pending() {
                // Older makes no difference.
                pending.age = (pending.age + 1).min(longest);
            }
            match &mut client.step {
                Step::Pushed(_, left) => *left = left.saturating_sub(1),
                Step::Holds { trust: 1, .. } => client.finish(),
                Step::Holds { trust, .. } => *trust -= 1,
                _ => {}
            }
        }
    }

    /// Only the order of fences matters, so they are numbered anew.
    pub(super) fn renumber(&mut self) {
        let mut ranks = Ranks::new();
        self.each_fence(&mut |fence| ranks.note(*fence));
        self.each_fence(&mut |fence| *fence = ranks.of(*fence));
    }

    fn each_fence(&mut self, visit: &mut dyn FnMut(&mut u8)) {
        visit(&mut self.greatest_fence);
        visit(&mut self.trusted_fence);
        for node in &mut self.nodes {
            visit(&mut node.data.last_fence);
            if let Some(lock) = &mut node.data.lock {
                visit(&mut lock.fence);
            }
        }
        for client in &mut self.clients {
            match &mut client.step {
                Step::Granted(_, fence) | Step::Pushed(fence, _) | Step::Holds { fence, .. } => {
                    visit(fence);
                }
                Step::Wants | Step::Installs(..) | Step::Done => {}
            }
        }
    }
}
