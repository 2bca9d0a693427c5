//! The helper by which users test their tasks: time is moved, never waited for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::sync::Mutex;
use std::time::Duration;

use tenure_core::{Outcome, Timestamp};
use tenure_tasks::test::TestTasks;
use tenure_tasks::{CatchUp, Retry, Task, TaskContext};

type Log = Mutex<Vec<(String, Timestamp)>>;

const HOUR: Duration = Duration::from_secs(3600);

fn logged(name: &str, schedule: &str) -> Task<Log> {
    Task::new(name)
        .schedule(schedule)
        .run(|context: TaskContext<Log>| async move {
            let ran = (context.task().as_str().to_owned(), context.tick());
            context.application().lock().unwrap().push(ran);
        })
}

#[tokio::test]
async fn s63_a_year_of_schedules_runs_in_order_without_waiting() {
    let tasks = [
        logged("hourly", "0 * * * *"),
        logged("monthly", "0 2 L * *"),
    ];
    let mut test = TestTasks::new(Log::default(), tasks).unwrap();
    let begin = test.now();
    let runs = test.advance(HOUR * 24 * 365).await;
    assert_eq!(test.now(), begin + HOUR * 24 * 365);
    assert_eq!(runs.len(), 24 * 365 + 12);
    assert!(
        runs.iter()
            .all(|run| run.outcome == Outcome::Succeeded && run.at == run.key.tick)
    );
    assert!(runs.is_sorted_by_key(|run| run.at));
    assert_eq!(test.application().lock().unwrap().len(), runs.len());
}

/// What this thread has had of a processor, which other work on the machine does not change.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos = stat.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanos)
}

#[tokio::test]
async fn s63_a_year_of_a_days_tasks_takes_less_than_a_second() {
    let tasks = [
        logged("backup", "0 3 * * *"),
        logged("report", "30 7 * * 1-5").zone("Europe/Berlin"),
        logged("invoices", "0 2 L * *"),
    ];
    let mut test = TestTasks::new(Log::default(), tasks).unwrap();
    let begun = processor_time();
    let runs = test.advance(HOUR * 24 * 365).await;
    let took = processor_time().saturating_sub(begun);
    assert_eq!(runs.len(), 365 + 261 + 12);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn s57_what_was_due_while_nothing_ran_is_caught_up_by_the_rule() {
    let every = |name, rule| {
        logged(name, "0 * * * *")
            .catch_up(rule)
            .catch_up_window(HOUR * 24)
    };
    let tasks = [
        every("latest", CatchUp::Latest),
        every("all", CatchUp::All),
        every("skip", CatchUp::Skip),
    ];
    let mut test = TestTasks::new(Log::default(), tasks).unwrap();
    test.be_down(HOUR * 5 + Duration::from_secs(60));
    let runs = test.run_due_now().await;
    let of = |name: &str| {
        runs.iter()
            .filter(|run| run.key.task.as_str() == name)
            .count()
    };
    assert_eq!((of("latest"), of("all"), of("skip")), (1, 5, 0));
    assert_eq!(test.missed(), 4 + 5);
    assert!(test.run_due_now().await.is_empty());
}

#[tokio::test]
async fn s44_retries_are_made_at_their_time_and_end_before_the_next_tick() {
    let task: Task<()> = Task::new("t")
        .schedule("0 * * * *")
        .retry(Retry::fixed(10, Duration::from_secs(20 * 60)))
        .run(|context: TaskContext<()>| async move {
            context.print(&format!("attempt {}", context.attempt()));
            Err::<(), _>("no")
        });
    let mut test = TestTasks::new((), [task]).unwrap();
    let runs = test.advance(HOUR + Duration::from_secs(3599)).await;
    let attempts: Vec<_> = runs
        .iter()
        .map(|run| (run.attempt, run.is_retried))
        .collect();
    assert_eq!(attempts, [(1, true), (2, true), (3, false)]);
    assert_eq!(runs[2].at, runs[0].key.tick + Duration::from_secs(40 * 60));
    assert_eq!(runs[0].reason.as_deref(), Some("no"));
    assert_eq!(runs[1].output.as_deref(), Some("attempt 2"));
}

#[tokio::test(start_paused = true)]
async fn s60_a_task_can_be_run_by_hand_and_keeps_its_timeout() {
    let task: Task<()> = Task::new("t")
        .schedule("-")
        .timeout(HOUR)
        .run(|_| std::future::pending::<()>());
    let mut test = TestTasks::new((), [task]).unwrap();
    assert!(test.advance(HOUR * 48).await.is_empty());
    let run = test.run_now("t").await.unwrap();
    assert_eq!(run.outcome, Outcome::TimedOut);
    assert_eq!(test.run_now("other").await, None);
}

#[test]
fn every_fault_of_the_tasks_is_found() {
    let tasks = [
        logged("a", "61 * * * *"),
        logged("b", "-"),
        logged("b", "-"),
    ];
    let faults = TestTasks::new(Log::default(), tasks).unwrap_err();
    assert_eq!(faults.as_slice().len(), 2, "{faults}");
}
