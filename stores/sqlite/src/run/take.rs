//! Taking runs that wait in the store: retries, requested runs, backfills.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rusqlite::params;
use tenure_core::{Claim, HolderId, Overlap, RunKind, StartMode, Take, TaskName};

use super::MAX_BATCH;
use super::claim::{claims, pause_of};
use super::definition::current_generation;
use super::find;
use super::node;
use super::row::{RunRow, run_columns};
use crate::column;
use crate::step::{Fault, Step};

/// How long a request is known again, which is far longer than a copy of it can be on its way.
const TAKES_KEPT_FOR: Duration = Duration::from_secs(3600);

/// Whether there is anything to take or to answer again; spares idle nodes a transaction.
pub(super) fn is_worth_it(step: &Step<'_>, take: &Take) -> Result<bool, Fault> {
    let due = step.one(
        "SELECT 1 FROM run WHERE ns = ?1 AND due_at <= ?2 LIMIT 1",
        params![step.ns, step.wall.as_millis()],
        |_| Ok(()),
    )?;
    Ok(due.is_some() || !taken_before(step, take)?.is_empty())
}

pub(super) fn take(step: &Step<'_>, take: &Take) -> Result<Vec<Claim>, Fault> {
    let Some(node) = node::alive(step, take.node)? else {
        return Ok(Vec::new());
    };
    let before = taken_before(step, take)?;
    // What this request took may have ended meanwhile.
    if !before.is_empty() || is_known(step, take)? {
        return Ok(claims(&before));
    }
    let mut taken = Vec::new();
    for mut run in eligible(step, take)? {
        run.generation = current_generation(step, &run.key.task)?;
        run.give(step, &node, take.token, take.start == StartMode::AtOnce)?;
        run.save(step)?;
        taken.push(run);
    }
    if !taken.is_empty() {
        remember(step, take)?;
    }
    Ok(claims(&taken))
}

/// Whether this request took runs before.
fn is_known(step: &Step<'_>, take: &Take) -> Result<bool, Fault> {
    let known = step.one(
        "SELECT 1 FROM node_take WHERE ns = ?1 AND holder = ?2 AND token = ?3",
        params![step.ns, take.node.as_bytes(), take.token.as_bytes()],
        |_| Ok(()),
    )?;
    Ok(known.is_some())
}

fn remember(step: &Step<'_>, take: &Take) -> Result<(), Fault> {
    step.run(
        "DELETE FROM node_take WHERE ns = ?1 AND holder = ?2 AND at < ?3",
        params![
            step.ns,
            take.node.as_bytes(),
            (step.wall - TAKES_KEPT_FOR).as_millis()
        ],
    )?;
    step.run(
        "INSERT INTO node_take (ns, holder, token, at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (ns, holder, token) DO NOTHING",
        params![
            step.ns,
            take.node.as_bytes(),
            take.token.as_bytes(),
            step.wall.as_millis()
        ],
    )?;
    Ok(())
}

/// What an earlier request with this token got.
fn taken_before(step: &Step<'_>, take: &Take) -> Result<Vec<RunRow>, Fault> {
    step.all(
        concat!(
            "SELECT ",
            run_columns!(),
            " FROM run WHERE ns = ?1 AND holder = ?2 AND state IN ('claimed', 'running')
              AND token = ?3 ORDER BY fence"
        ),
        params![step.ns, take.node.as_bytes(), take.token.as_bytes()],
        RunRow::read,
    )
}

/// The runs that this node may take now, the longest due first.
fn eligible(step: &Step<'_>, take: &Take) -> Result<Vec<RunRow>, Fault> {
    let limit = take.limit.min(MAX_BATCH);
    let mut statement = step.prepare(concat!(
        "SELECT ",
        run_columns!(),
        " FROM run WHERE ns = ?1 AND due_at <= ?2 ORDER BY due_at, id"
    ))?;
    let mut rows = statement.query(params![step.ns, step.wall.as_millis()])?;
    let mut may_run: HashMap<TaskName, bool> = HashMap::new();
    let mut chosen = Chosen::new(take);
    while chosen.runs.len() < limit {
        let Some(row) = rows.next()? else { break };
        let task = column::task(row, 1)?;
        let may = if let Some(may) = may_run.get(&task) {
            *may
        } else {
            let may = can_run(step, take.node, &task)?;
            may_run.insert(task.clone(), may);
            may
        };
        if !may {
            continue;
        }
        chosen.consider(step, RunRow::read(row)?)?;
    }
    Ok(chosen.runs)
}

/// What one request will take: the file knows nothing of it yet.
struct Chosen<'t> {
    runs: Vec<RunRow>,
    /// By task, index, and whether they are scheduled.
    in_hand: HashSet<(TaskName, u32, bool)>,
    /// How many more of a task the node has room for.
    room: HashMap<&'t TaskName, usize>,
}

impl<'t> Chosen<'t> {
    fn new(take: &'t Take) -> Self {
        let room = take.room.iter().map(|room| (&room.task, room.runs));
        Self {
            runs: Vec::new(),
            in_hand: HashSet::new(),
            room: room.collect(),
        }
    }

    /// Takes a run unless something is in its way, here or in the file.
    fn consider(&mut self, step: &Step<'_>, run: RunRow) -> Result<(), Fault> {
        let (task, index) = (run.key.task.clone(), run.key.index);
        let is_scheduled = run.key.kind == RunKind::Scheduled;
        if self.room.get(&task) == Some(&0) {
            return Ok(());
        }
        if run.overlap != Overlap::Allow
            && (self.in_hand.contains(&(task.clone(), index, true))
                || (!is_scheduled && self.in_hand.contains(&(task.clone(), index, false)))
                || find::blocker(step, &run.key)?.is_some())
        {
            return Ok(());
        }
        if let Some(max) = run.max_running {
            let of_task =
                |other: &&RunRow| other.key.task == task && other.key.index <= max.indices;
            let chosen = self.runs.iter().filter(of_task).count();
            let (in_hand, _) = find::in_hand(step, &task, max)?;
            if chosen.saturating_add(in_hand as usize) >= max.runs as usize {
                return Ok(());
            }
        }
        if let Some(room) = self.room.get_mut(&task) {
            *room -= 1;
        }
        self.in_hand.insert((task, index, is_scheduled));
        self.runs.push(run);
        Ok(())
    }
}

/// Whether a node registered a task in its current generation, and the task is not paused.
fn can_run(step: &Step<'_>, node: HolderId, task: &TaskName) -> Result<bool, Fault> {
    let own = step.one(
        "SELECT generation FROM node_task WHERE ns = ?1 AND task = ?2 AND holder = ?3",
        params![step.ns, task.as_str(), node.as_bytes()],
        |row| column::generation(row, 0),
    )?;
    Ok(own.is_some() && own == current_generation(step, task)? && pause_of(step, task)?.is_none())
}
