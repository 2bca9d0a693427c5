//! Makes fences grow across majorities: the servers that voted agree on one before it is used.
//!
//! Each server has a counter of its own, so the next majority could grant a smaller fence than the
//! last. A fence counts once a majority wrote it into its votes and its counters: every later
//! majority has one of those servers in it. Each vote takes the first fence it is offered, so that
//! requests that are sent twice agree; only where no offer wins is a greater one put over them.

use std::sync::Arc;

use tenure_core::{Fence, LeaseRequest, StoreError, StoreErrorKind};

use super::QuorumStore;
use super::node::{Agreement, Kind, Ours, Rise};
use super::step::{Answers, from_now};
use super::votes::winner;

/// How often a fence is offered before the acquisition fails.
const OFFERS: usize = 3;

impl QuorumStore {
    /// The fence that a majority of the votes agreed on before, if there is one.
    pub(super) fn agreed_before<'a>(&self, votes: impl Iterator<Item = &'a Ours>) -> Option<Fence> {
        let agreed = votes.filter(|vote| vote.kind == Kind::Agreed);
        winner(agreed.map(|vote| vote.fence), self.majority())
    }

    /// Makes a majority agree on a fence not less than any that is known.
    pub(super) async fn agree_on(
        &self,
        request: &Arc<LeaseRequest>,
        least: Fence,
    ) -> Result<Fence, StoreError> {
        let majority = self.majority();
        let mut offer = least;
        let mut rise = Rise::OnlyFresh;
        let mut heard = None;
        for _ in 0..OFFERS {
            let (fence, over) = (offer, rise);
            let mut asked = self.ask(|node| {
                let request = request.clone();
                async move { node.agree(&request, fence, over).await }
            });
            let deadline = from_now(self.patience(request.ttl));
            asked
                .until(deadline, |answers| chosen(answers, majority).is_some())
                .await;
            if let Some(fence) = chosen(&asked.answers, majority) {
                return Ok(fence);
            }
            let known = asked.answers.ok().filter_map(|answer| match answer {
                Agreement::On(fence) | Agreement::Greater(fence) => Some(*fence),
                Agreement::NotOurs => None,
            });
            offer = known.fold(offer, Ord::max);
            rise = Rise::Over;
            heard = Some(asked.answers);
        }
        let doing = "agree on a fence";
        Err(match heard {
            Some(answers) if answers.answered() < majority => answers.too_few(doing, majority),
            _ => StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{doing}: the lease ended meanwhile, or its servers disagree; try again"),
            )
            .with_unknown_outcome(),
        })
    }
}

fn chosen(answers: &Answers<Agreement>, majority: usize) -> Option<Fence> {
    let agreed = answers.ok().filter_map(|answer| match answer {
        Agreement::On(fence) => Some(*fence),
        _ => None,
    });
    winner(agreed, majority)
}
