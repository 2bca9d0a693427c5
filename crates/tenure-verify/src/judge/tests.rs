//! Histories of a few lines: what was planted in each is found, and nothing else is.

use super::*;
use crate::history::Head;

const MS: u64 = 1_000_000;

fn head() -> Head {
    Head {
        tenure: "0".to_owned(),
        store: "of tests".to_owned(),
        seed: 1,
        clients: 2,
        span_ms: 1000,
        ttl_ms: 100,
        locks: 1,
        is_fenced: true,
        tasks: [("once", 1), ("pair", 2), ("again", 1)]
            .map(|(task, width)| (task.to_owned(), width))
            .into(),
        repeated: vec!["again".to_owned()],
        network: Ok(()),
    }
}

/// A history under construction; times are in milliseconds.
struct Told(Judge);

impl Told {
    fn new() -> Self {
        Self(Judge::new(&head()))
    }

    fn step(mut self, t: u64, p: &str, step: Step) -> Self {
        self.0.see(&Record::new(t * MS, p, step));
        self
    }

    fn ask(self, t: u64, p: &str) -> Self {
        let owner = owner(p);
        self.step(t, p, Step::Ask { lock: 0, owner })
    }

    fn granted(self, t: u64, p: &str, fence: u64, until: u64) -> Self {
        let step = Step::Granted {
            lock: 0,
            owner: owner(p),
            fence,
            until: until * MS,
        };
        self.step(t, p, step)
    }

    fn release(self, t: u64, p: &str, until: u64) -> Self {
        let step = Step::Release {
            lock: 0,
            owner: owner(p),
            until: until * MS,
        };
        self.step(t, p, step)
    }

    fn lost(self, t: u64, p: &str, until: u64, late_us: u64) -> Self {
        let step = Step::Lost {
            lock: 0,
            owner: owner(p),
            until: until * MS,
            late_us,
        };
        self.step(t, p, step)
    }

    fn written(self, t: u64, p: &str, fence: u64, accepted: bool) -> Self {
        let step = Step::Written {
            lock: 0,
            owner: owner(p),
            fence,
            accepted,
        };
        self.step(t, "resource", step)
    }

    fn start(self, t: u64, task: &str, attempt: u32) -> Self {
        self.start_at(t, task, 1, attempt)
    }

    fn start_at(self, t: u64, task: &str, index: u32, attempt: u32) -> Self {
        let step = Step::Start {
            task: task.to_owned(),
            tick: 1000,
            index,
            attempt,
        };
        self.step(t, "a", step)
    }

    fn due(self, task: &str) -> Self {
        let task = task.to_owned();
        self.step(900, "lead", Step::Due { task, tick: 1000 })
    }

    fn kept(self, task: &str, state: &str) -> Self {
        self.kept_at(task, 1, 1, state)
    }

    fn kept_at(self, task: &str, index: u32, attempt: u32, state: &str) -> Self {
        let step = Step::Kept {
            task: task.to_owned(),
            tick: 1000,
            index,
            attempt,
            state: state.to_owned(),
        };
        self.step(901, "lead", step)
    }

    /// Exactly these rules were broken, once each.
    #[track_caller]
    fn broke(self, rules: &[Rule]) -> Verdict {
        let verdict = self.0.finish();
        let broken = verdict.findings.iter().filter(|it| it.1.violations > 0);
        let broken: Vec<_> = broken.map(|(rule, it)| (*rule, it.violations)).collect();
        let wanted: Vec<_> = rules.iter().map(|rule| (*rule, 1)).collect();
        assert_eq!(broken, wanted, "{verdict:?}");
        verdict
    }
}

fn owner(p: &str) -> String {
    format!("{p}-0.1")
}

#[test]
fn one_after_the_other_breaks_nothing() {
    let verdict = Told::new()
        .ask(1, "a")
        .ask(2, "b")
        .granted(3, "a", 5, 103)
        .written(4, "a", 5, true)
        .release(10, "a", 103)
        .granted(11, "b", 6, 111)
        .written(12, "b", 6, true)
        .release(20, "b", 111)
        .start(30, "once", 1)
        .due("once")
        .kept("once", "succeeded")
        .broke(&[]);
    assert_eq!((verdict.grants, verdict.contended), (2, 1));
    assert!(!verdict.controls_saw_something());
    let bound = verdict
        .findings
        .get(&Rule::Overlap)
        .and_then(Finding::bound);
    assert_eq!(bound, Some(1.5), "3 in 2 attempts");
}

#[test]
fn c1_two_holders_at_once_are_found_whoever_ends_first() {
    for first in ["a", "b"] {
        let second = if first == "a" { "b" } else { "a" };
        Told::new()
            .ask(1, "a")
            .granted(2, "a", 5, 102)
            .ask(3, "b")
            .granted(4, "b", 6, 104)
            .release(10, first, 110)
            .release(20, second, 120)
            .broke(&[Rule::Overlap]);
    }
}

