//! A run: what is done to clients, and what is heard of them.

use std::time::Duration;

use tenure::core::{Clock as _, HistoryQuery, Moment, SystemClock, TaskName, Timestamp};
use tenure_bench::Trouble;
use tenure_bench::place::Place;

use super::crew::{Crew, Told};
use super::ledger::Ledger;
use super::{Progress, Stage};
use crate::client::{NODE_TTL, TASKS, now};
use crate::faults::Faults;
use crate::history::{Fault, Record, Step};
use crate::proxy::{Proxy, Weather};

/// How long whatever was harmed may take to come back before the end.
const SETTLE: Duration = Duration::from_secs(30);
/// How often the records are judged that have come into order.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// So long every store keeps the records of so many runs at least. Of earlier ticks nothing is
/// asked.
const KEPT: Duration = Duration::from_secs(12 * 3600);
/// The longest clients may take to begin their tasks, and to end.
const FAREWELL: Duration = Duration::from_secs(60);

/// A run that is going on.
pub(super) struct Session<'p> {
    pub(super) place: &'p Place,
    pub(super) ledger: Ledger,
    pub(super) crew: Crew,
    pub(super) proxy: Option<Proxy>,
    pub(super) faults: Faults,
    /// The half of the connections that is disturbed, and until when.
    pub(super) silenced: Option<(usize, Moment)>,
}

