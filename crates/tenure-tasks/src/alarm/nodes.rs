//! What a warden looks after besides the tasks: what other nodes noticed, this machine's clock, and
//! losses of the store.

use std::time::Duration;

use tenure_core::{StoreError, TaskName, Timestamp};

use super::book::{Entry, Subject, within};
use super::warden::Warden;
use super::watch::{Reason, locked};
use super::{Alarm, AlarmKind, AlarmState};

/// A loss of the store is many events on many nodes: they are one alarm.
const ONE_LOSS: Duration = Duration::from_secs(600);

impl Warden {
    /// Learns what other nodes noticed, and looks whether it is right again by now.
    pub(super) async fn refresh(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for rule in 0..self.watched.len() {
            let Some(watched) = self.watched.get_mut(rule) else {
                continue;
            };
            for entry in watched.book.recent().await? {
                let Subject { kind, of } = &entry.subject;
                if !entry.is_raised() {
                    continue;
                }
                if *kind == AlarmKind::ClockSkew {
                    self.end_skew_of_gone_node(rule, &entry).await?;
                } else if let Ok(task) = TaskName::new(of)
                    && kind.is_of_task()
                {
                    let is_news = !locked(&self.open).contains(&(*kind, task.clone()));
                    let place = (rule, *kind, task.clone());
                    self.mark(*kind, task, true);
                    if is_news && !self.looks.contains_key(&place) {
                        self.look(place, now, Reason::default());
                    }
                }
            }
        }
        Ok(())
    }

    async fn end_skew_of_gone_node(
        &mut self,
        rule: usize,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let nodes = within(self.limit, self.access.store.nodes()).await?;
        let now = within(self.limit, self.access.store.now()).await?.now;
        let mut alive = nodes.iter().filter(|node| node.expires_at > now);
        if alive.any(|node| node.node.id.to_string() == entry.subject.of) {
            return Ok(());
        }
        let mut alarm = entry.alarm.clone();
        alarm.state = AlarmState::Recovered;
        alarm.at = now;
        alarm.count = 0;
        let node = alarm.node.clone().unwrap_or_default();
        alarm.text = format!("{node}, whose clock was wrong, is gone");
        self.change(rule, &entry.subject, alarm, Entry::is_raised)
            .await
    }

    pub(super) async fn look_at_losses(&mut self) -> Result<(), StoreError> {
        let Some(what) = self.losses.last().cloned() else {
            return Ok(());
        };
        let now = within(self.limit, self.access.store.now()).await?.now;
        for rule in self.rules_on(AlarmKind::StoreLoss) {
            let subject = Subject {
                kind: AlarmKind::StoreLoss,
                of: String::new(),
            };
            let text = format!("the store forgot what it had acknowledged: {what}");
            let alarm = self.alarm_of_node(rule, AlarmKind::StoreLoss, now, text);
            let is_old = |last: &Entry| now.since(last.made_at) >= ONE_LOSS;
            self.change(rule, &subject, alarm, is_old).await?;
        }
        self.losses.clear();
        Ok(())
    }

    /// Compares this machine's clock with the store's, as its last beat measured.
    pub(super) async fn look_at_clock(&mut self) -> Result<(), StoreError> {
        let Some(ahead_ms) = self.pulse.change().clock_ahead_ms else {
            return Ok(());
        };
        for rule in self.rules_on(AlarmKind::ClockSkew) {
            let Some(bound) = self.watched.get(rule).map(|it| it.rule.skew_over) else {
                continue;
            };
            let is_wrong = Duration::from_millis(ahead_ms.unsigned_abs()) > bound;
            if is_wrong == self.is_skewed.contains(&rule) {
                continue;
            }
            let now = within(self.limit, self.access.store.now()).await?.now;
            let node = self.access.node.clone();
            let subject = Subject {
                kind: AlarmKind::ClockSkew,
                of: node.id.to_string(),
            };
            let text = if is_wrong {
                let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
                let off = Duration::from_millis(ahead_ms.unsigned_abs());
                format!("the wall clock of {node} is {off:?} {side} the store's")
            } else {
                format!("the wall clock of {node} is right again")
            };
            let mut alarm = self.alarm_of_node(rule, AlarmKind::ClockSkew, now, text);
            if !is_wrong {
                alarm.state = AlarmState::Recovered;
            }
            self.change(rule, &subject, alarm, |last| last.is_raised() != is_wrong)
                .await?;
            if is_wrong {
                self.is_skewed.insert(rule);
            } else {
                self.is_skewed.remove(&rule);
            }
        }
        Ok(())
    }