#[test]
fn c1_a_holder_that_stands_still_until_its_time_is_over_is_only_seen_by_the_control() {
    let verdict = Told::new()
        .ask(1, "a")
        .granted(2, "a", 5, 102)
        .ask(3, "b")
        .granted(105, "b", 6, 205)
        .lost(150, "a", 102, 20)
        .release(160, "b", 205)
        .broke(&[]);
    assert_eq!(verdict.overlaps_without_deadlines, 1);
    assert_eq!(verdict.losses, 1);
}

#[test]
fn c1_a_renewal_keeps_a_holder_and_a_death_ends_it() {
    let renewed = |until| Step::Renewed {
        lock: 0,
        owner: owner("a"),
        until,
    };
    let held = || Told::new().ask(1, "a").granted(2, "a", 5, 102);
    held()
        .step(50, "a", renewed(150 * MS))
        .ask(51, "b")
        .granted(120, "b", 6, 220)
        .lost(160, "a", 150, 20)
        .release(170, "b", 220)
        .broke(&[Rule::Overlap]);
    held()
        .step(50, "a", Step::Died)
        .ask(51, "b")
        .granted(60, "b", 6, 160)
        .release(70, "b", 160)
        .broke(&[]);
}

#[test]
fn c3_fences_that_fall_or_are_given_twice_are_found() {
    let first = || {
        Told::new()
            .ask(1, "a")
            .granted(2, "a", 5, 102)
            .release(3, "a", 102)
    };
    first()
        .ask(4, "b")
        .granted(5, "b", 4, 105)
        .release(6, "b", 105)
        .broke(&[Rule::GrowingFences]);
    first()
        .ask(4, "b")
        .granted(5, "b", 5, 105)
        .release(6, "b", 105)
        .broke(&[Rule::GrowingFences]);
    // Asked at the same time, nothing says who is to be greater; but not the same.
    let both = || Told::new().ask(1, "a").ask(1, "b").granted(2, "a", 5, 102);
    both()
        .release(3, "a", 102)
        .granted(4, "b", 4, 104)
        .release(5, "b", 104)
        .broke(&[]);
    both()
        .release(3, "a", 102)
        .granted(4, "b", 5, 104)
        .release(5, "b", 104)
        .broke(&[Rule::GrowingFences]);
}

#[test]
fn c3_a_fence_is_compared_although_thousands_were_given_since() {
    let mut told = Told::new().ask(1, "slow");
    for turn in 0..3000 {
        let t = 10 + turn * 3;
        told = told
            .ask(t, "a")
            .granted(t + 1, "a", 100 + turn, t + 100)
            .release(t + 2, "a", t + 100);
    }
    told.granted(10_000, "slow", 101, 10_100)
        .release(10_001, "slow", 10_100)
        .broke(&[Rule::GrowingFences]);
}

#[test]
fn c2_a_stale_write_that_is_taken_is_found_and_one_that_is_refused_is_counted() {
    let verdict = Told::new()
        .written(1, "a", 5, true)
        .written(2, "b", 6, true)
        .written(3, "a", 5, false)
        .broke(&[]);
    assert_eq!(verdict.refused_writes, 1);
    assert_eq!(verdict.stale_writes_without_fences, 1);
    Told::new()
        .written(1, "b", 6, true)
        .written(2, "a", 5, true)
        .broke(&[Rule::FencedWrites]);
    Told::new()
        .written(1, "b", 6, true)
        .written(2, "a", 6, true)
        .broke(&[Rule::FencedWrites]);
}

#[test]
fn c5_a_guard_that_is_trusted_after_its_end_or_heard_of_late_is_found() {
    let write = |asked, until| Step::Write {
        lock: 0,
        owner: owner("a"),
        fence: 5,
        until,
        asked,
    };
    let held = || Told::new().ask(1, "a").granted(2, "a", 5, 102);
    // The process stood still between the look and the write: that is what fences are for.
    held().step(150, "a", write(101 * MS, 102 * MS)).broke(&[]);
    held()
        .step(150, "a", write(102 * MS + 1, 102 * MS))
        .broke(&[Rule::HonestGuards]);
    held().lost(170, "a", 102, PROMPT).broke(&[]);
    held()
        .lost(170, "a", 102, PROMPT + 1)
        .broke(&[Rule::HonestGuards]);
}

