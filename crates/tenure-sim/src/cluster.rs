//! A cluster in one thread: nodes that are the shipped scheduler, one store in memory, and verbs
//! that do them harm.
//!
//! A node is one task of the runtime that owns the scheduling; killing it drops everything the
//! process would have had. Freezing stops its clocks, its messages and its code, so that the
//! scheduler, which acts by its clock, does nothing until it thaws.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Holder, HolderId, RunStore};
use tenure_memory::{MemoryStore, RunMemory};
use tenure_tasks::{RunnerEvent, RunnerOptions, RunningTasks, StoreLockManager, TaskScheduling};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep, timeout};

use crate::clock::{SimClock, virtual_now};
use crate::code::{NodeState, task_of};
use crate::judge::{CodeRun, Judge};
use crate::key_with_ttl::{KeyManager, Keys};
use crate::line::Line;
use crate::link::Link;
use crate::plan::{Fault, Plan, Protocol};
use crate::records;
use crate::releases::Releases;
use crate::violation::Rule;

/// How far a node's idea of the store's clock may be ahead because its own clock drifts.
const LEAD: Duration = Duration::from_millis(50);
/// How long code that was told to stop has.
const STOP_GRACE: Duration = Duration::from_millis(800);
/// How long one call of the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// How much longer than its patience a drain may take: the grace, the last reports, the farewell.
const DRAIN_EXTRA: Duration = Duration::from_secs(16);

/// A cluster while it is simulated.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) world: Arc<World>,
    nodes: Vec<Node>,
    remembered: Option<RunMemory>,
    next_id: u64,
}

/// What all nodes share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) judge: Arc<Judge>,
    /// The store itself, for the eyes of the checkers.
    pub(crate) truth: MemoryStore,
    /// The store as nodes reach it: the same, unless a fault was planted in it.
    server: Arc<dyn RunStore>,
    keys: Arc<Keys>,
    pub(crate) store_clock: Arc<SimClock>,
    began_at: Instant,
}

#[derive(Debug)]
struct Node {
    clock: Arc<SimClock>,
    /// Which release of the program it is started with.
    release: usize,
    live: Option<Live>,
    lived: Duration,
}

/// A process.
#[derive(Debug)]
struct Live {
    id: HolderId,
    line: Arc<Line>,
    life: JoinHandle<()>,
    drain: mpsc::Sender<Duration>,
    since: Instant,
}

impl Cluster {
    /// The cluster of a plan, before anything starts. `server` may put something before the store.
    pub(crate) fn new(
        plan: Plan,
        server: impl FnOnce(Arc<dyn RunStore>) -> Arc<dyn RunStore>,
    ) -> Self {
        let began_at = virtual_now();
        let store_clock = Arc::new(SimClock::new(
            began_at,
            plan.begins_at,
            Duration::from_secs(50_000),
        ));
        let truth = MemoryStore::with_clock(store_clock.clone());
        let server = server(Arc::new(truth.clone()));
        let early = Duration::from_millis(longest_delay(&plan)) + LEAD;
        let judge = Judge::new(
            began_at,
            store_clock.clone(),
            plan.node_ttl,
            (!plan.steps_store() && plan.protocol == Protocol::Tenure).then_some(early),
            plan.protocol == Protocol::Tenure,
            Releases::of(&plan),
        );
        let nodes = (0..plan.nodes)
            .map(|n| Node {
                clock: Arc::new(SimClock::new(
                    began_at,
                    plan.begins_at,
                    Duration::from_secs(1_000 * (n as u64 + 1)),
                )),
                release: 0,
                live: None,
                lived: Duration::ZERO,
            })
            .collect();
        Self {
            world: Arc::new(World {
                plan,
                judge: Arc::new(judge),
                truth,
                server,
                keys: Arc::default(),
                store_clock,
                began_at,
            }),
            nodes,
            remembered: None,
            next_id: 0,
        }
    }

    /// Starts every node that does not live.
    pub(crate) async fn start_all(&mut self) {
        for node in 0..self.nodes.len() {
            if !self.is_alive(node) {
                self.start(node);
                yield_now().await;
            }
        }
    }

    fn is_alive(&self, node: usize) -> bool {
        let live = self.nodes.get(node).and_then(|node| node.live.as_ref());
        live.is_some_and(|live| !live.life.is_finished())
    }

    fn start(&mut self, number: usize) {
        self.next_id += 1;
        let Some(node) = self.nodes.get_mut(number) else {
            return;
        };
        let seed = self.world.plan.seed ^ self.next_id.rotate_left(40);
        let id =
            HolderId::from_bytes((u128::from(seed) << 64 | u128::from(self.next_id)).to_be_bytes());
        let name = format!("n{number}.{}", self.next_id);
        let judge = self.world.judge.clone();
        judge.joined(id, name.clone(), node.release);
        let line = Arc::new(Line::new(id, judge, seed, self.world.plan.delay_ms));
        let (drain, drains) = mpsc::channel(4);
        let process = Life {
            world: self.world.clone(),
            clock: node.clock.clone(),
            line: line.clone(),
            release: node.release,
            holder: Holder::new(name).with_id(id).with_pid(0),
        };
        node.live = Some(Live {
            id,
            line,
            life: tokio::spawn(process.live(drains)),
            drain,
            since: virtual_now(),
        });
    }