    fn rules_on(&self, kind: AlarmKind) -> Vec<usize> {
        let rules = self.watched.iter().enumerate();
        let on = rules.filter(|(_, it)| it.rule.is_on(kind));
        on.map(|(place, _)| place).collect()
    }

    pub(super) fn alarm_of_node(
        &self,
        rule: usize,
        kind: AlarmKind,
        at: Timestamp,
        text: String,
    ) -> Alarm {
        let rule = self.watched.get(rule);
        Alarm {
            id: String::new(),
            rule: rule.map(|it| it.rule.name.clone()).unwrap_or_default(),
            kind,
            state: AlarmState::Raised,
            task: None,
            run: None,
            node: Some(self.access.node.to_string()),
            at,
            count: 1,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use tenure_core::{Clock, HistoryQuery, Holder, RunStore, SystemClock};
    use tenure_memory::MemoryStore;
    use tokio::time::timeout;

    use super::*;
    use crate::alarm::{AlarmRule, Watch};
    use crate::event::{EventSender, RunnerEvent};
    use crate::manager::RunAccess;

    #[tokio::test(start_paused = true)]
    async fn s50_a_loss_of_the_store_that_every_node_sees_several_times_is_one_alarm() {
        let store: Arc<dyn RunStore> = Arc::new(MemoryStore::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rule = AlarmRule::new("pager").on([AlarmKind::StoreLoss]);
        let events = EventSender::new(64, Vec::new());
        let mut told = events.subscribe();
        let mut watches = Vec::new();
        for name in ["a", "b", "c"] {
            let (watch, parts) = Watch::new(&[Arc::new(rule.clone())], None, HashSet::new());
            let access = RunAccess::new(store.clone(), Holder::new(name));
            let time = (clock.clone(), Duration::from_secs(1));
            let feed = (events.clone(), Arc::default());
            let warden = parts.finish(access, None, time, feed, Arc::default());
            watches.push((watch, tokio::spawn(warden.run())));
        }
        for (watch, _) in watches.iter().chain(&watches) {
            let what = "its sequence fell from 9 to 3".to_owned();
            let manager = None;
            watch.see(&RunnerEvent::StoreRegressed { manager, what });
        }
        // A store of another manager is another warden's affair.
        for (watch, _) in &watches {
            watch.see(&RunnerEvent::StoreRegressed {
                manager: Some("reports".into()),
                what: "its sequence fell from 5 to 4".to_owned(),
            });
        }
        let _ = timeout(Duration::from_secs(30), std::future::pending::<()>()).await;
        let Some(RunnerEvent::Alarm { alarm }) = told.next().await else {
            panic!("no alarm");
        };
        assert_eq!(alarm.kind, AlarmKind::StoreLoss);
        assert!(alarm.text.ends_with("from 9 to 3"), "{}", alarm.text);
        let more = timeout(Duration::ZERO, told.next()).await;
        assert!(more.is_err(), "{more:?}");
        let task = TaskName::new("tenure.alarm.pager").unwrap();
        let kept = store.history(&HistoryQuery::of(task)).await.unwrap();
        // The record, and the run that will tell it.
        assert_eq!(kept.runs.len(), 2, "{kept:?}");
    }
}