#[test]
fn c7_what_begins_twice_and_what_has_no_record_is_found() {
    Told::new()
        .start(1, "again", 1)
        .start(2, "again", 2)
        .due("again")
        .kept_at("again", 1, 2, "succeeded")
        .broke(&[]);
    Told::new()
        .start(1, "again", 1)
        .start(2, "again", 1)
        .kept("again", "succeeded")
        .broke(&[Rule::Claims]);
    Told::new()
        .start(1, "once", 1)
        .start(2, "once", 2)
        .kept_at("once", 1, 2, "lost")
        .broke(&[Rule::Claims]);
    Told::new().due("once").broke(&[Rule::Claims]);
    Told::new().due("once").kept("once", "missed").broke(&[]);
    Told::new().kept("once", "succeeded").broke(&[Rule::Claims]);
}

#[test]
fn c7_each_of_several_runs_of_a_tick_counts_and_there_are_no_more_of_them() {
    let both = || {
        Told::new()
            .start_at(1, "pair", 1, 1)
            .start_at(2, "pair", 2, 1)
    };
    both()
        .due("pair")
        .kept_at("pair", 1, 1, "succeeded")
        .kept_at("pair", 2, 1, "succeeded")
        .broke(&[]);
    both()
        .due("pair")
        .kept_at("pair", 1, 1, "succeeded")
        .broke(&[Rule::Claims]);
    both().start_at(3, "pair", 3, 1).broke(&[Rule::Claims]);
    Told::new().start_at(3, "once", 2, 1).broke(&[Rule::Claims]);
}

#[test]
fn c8_a_record_that_contradicts_what_was_seen_of_its_run_is_found() {
    let twice = || Told::new().start(1, "again", 1).start(2, "again", 2);
    twice()
        .kept_at("again", 1, 1, "succeeded")
        .broke(&[Rule::Claims]);
    twice()
        .kept_at("again", 1, 2, "lost")
        .broke(&[Rule::Claims]);
    twice()
        .start(3, "again", 3)
        .kept_at("again", 1, 3, "lost")
        .broke(&[]);
    // It was not begun yet when its node died.
    twice().kept_at("again", 1, 3, "succeeded").broke(&[]);
    let once = || Told::new().start(1, "once", 1);
    once().kept("once", "lost").broke(&[]);
    once().kept("once", "missed").broke(&[Rule::Claims]);
    once().kept("once", "skipped").broke(&[Rule::Claims]);
}

#[test]
fn c1_c2_what_happens_to_one_lock_or_client_says_nothing_of_another() {
    let other = owner("b");
    let granted = Step::Granted {
        lock: 1,
        owner: other.clone(),
        fence: 4,
        until: 104 * MS,
    };
    let written = Step::Written {
        lock: 1,
        owner: other.clone(),
        fence: 4,
        accepted: true,
    };
    let release = Step::Release {
        lock: 1,
        owner: other,
        until: 104 * MS,
    };
    let verdict = Told::new()
        .ask(1, "a")
        .granted(2, "a", 5, 102)
        .written(3, "a", 5, true)
        .step(4, "b", granted)
        .step(5, "resource", written)
        .step(6, "b", release)
        .release(7, "a", 102)
        .broke(&[]);
    assert!(!verdict.controls_saw_something());
    Told::new()
        .ask(1, "a")
        .granted(2, "a", 5, 102)
        .step(3, "c", Step::Died)
        .ask(4, "b")
        .granted(5, "b", 6, 105)
        .release(6, "b", 105)
        .release(7, "a", 102)
        .broke(&[Rule::Overlap]);
}

#[test]
fn c9_a_lock_that_nobody_is_granted_any_more_is_waited_for_as_long_as_anybody_tries() {
    let not_had = Step::NotHad {
        lock: 0,
        owner: owner("b"),
    };
    let verdict = Told::new()
        .ask(1, "a")
        .granted(2, "a", 5, 102)
        .ask(10, "b")
        .step(20, "a", Step::Died)
        .step(70, "b", not_had)
        .broke(&[]);
    assert_eq!(verdict.longest_wait, 60 * MS);
}

#[test]
fn c2_the_resource_refuses_what_is_stale_of_each_lock_for_itself() {
    let mut register = Register::default();
    let taken = [(0, 5), (1, 1), (0, 5), (0, 4), (0, 6), (0, 5), (1, 1)]
        .map(|(lock, fence)| register.accepts(lock, fence));
    assert_eq!(taken, [true, true, true, false, true, false, true]);
}

#[test]
fn what_a_store_does_not_promise_is_not_judged() {
    let head = Head {
        is_fenced: false,
        tasks: std::collections::BTreeMap::new(),
        ..head()
    };
    let mut told = Told(Judge::new(&head))
        .ask(1, "a")
        .granted(2, "a", 0, 102)
        .written(3, "a", 0, true)
        .release(4, "a", 102)
        .ask(5, "b")
        .granted(6, "b", 0, 106);
    told = told.written(7, "b", 0, true).release(8, "b", 106);
    let verdict = told.broke(&[]);
    let rules: Vec<_> = verdict.findings.keys().copied().collect();
    assert_eq!(rules, [Rule::Overlap, Rule::HonestGuards]);
}
