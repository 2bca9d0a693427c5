//! `tenure trigger`: a run that a person asks for, from any machine; and who that person is.
//!
//! The store keeps the request with who asked and why, and the nodes act on it. Nothing here runs a
//! task.

use std::time::Duration;

use serde_json::{Value, json};
use tenure::Timestamp;
use tenure::core::{
    Clock as _, Enqueue, Enqueued, RequestId, RunKey, RunRecord, RunState, RunStore, SystemClock,
    TaskName, TaskRecord, format_duration,
};
use tenure::tasks::story::names;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::args::{TriggerArgs, Wait};
use crate::exit::{Code, Failure, Outcome};
use crate::lock::runtime;
use crate::nearest::nearest;
use crate::notice::notice;
use crate::output::{Telling, print, print_json};
use crate::store::{Chosen, failure};
use crate::text::visible;

/// How often the end of a run is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the record of a run may be missing: nodes notice with their next beat that the store
/// forgot something, and put back what they had taken.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(20);

pub(crate) fn trigger(args: TriggerArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(run_now(args))
}

/// The task of this name, or that had it before, as the store knows it, and the store's time.
pub(crate) async fn known(
    runs: &dyn RunStore,
    name: &str,
    store: &Chosen,
) -> Result<(TaskRecord, Timestamp), Failure> {
    let name =
        TaskName::new(name).map_err(|error| Failure::new(Code::USAGE, format!("TASK: {error}")))?;
    let trouble = |error| failure("cannot look at the task", &error);
    let now = runs.now().await.map_err(trouble)?.now;
    let tasks = runs.tasks().await.map_err(trouble)?;
    if let Some(task) = names::find(&tasks, &name) {
        return Ok((task.clone(), now));
    }
    let known = tasks.iter().map(|task| task.definition.task.as_str());
    let help = nearest(name.as_str(), known).map_or_else(
        || "see `tenure tasks`; `tenure run FILE` makes tasks known".to_owned(),
        |near| format!("did you mean `{}`? see `tenure tasks`", visible(near)),
    );
    let message = format!("{} knows no task `{name}`", store.told());
    Err(Failure::new(Code::NO_INPUT, message).help(help))
}

/// Who types, as the store's records name them.
pub(crate) fn who(node: &tenure::core::Holder) -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(system_user);
    if node.host.is_empty() {
        return user;
    }
    format!("{user}@{}", node.host)
}