    /// Ends a process at once.
    async fn kill(&mut self, node: usize) {
        let judge = self.world.judge.clone();
        let Some(node) = self.nodes.get_mut(node) else {
            return;
        };
        let Some(live) = node.live.take() else { return };
        node.lived += live.since.elapsed();
        node.clock.thaw();
        let has_ended = live.life.is_finished();
        live.line.die();
        live.life.abort();
        judge.gone(live.id);
        if !has_ended {
            let orphans = records::in_hand(&self.world.truth, live.id).await;
            judge.orphaned(orphans.into_iter().map(|(key, attempt)| CodeRun {
                key,
                attempt,
                node: live.id,
            }));
        }
        // What was aborted is dropped when the runtime comes by.
        for _ in 0..4 {
            yield_now().await;
        }
    }

    /// Lets one fault happen.
    pub(crate) async fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(node) => self.kill(node).await,
            Fault::Restart(node) => {
                self.kill(node).await;
                self.start(node);
            }
            Fault::Deploy(node, release) => {
                self.kill(node).await;
                if let Some(node) = self.nodes.get_mut(node) {
                    node.release = release;
                }
                self.start(node);
            }
            Fault::Drain(node, patience) => {
                self.freeze(node, false);
                if let Some(live) = self.live(node) {
                    // A drain that was asked for already goes on.
                    let _ = live.drain.try_send(patience);
                }
            }
            Fault::Freeze(node) => self.freeze(node, true),
            Fault::Thaw(node) => self.freeze(node, false),
            Fault::Cut(node, cut) => self.line(node, |line| line.cut(Some(cut))),
            Fault::Heal(node) => self.heal(node),
            Fault::Delay(node, least, most) => {
                self.line(node, |line| line.set_delay((least, most)));
            }
            Fault::LoseRequests(node, count) => self.line(node, |line| line.lose_requests(count)),
            Fault::LoseAnswers(node, count) => self.line(node, |line| line.lose_answers(count)),
            Fault::Duplicate(node, count) => self.line(node, |line| line.duplicate(count)),
            Fault::Skew(node, by_ms) => self.clock(node, |clock| clock.set_wall_ahead(by_ms)),
            Fault::Drift(node, ppm) => self.clock(node, |clock| clock.set_fast(ppm)),
            Fault::StepStore(by_ms) => self.world.store_clock.step_wall(by_ms),
            Fault::Remember => self.remembered = Some(self.world.truth.runs_in_memory()),
            Fault::Forget => self.forget().await,
        }
    }

    async fn forget(&mut self) {
        let Some(memory) = self.remembered.take() else {
            return;
        };
        let truth = &self.world.truth;
        let before = records::all(truth).await;
        truth.go_back_to(&memory);
        let after = records::all(truth).await;
        let forgotten = before
            .into_iter()
            .filter(|(key, run)| after.get(key) != Some(run));
        self.world.judge.forgot(forgotten.map(|(key, _)| key));
    }

    fn live(&self, node: usize) -> Option<&Live> {
        self.nodes.get(node)?.live.as_ref()
    }

    fn line(&self, node: usize, harm: impl FnOnce(&Line)) {
        if let Some(live) = self.live(node) {
            self.world.judge.disturbed(live.id);
            harm(&live.line);
        }
    }

    fn clock(&self, node: usize, harm: impl FnOnce(&SimClock)) {
        if let Some(node) = self.nodes.get(node) {
            harm(&node.clock);
        }
    }

    fn freeze(&self, node: usize, is_frozen: bool) {
        let Some(live) = self.live(node) else { return };
        if live.line.is_frozen() == is_frozen {
            return;
        }
        self.clock(node, |clock| {
            if is_frozen {
                clock.freeze();
            } else {
                clock.thaw();
            }
        });
        live.line.freeze(is_frozen);
        self.world.judge.frozen(live.id, is_frozen);
    }

    fn heal(&self, node: usize) {
        let delay_ms = self.world.plan.delay_ms;
        self.line(node, |line| line.heal(delay_ms));
    }

    /// Ends all faults, and starts what is dead.
    pub(crate) async fn mend(&mut self) {
        for node in 0..self.nodes.len() {
            self.freeze(node, false);
            self.heal(node);
        }
        // A node that drains is left to it; the others must be enough, so it comes back at once.
        for node in 0..self.nodes.len() {
            let drains = self.live(node).is_some_and(|live| live.drain.is_closed());
            if drains || !self.is_alive(node) {
                self.kill(node).await;
                self.start(node);
                yield_now().await;
            }
        }
    }

    /// Drains every node at the end.
    pub(crate) async fn drain_all(&mut self) {
        for node in &self.nodes {
            if let Some(live) = &node.live {
                let _ = live.drain.try_send(Duration::from_secs(1));
            }
        }
        for node in &mut self.nodes {
            if let Some(mut live) = node.live.take() {
                node.lived += live.since.elapsed();
                let limit = Duration::from_secs(1) + DRAIN_EXTRA * 2;
                if timeout(limit, &mut live.life).await.is_err() {
                    let what = format!("node {:?} does not end", live.id);
                    self.world.judge.blame(Rule::DrainEnds, what);
                }
            }
        }
    }

    /// The newest release that a node runs.
    pub(crate) fn newest_release(&self) -> usize {
        let alive = self.nodes.iter().filter(|node| node.live.is_some());
        alive.map(|node| node.release).max().unwrap_or(0)
    }

    /// How long all nodes lived together.
    pub(crate) fn node_time(&self) -> Duration {
        let living = |node: &Node| {
            node.live
                .as_ref()
                .map_or(Duration::ZERO, |live| live.since.elapsed())
        };
        self.nodes
            .iter()
            .map(|node| node.lived + living(node))
            .sum()
    }
}

