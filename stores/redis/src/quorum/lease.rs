//! The steps of a lease on a majority.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tenure_core::{
    Acquisition, Cancellation, Clock as _, Durability, Fence, Fences, ForceRequest, Forced, Grant,
    HandOff, Key, LeasePage, LeasePromises, LeaseRequest, LeaseStore, LeaseView, ListQuery, Moment,
    Order, Place, Release, RenewRequest, Renewal, Scope, Sharing, StoreError, StoreErrorKind,
    SystemClock, Ties, Timestamp, Token, Ttl, Wakes,
};

use super::node::{End, Ended, Kind, Vote};
use super::step::{Answer, Answers, Asked, from_now};
use super::votes::{are_decided, lasting, middle, ours, refusal, renewed};
use super::{GRACE, LOOK, QuorumStore};
use crate::lease::Renewed;

/// Shorter leases would leave each server too little time to answer.
const MIN_TTL: Duration = Duration::from_secs(1);
const ACQUIRE: &str = "acquire a lease";
const RENEW: &str = "renew a lease";

#[async_trait]
impl LeaseStore for QuorumStore {
    fn promises(&self) -> LeasePromises {
        let mut promises = LeasePromises::new("redis+quorum", Scope::Cluster, Durability::Nothing);
        promises.hand_off = HandOff::AskAgain(self.shared.poll);
        promises.order = Order::Any;
        promises.ties = Ties::AskAgain;
        promises.fences = if self.shared.is_fenced {
            Fences::Growing
        } else {
            Fences::None
        };
        promises.min_ttl = MIN_TTL;
        promises.claim_window = self.shared.poll;
        promises.wall_clock_steps_end_leases = true;
        promises.forgets = if self.shared.terms.is_some() {
            "leases, when a majority of the servers steps its clocks within one ttl"
        } else {
            "leases, when a majority of the servers restarts without its data or steps its clocks \
             within one ttl"
        };
        promises
    }