/// The user whose rights the program has, by the name the system knows or else by the number.
fn system_user() -> String {
    let uid = nix::unistd::Uid::effective();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

async fn run_now(args: TriggerArgs) -> Outcome {
    let store = Chosen::of_tasks_to_change(&args.store)?;
    let tenure = store.open_existing().await?;
    let runs = tenure.runs();
    let (task, now) = known(&*runs, &args.task, &store).await?;
    let requests = requests(&task, now, &args, &who(tenure.holder()))?;
    let answers = runs.enqueue(&requests).await;
    let answers = answers.map_err(|error| failure("cannot ask for the run", &error))?;
    for (request, answer) in requests.iter().zip(&answers) {
        if let Enqueued::Exists { state } | Enqueued::NotMissing { state } = answer {
            let message = format!("run {} is in the store already, {state}", request.key);
            return Err(Failure::new(Code::BUG, message));
        }
    }
    if task.pause.as_ref().is_some_and(|pause| pause.holds_at(now)) {
        notice(format_args!(
            "the task is paused: the run waits until it is resumed (`tenure resume {name}`; \
             `tenure cancel {name}` takes it back)",
            name = visible(args.task.as_str())
        ));
    } else if task.nodes == 0 {
        notice(format_args!(
            "no node that runs this task is alive: the run waits for one"
        ));
    }
    let keys: Vec<&RunKey> = requests.iter().map(|request| &request.key).collect();
    let Some(wait) = args.wait else {
        return told(&keys, args.json);
    };
    let ended = until_ended(&*runs, &keys, wait).await?;
    tell_ends(&ended, args.json)
}

/// One request for each index that is asked for.
fn requests(
    task: &TaskRecord,
    now: Timestamp,
    args: &TriggerArgs,
    by: &str,
) -> Result<Vec<Enqueue>, Failure> {
    let all = 1..=task.definition.concurrency;
    let indices: Vec<u32> = if args.index.is_empty() {
        all.collect()
    } else {
        if let Some(wrong) = args.index.iter().find(|index| !all.contains(index)) {
            let message = format!(
                "--index {wrong}: task `{}` has the indices 1 to {}",
                task.definition.task, task.definition.concurrency
            );
            return Err(
                Failure::new(Code::USAGE, message).help("leave --index out to run them all")
            );
        }
        args.index.clone()
    };
    let requests =
        tenure::tasks::control::run_now(task, now, &indices, &RequestId::random(), by, &args.why);
    requests.map_err(|error| failure("cannot ask for the run", &error))
}

fn told(keys: &[&RunKey], is_json: bool) -> Outcome {
    if is_json {
        let lines: Vec<Value> = keys
            .iter()
            .map(|key| json!({ "run_id": key.to_string() }))
            .collect();
        print_json(&lines)?;
        return Ok(Code::OK);
    }
    let lines: Vec<String> = keys
        .iter()
        .map(|key| format!("asked for {}\n", visible(&key.to_string())))
        .collect();
    print(&lines.concat())?;
    Ok(Code::OK)
}

async fn until_ended(
    runs: &dyn RunStore,
    keys: &[&RunKey],
    wait: Wait,
) -> Result<Vec<RunRecord>, Failure> {
    let until = match wait {
        Wait::Forever => None,
        Wait::AtMost(wait) => Some((SystemClock.now() + wait, wait)),
    };
    let mut missing_since = None;
    loop {
        let (mut ended, mut missing) = (Vec::new(), Vec::new());
        for key in keys {
            let record = runs.run(key).await;
            match record.map_err(|error| failure("cannot look at the run", &error))? {
                Some(record) => ended.extend(Some(record).filter(|it| it.state.is_final())),
                None => missing.push(*key),
            }
        }
        if ended.len() == keys.len() {
            return Ok(ended);
        }
        let now = SystemClock.now();
        match missing.first() {
            None => missing_since = None,
            Some(key) if now >= *missing_since.get_or_insert(now) + PUT_BACK_WITHIN => {
                return Err(forgotten(key, missing.len(), keys.len()));
            }
            Some(_) => {}
        }
        if let Some((until, wait)) = until
            && now >= until
        {
            let message = format!(
                "{} of {} runs have not ended within {}; they stay asked for",
                keys.len() - ended.len(),
                keys.len(),
                format_duration(wait)
            );
            return Err(Failure::new(Code::NOT_YET, message).help("see `tenure history`"));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The failure of a run that the store accepted and has no record of, or of several.
fn forgotten(first: &RunKey, missing: usize, of: usize) -> Failure {
    let which = match missing {
        1 => visible(&first.to_string()),
        _ => format!("{missing} of {of} runs"),
    };
    let message = format!(
        "the store forgot {which}, and no node has put that back for {}",
        format_duration(PUT_BACK_WITHIN)
    );
    Failure::new(Code::UNAVAILABLE, message).help(
        "what no node had taken yet is lost: ask again; `tenure history` tells what is on record",
    )
}

fn tell_ends(ended: &[RunRecord], is_json: bool) -> Outcome {
    let mut telling = Telling::default();
    if is_json {
        let lines: Vec<Value> = ended
            .iter()
            .map(|run| crate::tasks::run_json(run, true))
            .collect();
        telling.tell_json(&lines);
    } else {
        for run in ended {
            let reason = match (&run.reason, run.state) {
                (Some(reason), state) if state != RunState::Succeeded => {
                    format!(": {}", visible(reason))
                }
                _ => String::new(),
            };
            let key = visible(&run.key.to_string());
            telling.tell(&format!("{key} {}{reason}\n", run.state));
            let output = run.output.as_deref().unwrap_or_default();
            let lines: Vec<String> = output
                .lines()
                .map(|line| crate::tasks::visible_line(line) + "\n")
                .collect();
            telling.tell(&lines.concat());
        }
    }
    let are_well = ended.iter().all(|run| run.state == RunState::Succeeded);
    telling.end(if are_well { Code::OK } else { Code(1) })
}
