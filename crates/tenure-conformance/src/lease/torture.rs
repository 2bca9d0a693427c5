//! Many holders of a few keys, doing everything at once; each step is checked as it happens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::try_join_all;
use tenure_core::{
    Acquisition, Cancellation, Clock as _, ForceRequest, Grant, Key, Release, Renewal, SystemClock,
};

use super::actor::{Asker, Client, LONG, key};
use super::cases::Shared;
use super::history::{LeaseHistory, Record, Step};
use crate::chance;

const ACTORS: usize = 8;
const ACQUISITIONS: usize = 40;

pub(super) async fn c1_c3_r1_r26_r62_no_two_holders_and_growing_fences_whatever_happens(
    harness: &Shared,
) {
    let mut chance = chance::seeded();
    let keys = ["a", "b", "c"].map(key);
    let fences = harness.store().await.promises().fences;
    let history = Arc::new(Mutex::new(LeaseHistory::of(fences)));
    let mut tasks = Vec::new();
    for number in 0..ACTORS {
        let mut actor = Actor {
            client: Client::new(harness, &format!("actor {number}")).await,
            chance: chance.fork(),
            harness: harness.clone(),
            history: history.clone(),
        };
        let keys = keys.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..ACQUISITIONS {
                let key = actor.chance.choice(&keys).expect("some keys");
                actor.live(key).await;
            }
        }));
    }
    try_join_all(tasks).await.unwrap();
    let grants = history.lock().unwrap().grants();
    assert!(
        grants > ACTORS * ACQUISITIONS / 2,
        "{grants} grants prove little"
    );
    let client = Client::new(harness, "last").await;
    for key in &keys {
        // A record that lapsed last may lie there until somebody takes the key.
        client.take(key).await.give_back().await;
        assert_eq!(harness.raw_records(key).await, 0);
        assert_eq!(client.look(key).await, None);
    }
}

struct Actor {
    client: Client,
    chance: fastrand::Rng,
    harness: Shared,
    history: Arc<Mutex<LeaseHistory>>,
}

impl Actor {
    /// One acquisition, from its first request to its end.
    async fn live(&mut self, key: &Key) {
        let mut asker = match self.chance.u32(0..4) {
            0 => self.client.asker(key),
            _ => self.client.waiter(key),
        };
        let patience = match self.chance.u32(0..4) {
            0 => self.chance.u32(0..3),
            _ => u32::MAX,
        };
        if self.chance.u32(0..6) == 0 {
            return self.drop_and_cancel(&asker).await;
        }
        if self.acquire(&mut asker, patience).await.is_none() {
            asker.cancel().await;
            return;
        }
        for _ in 0..self.chance.u32(0..3) {
            if !self.use_lease(&asker).await {
                break;
            }
        }
        self.end(&asker).await;
    }

    async fn acquire(&mut self, asker: &mut Asker, patience: u32) -> Option<Grant> {
        let waits = asker.request.waiting != tenure_core::Waiting::No;
        for _ in 0..=patience {
            if let Some(grant) = self.ask(asker).await {
                return Some(grant);
            }
            if !waits {
                return None;
            }
            let pause = Duration::from_millis(self.chance.u64(1..50));
            let _ = tokio::time::timeout(pause, asker.wakes.next()).await;
        }
        None
    }

    /// Sends the request and writes down what came of it.
    async fn ask(&self, asker: &Asker) -> Option<Grant> {
        let token = asker.token();
        self.note(asker.key(), Step::Asked { token });
        match asker.store.acquire(&asker.request).await {
            Ok(Acquisition::Granted(grant)) => {
                let (fence, until) = (grant.fence, None);
                self.note(
                    asker.key(),
                    Step::Granted {
                        token,
                        fence,
                        until,
                    },
                );
                return Some(grant);
            }
            Ok(_) => {}
            // Where several servers decide, it may be taken away before they have agreed on it.
            Err(error) => assert!(
                self.client.may_tie() && error.is_retryable(),
                "no reason for {error:?}"
            ),
        }
        self.note(asker.key(), Step::Lost { token });
        None
    }

    async fn drop_and_cancel(&mut self, asker: &Asker) {
        let moment = Duration::from_micros(self.chance.u64(0..2000));
        let _ = tokio::time::timeout(moment, asker.store.acquire(&asker.request)).await;
        asker.cancel().await;
        assert_eq!(asker.cancel().await, Cancellation::Nothing);
    }

    /// Renews, asks again or lets others run. False if the lease turned out to be lost.
    async fn use_lease(&mut self, asker: &Asker) -> bool {
        match self.chance.u32(0..3) {
            0 => {
                let kept = self.keep(asker).await;
                if !kept {
                    let token = asker.token();
                    self.note(asker.key(), Step::Lost { token });
                }
                kept
            }
            1 => self.ask(asker).await.is_some(),
            _ => {
                tokio::task::yield_now().await;
                true
            }
        }
    }

    /// Renews once. Where several servers decide, those who answer may be undecided for as long as
    /// the lease could last: an end from outside reaches them one after the other.
    async fn keep(&self, asker: &Asker) -> bool {
        let renewal = asker.renewal(LONG);
        let answer = match asker.store.renew(&[renewal]).await {
            Ok(mut answers) => {
                assert_eq!(answers.len(), 1, "one request, one answer: {answers:?}");
                answers.remove(0)
            }
            Err(error) => Err(error),
        };
        match answer {
            Ok(renewal) => matches!(renewal, Renewal::Renewed(_)),
            Err(error) => {
                let is_undecided = self.client.may_tie() && error.is_retryable();
                assert!(is_undecided, "no reason for {error:?}");
                false
            }
        }
    }

    async fn end(&mut self, asker: &Asker) {
        let (key, token) = (asker.key(), asker.token());
        match self.chance.u32(0..6) {
            // It dies: nobody hears of it again, and its lease lapses.
            0 => {
                self.note(key, Step::Disturbed);
                self.harness.lapse(key).await;
                self.note(key, Step::Settled);
                // Late, as if it had only been paused. The lapse may have hit somebody else.
                self.note(key, Step::GaveUp { token });
                asker.release().await;
            }
            1 => {
                self.note(key, Step::Disturbed);
                self.force(key).await;
                self.note(key, Step::Settled);
                self.note(key, Step::GaveUp { token });
                asker.release().await;
            }
            2 => {
                self.note(key, Step::GaveUp { token });
                asker.cancel().await;
            }
            3 => {
                self.note(key, Step::GaveUp { token });
                asker.release().await;
                assert_eq!(asker.release().await, Release::NotHeld);
            }
            _ => {
                self.note(key, Step::GaveUp { token });
                asker.release().await;
            }
        }
        // A waiter's place may be left if its lease was ended from outside and it asked again.
        asker.cancel().await;
    }

    /// Takes the lease from whoever has it now.
    async fn force(&self, key: &Key) {
        if let Some(mark) = self.client.look(key).await.and_then(|view| view.mark) {
            let request = ForceRequest::new(key.clone(), mark, "torture");
            self.client.store.force(&request).await.unwrap();
        }
    }

    fn note(&self, key: &Key, step: Step) {
        let at = SystemClock.now();
        let key = key.clone();
        let pushed = self.history.lock().unwrap().push(Record { at, key, step });
        pushed.unwrap_or_else(|violation| panic!("{violation:?}"));
    }
}