impl World {
    /// How long ago it all began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began_at.elapsed()
    }
}

/// One process from its start to its end.
struct Life {
    world: Arc<World>,
    clock: Arc<SimClock>,
    line: Arc<Line>,
    release: usize,
    holder: Holder,
}

impl Life {
    async fn live(self, mut drains: mpsc::Receiver<Duration>) {
        let id = self.holder.id;
        let running = loop {
            let asked_at = virtual_now();
            match self.schedule().await {
                Ok(running) => break running,
                Err(error) if !self.world.judge.was_disturbed_since(id, asked_at) => {
                    let what = format!("{}: {error}", self.holder.label);
                    return self.world.judge.blame(Rule::Starts, what);
                }
                // As whatever supervises processes would.
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        };
        let mut events = running.events();
        let patience = loop {
            tokio::select! {
                biased;
                patience = drains.recv() => break patience,
                event = events.next() => match event {
                    Some(RunnerEvent::Lost { key, attempt, .. }) => {
                        self.world.judge.told_lost(&key, attempt);
                    }
                    Some(_) => {}
                    None => break None,
                },
            }
        };
        drains.close();
        let judge = &self.world.judge;
        let Some(patience) = patience else { return };
        judge.leaves(id);
        let drain = running.drain(patience);
        tokio::pin!(drain);
        let ends = loop {
            let since = virtual_now();
            let ended = timeout(patience + DRAIN_EXTRA, &mut drain).await.is_ok();
            // A machine that stood still, or was cut off, has the whole time again.
            if ended || !judge.was_disturbed_since(id, since) {
                break ended;
            }
        };
        if !ends {
            judge.blame(
                Rule::DrainEnds,
                format!("{} did not end in time", self.holder.label),
            );
        } else if judge.is_busy(id) {
            let what = format!("{} still runs something", self.holder.label);
            judge.blame(Rule::DrainEnds, what);
        }
        judge.gone(id);
    }

    async fn schedule(&self) -> Result<RunningTasks, tenure_tasks::StartError> {
        let plan = &self.world.plan;
        let options = RunnerOptions::new()
            .node_ttl(plan.node_ttl)
            .beat_every(plan.node_ttl / 3)
            .take_every(plan.take_every)
            .store_timeout(STORE_TIMEOUT)
            .stop_grace(STOP_GRACE);
        let state = NodeState {
            judge: self.world.judge.clone(),
            line: self.line.clone(),
            node: self.holder.id,
            seed: plan.seed,
        };
        let scheduling = TaskScheduling::builder(state)
            .clock(self.clock.clone())
            .options(options)
            .tasks(plan.release(self.release).iter().map(task_of));
        let scheduling = match plan.protocol {
            Protocol::Tenure => {
                let link = Link::new(self.world.server.clone(), self.line.clone());
                let manager = StoreLockManager::new(Arc::new(link)).as_node(self.holder.clone());
                scheduling.manager(manager)
            }
            Protocol::KeyWithTtl(keep) => {
                let keys = self.world.keys.clone();
                scheduling.manager(KeyManager::new(keys, self.line.clone(), keep))
            }
        };
        scheduling.start().await
    }
}

fn longest_delay(plan: &Plan) -> u64 {
    let delays = plan.faults.iter().map(|(_, fault)| match fault {
        Fault::Delay(_, _, most) => *most,
        _ => 0,
    });
    delays.max().unwrap_or(0).max(plan.delay_ms.1)
}
