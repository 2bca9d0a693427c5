//! Draws plans from seeds: small clusters, few tasks, a handful of faults that meet each other.

use std::time::Duration;

use fastrand::Rng;
use tenure_core::{OnCrash, Overlap};
use tenure_tasks::CatchUp;

use crate::line::Cut;
use crate::plan::{Fault, Plan, TaskPlan};

const SECOND_MS: u64 = 1_000;

/// When the first fault may happen: everything has started by then.
const FIRST_MS: u64 = 2 * SECOND_MS;

impl Plan {
    /// The plan of a seed: the same for the same seed and version.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let nodes = rng.usize(1..=4);
        let tasks = (0..rng.usize(1..=3)).map(|n| task(&mut rng, n)).collect();
        let length = Duration::from_secs(rng.u64(12..=35));
        let mut plan = Self::calm(seed, nodes, tasks, length);
        plan.delay_ms = match rng.u32(0..4) {
            0 | 1 => (0, 0),
            2 => (0, 5),
            _ => (1, 80),
        };
        let last_ms = millis(length).saturating_sub(SECOND_MS);
        for _ in 0..rng.usize(0..=6) {
            let at = Duration::from_millis(rng.u64(FIRST_MS..last_ms));
            add_fault(&mut plan, &mut rng, at);
        }
        plan.faults.sort_by_key(|(at, _)| *at);
        plan
    }
}

impl Plan {
    /// The plan of a seed with a rolling deploy in its middle, and with every overlap rule: some
    /// tasks are renamed by the new release, some change their schedule, and nodes get it one after
    /// the other, are rolled back, or come up once more with the old one, while the faults of
    /// [`Plan::random`] happen.
    #[must_use]
    pub fn random_deploy(seed: u64) -> Self {
        let mut plan = Self::random(seed);
        // Other chances than those that the plan itself was drawn from.
        let mut rng = Rng::with_seed(seed ^ 0x6465_706c_6f79);
        for task in &mut plan.tasks {
            crowd(task, &mut rng);
        }
        let later = plan.tasks.iter().map(|task| released(task, &mut rng));
        plan.later = vec![later.collect()];
        let last_ms = millis(plan.length).saturating_sub(SECOND_MS);
        let mut at = Duration::from_millis(rng.u64(FIRST_MS..last_ms));
        for node in 0..plan.nodes {
            if rng.u32(0..6) == 0 {
                continue;
            }
            if rng.bool() {
                let patience = Duration::from_millis(rng.u64(0..3_000));
                plan.faults.push((at, Fault::Drain(node, patience)));
            }
            at += Duration::from_millis(rng.u64(1..4_000));
            plan.faults.push((at, Fault::Deploy(node, 1)));
        }
        match rng.u32(0..4) {
            // Rolled back, some of them or all.
            0 => {
                for node in 0..plan.nodes {
                    at += Duration::from_millis(rng.u64(1..4_000));
                    if rng.u32(0..3) > 0 {
                        plan.faults.push((at, Fault::Deploy(node, 0)));
                    }
                }
            }
            // An old pod comes up in the middle of it.
            1 => {
                let node = rng.usize(0..plan.nodes);
                let begun = at.min(Duration::from_millis(last_ms));
                plan.faults.push((begun, Fault::Deploy(node, 0)));
                let back = begun + Duration::from_millis(rng.u64(1..9_000));
                plan.faults.push((back, Fault::Deploy(node, 1)));
            }
            _ => {}
        }
        // What did not fit in is done at the end.
        for (at, _) in &mut plan.faults {
            *at = (*at).min(plan.length);
        }
        plan.faults.sort_by_key(|(at, _)| *at);
        plan
    }
}

/// Gives a task one of all overlap rules, and perhaps a limit.
fn crowd(task: &mut TaskPlan, rng: &mut Rng) {
    let queue = Overlap::QueueAll {
        max: rng.u32(1..=4),
    };
    let others = [
        Overlap::Allow,
        Overlap::QueueOne,
        queue,
        Overlap::CancelOther,
    ];
    task.overlap = pick(rng, Overlap::Skip, &others);
    let may_wait = matches!(task.overlap, Overlap::QueueOne | Overlap::QueueAll { .. });
    if rng.u32(0..3) == 0 {
        let least = if may_wait { 1 } else { task.concurrency };
        task.max_running = Some(rng.u32(least..=4.max(least)));
    }
}

