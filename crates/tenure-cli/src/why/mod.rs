//! `tenure why TASK [TIME]`: what became of one tick, from the records: due, claimed by whom,
//! begun how late, ended how; or why it did not run.
//!
//! Reads and decides nothing: the library gathers the story, and [`account`] shows it.

mod account;

use tenure::core::{RunKey, TaskName};
use tenure::tasks::story::Story;
use tenure::tasks::story::gone::Gone;
use tenure::tasks::story::names;
pub(crate) use tenure::tasks::story::schedule_of;
use tokio::runtime::Builder;

use self::account::Account;
use crate::args::{Asked, WhyArgs};
use crate::control::known;
use crate::exit::{Code, Failure, Outcome};
use crate::lock::runtime;
use crate::output::{folded, print, print_json};
use crate::store::{Chosen, failure};
use crate::text::visible;

pub(crate) fn run(args: WhyArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(explain(args))
}

async fn explain(args: WhyArgs) -> Outcome {
    let chosen = Chosen::of_tasks(&args.store)?;
    let runs = chosen.open_existing().await?.runs();
    let (name, time) = asked_for(&args);
    let (task, now) = known(&*runs, &name, &chosen).await?;
    let time = match time {
        Some(Asked::Run(key)) if !names::all_of(&task).contains(&key.task) => {
            return Err(of_another(&task.definition.task, &key));
        }
        Some(Asked::Run(key)) => Some(key.tick),
        Some(Asked::At(time)) => Some(time),
        None => None,
    };
    let story = Story::of(&*runs, &task, time).await;
    let story = story.map_err(|error| failure("cannot read what became of the task", &error))?;
    let Some(story) = story else {
        let (name, until) = (&task.definition.task, time.unwrap_or(now));
        let message = format!("task `{name}` was never due until {until}");
        return Err(
            Failure::new(Code::DATA, message).help("see `tenure history` and `tenure tasks`")
        );
    };
    let told = story.runs.iter().map(|told| &told.record);
    let gone = Gone::of_runs(&*runs, told).await;
    let gone = gone.map_err(|error| failure("cannot look at the nodes", &error))?;
    let account = Account { story, gone };
    if args.json {
        print_json(&[account.json()])?;
    } else {
        print(&folded(&account.text()))?;
    }
    Ok(Code::OK)
}

/// The task and the tick that are meant: the id of a run says both.
fn asked_for(args: &WhyArgs) -> (String, Option<Asked>) {
    match (args.task.parse::<RunKey>(), &args.time) {
        (Ok(key), None) => (key.task.as_str().to_owned(), Some(Asked::Run(key))),
        (_, time) => (args.task.clone(), time.clone()),
    }
}

fn of_another(task: &TaskName, key: &RunKey) -> Failure {
    let key = visible(&key.to_string());
    let message = format!("run `{key}` is not of task `{task}`");
    Failure::new(Code::USAGE, message).help(format!("write tenure why '{key}'"))
}