    fn listen(&self, key: &Key, token: Token) -> Wakes {
        self.shared.told.wakes.listen(key, token)
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquisition, StoreError> {
        if request.sharing.is_shared() {
            // Of several majorities each might let in one more than may hold the key.
            return Err(Sharing::refused_by("redis+quorum"));
        }
        self.check_ttl(ACQUIRE, request.ttl)?;
        self.shared.sweeps.stop(request.token).await;
        let request = Arc::new(request.clone());
        // Taken before the requests leave: slow servers shorten the lease, never lengthen it.
        let asked_at = SystemClock.now();
        let deadline = from_now(self.patience(request.ttl));
        let mut asked = self.ask(|node| {
            let request = request.clone();
            async move { node.vote(&request).await }
        });
        let (majority, minority_lost) = (self.majority(), self.minority_lost());
        let decided = |votes: &Answers<Vote>| are_decided(votes, majority, minority_lost);
        asked.until(deadline, decided).await;
        if ours(&asked.answers).count() >= majority {
            // The rest is dropped and never sent again: what comes late stays behind the release.
            return self.granted(&request, asked_at, &asked.answers).await;
        }
        let is_majority_heard = |votes: &Answers<Vote>| votes.answered() >= majority;
        asked.until(deadline, is_majority_heard).await;
        asked.every(deadline.min(from_now(GRACE))).await;
        let votes = asked.answers;
        if ours(&votes).count() >= majority {
            return self.granted(&request, asked_at, &votes).await;
        }
        self.refused(&request, &votes).await
    }

    async fn renew(
        &self,
        requests: &[RenewRequest],
    ) -> Result<Vec<Result<Renewal, StoreError>>, StoreError> {
        let Some(shortest) = requests.iter().map(|request| request.ttl).min() else {
            return Ok(Vec::new());
        };
        let patience = self.patience(shortest);
        let all: Arc<[RenewRequest]> = requests.into();
        let mut asked = self.ask(|node| {
            let all = all.clone();
            async move { node.renew_votes(&all).await }
        });
        let check = |number: usize| {
            let request = requests.get(number);
            request.map_or(Ok(()), |request| self.check_ttl(RENEW, request.ttl))
        };
        let decide = |number: usize, answers: &Answers<Vec<Result<Renewed, StoreError>>>| {
            let of_one = answers
                .ok()
                .filter_map(|all| all.get(number)?.as_ref().ok());
            let votes: Vec<&Renewed> = of_one.collect();
            let (majority, minority_lost) = (self.majority(), self.minority_lost());
            renewed(&votes, majority, minority_lost, self.shared.is_fenced)
        };
        asked
            .until(from_now(patience), |answers| {
                answers.answered() >= self.majority()
                    && (0..requests.len())
                        .all(|number| check(number).is_err() || decide(number, answers).is_some())
            })
            .await;
        let answers = asked.answers;
        let results = (0..requests.len()).map(|number| {
            check(number)?;
            let undecided = || answers.too_few(RENEW, self.majority());
            decide(number, &answers).ok_or_else(undecided)
        });
        Ok(results.collect())
    }

    async fn release(&self, key: &Key, token: Token) -> Result<Release, StoreError> {
        // With the places that servers kept which had not answered when the lease was granted.
        let mut asked = self.end(key, token, End::Cancel);
        let (majority, minority_lost) = (self.majority(), self.minority_lost());
        let freed = |answers: &Answers<Ended>| answers.count(|end| *end == Ended::Released);
        let is_decided = |answers: &Answers<Ended>| {
            let freed = freed(answers);
            freed >= majority || answers.answered() - freed >= minority_lost
        };
        let deadline = from_now(self.longest_patience());
        asked.until(deadline, is_decided).await;
        // Whatever the others would have said, no majority is left to hold the lease.
        let result = if asked.answers.answered() < majority {
            Err(asked.answers.too_few("release a lease", majority))
        } else if freed(&asked.answers) >= majority {
            Ok(Release::Freed)
        } else {
            Ok(Release::NotHeld)
        };
        self.sweep_rest((key, token, End::Cancel), asked);
        result
    }

    async fn cancel(&self, key: &Key, token: Token) -> Result<Cancellation, StoreError> {
        let is_repeated = self.shared.sweeps.stop(token).await;
        let mut asked = self.end(key, token, End::Cancel);
        let majority = self.majority();
        let deadline = from_now(self.longest_patience());
        asked
            .until(deadline, |answers| answers.answered() >= majority)
            .await;
        asked.every(deadline.min(from_now(GRACE))).await;
        let answers = &asked.answers;
        let released = answers.count(|end| *end == Ended::Released);
        let result = if answers.answered() < majority {
            Err(answers.too_few("cancel an acquisition", majority))
        } else if released >= majority {
            Ok(Cancellation::Released)
        } else if !is_repeated && answers.count(|end| *end == Ended::Left) > 0 {
            Ok(Cancellation::LeftQueue)
        } else {
            // What a server still had that the cancellation before had not reached was left then.
            Ok(Cancellation::Nothing)
        };
        self.sweep((key, token, End::Cancel), asked);
        if result.is_ok() {
            self.shared.sweeps.cancelled(token);
        }
        result
    }

    async fn inspect(&self, key: &Key) -> Result<Option<LeaseView>, StoreError> {
        self.look(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<LeasePage, StoreError> {
        self.list_all(query).await
    }

    async fn force(&self, request: &ForceRequest) -> Result<Forced, StoreError> {
        self.force_all(request).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let mut asked = self.ask(|node| async move { LeaseStore::now(&node).await });
        let majority = self.majority();
        asked
            .until(from_now(LOOK), |clocks| clocks.answered() >= majority)
            .await;
        asked.every(from_now(GRACE)).await;
        if asked.answers.answered() < majority {
            return Err(asked.answers.too_few("read the clocks", majority));
        }
        let mut clocks: Vec<Timestamp> = asked.answers.ok().copied().collect();
        middle(&mut clocks).ok_or_else(|| asked.answers.too_few("read the clocks", majority))
    }
}

impl QuorumStore {
    /// A lease that is too short leaves no time to decide; one that is too long outlasts the
    /// quarantine of a server that forgot it.
    fn check_ttl(&self, doing: &str, ttl: Ttl) -> Result<(), StoreError> {
        if ttl.get() < MIN_TTL {
            let message = format!("{doing}: a quorum needs a ttl of 1s at least");
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        self.shared
            .terms
            .map_or(Ok(()), |terms| terms.check_ttl(ttl))
    }

    /// A majority voted for us: makes it agree on a fence, and counts what is left.
    async fn granted(
        &self,
        request: &Arc<LeaseRequest>,
        asked_at: Moment,
        votes: &Answers<Vote>,
    ) -> Result<Acquisition, StoreError> {
        let lasts = lasting(
            ours(votes).map(|vote| (vote.now, vote.left)),
            self.majority(),
        );
        let greatest = ours(votes).map(|vote| vote.fence).max();
        let (Some((now, left)), Some(greatest)) = (lasts, greatest) else {
            return Err(votes.too_few(ACQUIRE, self.majority()));
        };
        let fence = if !self.shared.is_fenced {
            self.leave_queues(request, votes);
            Ok(Fence::NONE)
        } else if let Some(agreed) = self.agreed_before(ours(votes)) {
            Ok(agreed)
        } else {
            self.agree_on(request, greatest).await
        };
        let is_spent = SystemClock.now().since(asked_at) >= left;
        match fence {
            Ok(fence) if !is_spent => {
                let grant = Grant::new(fence, now, now + left);
                return Ok(Acquisition::Granted(grant));
            }
            _ => {}
        }
        self.give_way(request, votes).await;
        fence?;
        let message = "acquire a lease: the servers took as long as the ttl";
        Err(StoreError::new(StoreErrorKind::Unavailable, message).with_unknown_outcome())
    }

    /// No majority voted for us: takes back the votes there are, and says who stands in the way.
    async fn refused(
        &self,
        request: &Arc<LeaseRequest>,
        votes: &Answers<Vote>,
    ) -> Result<Acquisition, StoreError> {
        let places = self.give_way(request, votes).await;
        let is_answered = votes.answered() >= self.majority();
        let shared = &*self.shared;
        let held = refusal(votes, places, shared.poll, shared.is_fenced);
        match held.filter(|_| is_answered) {
            Some(held) => Ok(Acquisition::Held(held)),
            None => Err(votes.too_few(ACQUIRE, self.majority())),
        }
    }

    /// Takes back our votes but keeps our places, where we wait for any. Whoever did not answer is
    /// told in the background.
    async fn give_way(&self, request: &Arc<LeaseRequest>, votes: &Answers<Vote>) -> Vec<Place> {
        let scores: Vec<(usize, Vec<u8>)> = votes
            .by_number()
            .filter_map(|(number, vote)| match vote {
                Vote::Ours(ours) => match &ours.kind {
                    Kind::New { score } => Some((number, score.clone())),
                    _ => Some((number, Vec::new())),
                },
                Vote::Theirs { .. } => None,
            })
            .collect();
        let mut places = Vec::new();
        let mut silent = votes.silent();
        let mut asked = Asked::new(scores.into_iter().filter_map(|(number, score)| {
            let (node, request) = (self.shared.nodes.get(number)?.clone(), request.clone());
            Some(async move {
                let result = node.yield_vote(&request, &score).await;
                Answer { number, result }
            })
        }));
        asked.every(from_now(self.patience(request.ttl))).await;
        let told: Vec<usize> = asked
            .answers
            .by_number()
            .map(|(number, _)| number)
            .collect();
        places.extend(asked.answers.ok().flatten().copied());
        for (number, vote) in votes.by_number() {
            if matches!(vote, Vote::Ours(_)) && !told.contains(&number) {
                silent.push(number);
            }
        }
        self.sweep_only((&request.key, request.token, End::Release), silent);
        places
    }

    /// Gives up the places in the queues of those servers that voted for others. A place with one
    /// that did not answer goes with the lease: while that lasts, being told first is of no use to
    /// anybody.
    fn leave_queues(&self, request: &Arc<LeaseRequest>, votes: &Answers<Vote>) {
        let places = votes
            .by_number()
            .filter(|(_, vote)| matches!(vote, Vote::Theirs { place: Some(_), .. }));
        let places: Vec<usize> = places.map(|(number, _)| number).collect();
        if places.is_empty() {
            return;
        }
        let (store, request) = (self.clone(), request.clone());
        tokio::spawn(async move {
            let steps = places.into_iter().filter_map(|number| {
                let node = store.shared.nodes.get(number)?;
                let (key, token) = (&request.key, request.token);
                Some(async move {
                    let result = node.end_vote(key, token, End::Leave).await;
                    Answer { number, result }
                })
            });
            let mut asked = Asked::new(steps);
            asked.every(from_now(store.shared.timeout)).await;
        });
    }

    fn end(
        &self,
        key: &Key,
        token: Token,
        end: End,
    ) -> Asked<Ended, BoxFuture<'static, Answer<Ended>>> {
        self.ask(|node| {
            let key = key.clone();
            async move { node.end_vote(&key, token, end).await }
        })
    }
}