/// What the next release makes of a task.
fn released(task: &TaskPlan, rng: &mut Rng) -> TaskPlan {
    let mut next = task.clone();
    match rng.u32(0..4) {
        0 => {}
        1 => {
            let every_s = rng.u64(3..=12);
            next.schedule = format!("@every {every_s}s").into();
        }
        _ => {
            next.name = format!("{}-renamed", task.name);
            next.aliases = vec![task.name.clone()];
        }
    }
    next
}

fn task(rng: &mut Rng, number: usize) -> TaskPlan {
    let every_s = rng.u64(3..=12);
    let mut task = TaskPlan::new(format!("t{number}"), format!("@every {every_s}s"));
    let longest = if rng.u32(0..3) == 0 { 15_000 } else { 2_000 };
    let most = rng.u64(0..longest);
    let ms = Duration::from_millis;
    task.takes = (ms(rng.u64(0..=most)), ms(most));
    task.obeys = rng.u32(0..4) > 0;
    if rng.u32(0..4) == 0 {
        task.fails_percent = 40;
        task.attempts = rng.u32(1..=3);
    }
    task.concurrency = if rng.u32(0..4) == 0 {
        rng.u32(2..=3)
    } else {
        1
    };
    if rng.u32(0..3) == 0 {
        task.overlap = Overlap::Allow;
    }
    if rng.u32(0..3) == 0 {
        task.on_crash = OnCrash::Retry {
            max_attempts: rng.u32(2..=4),
        };
    }
    task.catch_up = pick(rng, CatchUp::Latest, &[CatchUp::Skip, CatchUp::All]);
    task.window = Some(Duration::from_secs(rng.u64(5..=30)));
    if rng.u32(0..5) == 0 {
        task.jitter = ms(rng.u64(1..2_000));
    }
    task
}

/// Adds one fault, and what ends it.
fn add_fault(plan: &mut Plan, rng: &mut Rng, at: Duration) {
    let node = rng.usize(0..plan.nodes);
    let later = at + Duration::from_millis(rng.u64(1..=20_000));
    let mut add = |at, fault| plan.faults.push((at, fault));
    match rng.u32(0..15) {
        0 | 1 => {
            add(at, Fault::Kill(node));
            add(later, Fault::Restart(node));
        }
        2 => add(at, Fault::Restart(node)),
        3 => {
            let patience = Duration::from_millis(rng.u64(0..5_000));
            add(at, Fault::Drain(node, patience));
            add(later, Fault::Restart(node));
        }
        4 | 5 => {
            add(at, Fault::Freeze(node));
            add(later, Fault::Thaw(node));
        }
        6 => {
            let cut = pick(rng, Cut::Refuses, &[Cut::Swallows, Cut::SwallowsAnswers]);
            add(at, Fault::Cut(node, cut));
            add(later, Fault::Heal(node));
        }
        7 => {
            let cut = pick(rng, Cut::Refuses, &[Cut::Swallows]);
            for node in 0..plan.nodes {
                plan.faults.push((at, Fault::Cut(node, cut)));
                plan.faults.push((later, Fault::Heal(node)));
            }
        }
        8 => {
            let most = rng.u64(100..5_000);
            add(at, Fault::Delay(node, 0, most));
            add(later, Fault::Heal(node));
        }
        9 => add(at, Fault::LoseRequests(node, rng.u32(1..=5))),
        10 => add(at, Fault::LoseAnswers(node, rng.u32(1..=5))),
        11 => add(at, Fault::Duplicate(node, rng.u32(1..=10))),
        12 => {
            add(at, Fault::Skew(node, rng.i64(-7_200_000..7_200_000)));
            add(at, Fault::Drift(node, rng.i64(-1_000..=1_000)));
        }
        13 => add(at, Fault::StepStore(rng.i64(-30_000..30_000))),
        _ => {
            let lost = Duration::from_millis(rng.u64(1..3_000));
            add(at, Fault::Remember);
            add(at + lost, Fault::Forget);
        }
    }
}

/// One of several, all as likely.
fn pick<T: Copy>(rng: &mut Rng, first: T, others: &[T]) -> T {
    let place = rng.usize(0..=others.len());
    others.get(place).copied().unwrap_or(first)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