impl Session<'_> {
    pub(super) fn begin(&mut self, client: usize) {
        let name = self.crew.begin(client);
        self.ledger.merge.joined(&name, now());
    }

    /// Waits until the store knows every task; tells since when, by its clock.
    pub(super) async fn until_registered(&mut self) -> Result<Timestamp, Trouble> {
        let runs = self.place.tenure().runs();
        let began = SystemClock.now();
        while SystemClock.now().since(began) < FAREWELL {
            self.hear_until(SystemClock.now() + LOOK).await?;
            let known = runs.tasks().await?;
            if known.len() == TASKS.len() {
                return Ok(runs.now().await?.now);
            }
        }
        Err(Trouble::wrong(
            "no client had begun its tasks after a minute",
        ))
    }

    /// Harms clients for so long, and hears what they do.
    pub(super) async fn harm(
        &mut self,
        span: Duration,
        progress: Progress<'_>,
    ) -> Result<(), Trouble> {
        let began = SystemClock.now();
        let mut next = began;
        while SystemClock.now().since(began) < span {
            if next <= SystemClock.now() {
                next = SystemClock.now() + self.do_harm().await?;
            }
            let until = next.min(SystemClock.now() + LOOK);
            self.hear_until(until).await?;
            progress(Stage {
                doing: "harming clients",
                elapsed: SystemClock.now().since(began),
                seen: Some(self.ledger.seen()),
            });
        }
        Ok(())
    }

    async fn do_harm(&mut self) -> Result<Duration, Trouble> {
        let plan = self.faults.next();
        let mut whom = plan.whom;
        if plan.is_aimed {
            // Faults hurt most whoever holds a lock.
            let holders = self.ledger.holding.values();
            let holders = holders.filter_map(|name| self.crew.number_of(name));
            let holders: Vec<usize> = holders.collect();
            whom = self.faults.choice(&holders).unwrap_or(whom);
        }
        let is_done = match plan.fault {
            Fault::Pause | Fault::LongPause => self.crew.pause(whom, plan.span)?,
            Fault::Kill => self.kill(whom).await?,
            Fault::Cut => self.disturb(plan.whom, Weather::Closed, plan.span),
            Fault::Silence => self.disturb(plan.whom, Weather::Silent, plan.span),
        };
        if is_done {
            let what = Step::Fault { what: plan.fault };
            self.ledger.told(Record::new(now(), "lead", what));
        }
        Ok(plan.pause)
    }

    /// Kills a client and starts another one in its place.
    async fn kill(&mut self, client: usize) -> Result<bool, Trouble> {
        let is_killed = self.crew.kill(client).await?;
        if is_killed {
            self.begin(client);
        }
        Ok(is_killed)
    }

    fn disturb(&mut self, half: usize, weather: Weather, span: Duration) -> bool {
        let Some(proxy) = self.proxy.as_ref().filter(|_| self.silenced.is_none()) else {
            return false;
        };
        proxy.set(half, weather);
        self.silenced = Some((half, SystemClock.now() + span));
        true
    }

    fn clear_up(&mut self, at: Moment) {
        if let (Some(proxy), Some((half, until))) = (&self.proxy, self.silenced)
            && until <= at
        {
            proxy.set(half, Weather::Clear);
            self.silenced = None;
        }
    }

    /// Hears what clients tell until then; lets those go on whose pause is over.
    pub(super) async fn hear_until(&mut self, until: Moment) -> Result<(), Trouble> {
        loop {
            self.crew.wake(SystemClock.now())?;
            self.clear_up(SystemClock.now());
            let healing = self.silenced.map(|(_, until)| until);
            let sooner = [Some(until), self.crew.next_wake(), healing];
            let until_then = sooner.into_iter().flatten().min().unwrap_or(until);
            let left = until_then.since(SystemClock.now());
            match tokio::time::timeout(left, self.crew.hear()).await {
                Ok(told) => self.heed(told?),
                Err(_) if SystemClock.now() >= until => break,
                Err(_) => {}
            }
        }
        self.ledger.look()
    }

    /// Nothing is harmed any more.
    pub(super) fn heal(&mut self) -> Result<(), Trouble> {
        self.crew.wake_all()?;
        if let Some(proxy) = &self.proxy {
            proxy.set(0, Weather::Clear);
            proxy.set(1, Weather::Clear);
        }
        self.silenced = None;
        Ok(())
    }

    /// Waits until every tick that was due until now has a record of each run, or no longer.
    pub(super) async fn settle(
        &mut self,
        first: Timestamp,
    ) -> Result<Vec<(TaskName, Timestamp)>, Trouble> {
        let runs = self.place.tenure().runs();
        let last = runs.now().await?.now;
        let first = first.max(last - KEPT);
        let mut due = Vec::new();
        for (task, _, _) in TASKS {
            let task = TaskName::new(task).map_err(Trouble::wrong)?;
            // What is due from here on has somebody to run it.
            let mut second = first.as_millis().div_euclid(1000) + 1;
            while second * 1000 <= last.as_millis() {
                due.push((task.clone(), Timestamp::from_millis(second * 1000)));
                second += 1;
            }
        }
        let began = SystemClock.now();
        let most = SETTLE + NODE_TTL;
        while SystemClock.now().since(began) < most {
            self.hear_until(SystemClock.now() + Duration::from_millis(500))
                .await?;
            let query = recent(last);
            let page = runs.history(&query).await?;
            let is_quiet = page.runs.iter().all(|run| run.state.is_final());
            let newest = page.runs.iter().map(|run| run.key.tick).max();
            if is_quiet && newest.is_some_and(|tick| tick.since(last) > NODE_TTL) {
                break;
            }
        }
        Ok(due)
    }

    pub(super) async fn farewell(&mut self) -> Result<(), Trouble> {
        self.crew.say_enough().await?;
        let until = SystemClock.now() + FAREWELL;
        while !self.crew.is_empty() {
            let left = until.since(SystemClock.now());
            match tokio::time::timeout(left, self.crew.hear()).await {
                Ok(told) => self.heed(told?),
                Err(_) => return Err(Trouble::helper("a client did not end within a minute")),
            }
        }
        self.ledger.look()
    }

    fn heed(&mut self, told: Told) {
        match told {
            Told::Record(record) => self.ledger.told(record),
            Told::Began(holder) => self.place.met(holder),
            Told::Farewell(client) => self.ledger.merge.left(&client),
            Told::Died(client, at) => {
                self.ledger.told(Record::new(at, &client, Step::Died));
                self.ledger.merge.left(&client);
            }
        }
    }

    /// What the store says of every run of the time that was watched.
    pub(super) async fn read_records(
        &mut self,
        due: &[(TaskName, Timestamp)],
    ) -> Result<(), Trouble> {
        for (task, tick) in due {
            let step = Step::Due {
                task: task.to_string(),
                tick: tick.as_millis(),
            };
            self.ledger.told(Record::new(now(), "lead", step));
        }
        if due.is_empty() {
            return Ok(());
        }
        let runs = self.place.tenure().runs();
        let mut query = HistoryQuery::all();
        query.limit = 1000;
        loop {
            let page = runs.history(&query).await?;
            for run in page.runs {
                let step = Step::Kept {
                    task: run.key.task.to_string(),
                    tick: run.key.tick.as_millis(),
                    index: run.key.index,
                    attempt: run.attempt,
                    state: run.state.to_string(),
                };
                self.ledger.told(Record::new(now(), "lead", step));
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// The runs of the last seconds before this, and after it.
fn recent(last: Timestamp) -> HistoryQuery {
    let mut query = HistoryQuery::all();
    query.from = Some(last - Duration::from_secs(5));
    query.limit = 1000;
    query
}
