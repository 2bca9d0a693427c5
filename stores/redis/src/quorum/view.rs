//! What a quorum looks like to an operator: whoever has a majority has the key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tenure_core::{
    ForceRequest, Forced, HolderId, Key, LeasePage, LeaseStore as _, LeaseView, ListQuery, Mark,
    StoreError, Waiter,
};

use super::step::{Answers, from_now};
use super::votes::{agreed_first, with_fence};
use super::{GRACE, QuorumStore};

/// A server with many keys takes its time to find those that are locks.
const LISTING: Duration = Duration::from_secs(30);
/// How long those are waited for who have not answered when one key is looked at: whoever looks is
/// a person, and a server that is only busy shall not change which queue is shown.
const PERSON: Duration = Duration::from_millis(100);
/// How many keys of a listing are looked at in parallel.
const LOOKS: usize = 16;
/// How often a page is filled up when what the servers listed turned out to be no leases.
const FILLS: usize = 10;

impl QuorumStore {
    pub(super) async fn look(&self, key: &Key) -> Result<Option<LeaseView>, StoreError> {
        self.look_with(key, PERSON).await
    }

    async fn look_with(&self, key: &Key, grace: Duration) -> Result<Option<LeaseView>, StoreError> {
        let mut asked = self.ask(|node| {
            let key = key.clone();
            async move { node.inspect(&key).await }
        });
        let majority = self.majority();
        let (patience, servers) = (self.longest_patience(), self.shared.nodes.len());
        asked
            .until(from_now(patience), |views| {
                is_seen(views, majority, servers)
            })
            .await;
        asked.every(from_now(grace)).await;
        let answered = asked.answers.answered();
        if answered < majority {
            return Err(asked.answers.too_few("inspect a lease", majority));
        }
        let seen: Vec<LeaseView> = asked.answers.into_ok().into_iter().flatten().collect();
        let queue = agreed_queue(&seen, answered);
        // Where a silent server could make the difference, those who answered decide.
        let won = groups(seen.iter())
            .into_iter()
            .find(|(_, views)| views.len() >= majority || 2 * views.len() > answered);
        let view = match won {
            Some((holding, views)) => merged(holding, &views, self.shared.is_fenced),
            // Votes that are no majority are no lease; those who wait wait all the same.
            None => seen
                .first()
                .map(|view| LeaseView::new(view.key.clone(), view.now)),
        };
        let view = view.zip(queue).map(|(mut view, (queue, length))| {
            view = view.queued(queue);
            view.queue_len = length;
            view
        });
        Ok(view.filter(|view| view.occupant.is_some() || view.queue_len > 0))
    }

    pub(super) async fn list_all(&self, query: &ListQuery) -> Result<LeasePage, StoreError> {
        let limit = query.limit.clamp(1, 1000);
        let mut query = query.clone();
        let mut leases = Vec::new();
        let mut more = true;
        for _ in 0..FILLS {
            let (keys, is_more) = self.names(&query, limit).await?;
            query.after = keys.last().cloned().or(query.after);
            let looks = stream::iter(keys).map(async |key: Key| self.look_with(&key, GRACE).await);
            let mut views = looks.buffered(LOOKS);
            while let Some(view) = views.next().await {
                leases.extend(view?.map(|mut view| {
                    view.queue.clear();
                    view
                }));
            }
            more = is_more;
            if !more || leases.len() >= limit {
                break;
            }
        }
        more |= leases.len() > limit;
        leases.truncate(limit);
        Ok(LeasePage::new(leases, more))
    }

    /// The first keys of which any server knows something, and whether there are more.
    async fn names(&self, query: &ListQuery, limit: usize) -> Result<(Vec<Key>, bool), StoreError> {
        let mut asked = self.ask(|node| {
            let query = query.clone();
            async move { node.list_names(&query).await }
        });
        let majority = self.majority();
        // Each lease is in at least one of any majority's listings.
        asked
            .until(from_now(LISTING), |pages| pages.answered() >= majority)
            .await;
        if asked.answers.answered() < majority {
            return Err(asked.answers.too_few("list leases", majority));
        }
        let pages = asked.answers.into_ok();
        let more = pages.iter().any(|(_, more)| *more);
        let keys: BTreeSet<Key> = pages.into_iter().flat_map(|(keys, _)| keys).collect();
        let more = more || keys.len() > limit;
        Ok((keys.into_iter().take(limit).collect(), more))
    }

    pub(super) async fn force_all(&self, request: &ForceRequest) -> Result<Forced, StoreError> {
        let (key, mark) = (&request.key, &request.expected);
        let Some(current) = self.look(key).await? else {
            return Ok(Forced::NotHeld);
        };
        let (Some(found), Some(from)) = (current.mark.clone(), current.occupant.clone()) else {
            return Ok(Forced::NotHeld);
        };
        if found != *mark {
            return Ok(Forced::Changed { current });
        }
        let mut asked = self.ask(|node| {
            let (key, mark) = (key.clone(), mark.clone());
            async move { node.force_vote(&key, &mark).await }
        });
        asked.every(from_now(self.shared.timeout)).await;
        let hits = asked.answers.count(|hit| *hit);
        let (by, why) = (&request.by, &request.why);
        tracing::warn!(%key, %by, %why, hits, "votes were taken from {from} by order");
        if hits >= self.majority() {
            return Ok(Forced::Done { from });
        }
        if asked.answers.answered() < self.majority() {
            return Err(asked.answers.too_few("force a lease", self.majority()));
        }
        // It ended meanwhile, by itself or by another order that hit as many servers.
        Ok(match self.look(key).await? {
            Some(current) if current.mark.is_some() => Forced::Changed { current },
            _ => Forced::NotHeld,
        })
    }
}

/// Whether nothing that is still to come changes who has the key.
fn is_seen(views: &Answers<Option<LeaseView>>, majority: usize, servers: usize) -> bool {
    let silent = servers - views.answered();
    let groups = groups(views.ok().flatten());
    let most = groups.values().map(Vec::len).max().unwrap_or_default();
    views.answered() >= majority && (most >= majority || most + silent < majority)
}

/// The views by the holding that they show.
fn groups<'v>(views: impl Iterator<Item = &'v LeaseView>) -> BTreeMap<String, Vec<&'v LeaseView>> {
    let mut groups: BTreeMap<String, Vec<&LeaseView>> = BTreeMap::new();
    for view in views {
        if let Some(mark) = &view.mark {
            groups.entry(holding(mark)).or_default().push(view);
        }
    }
    groups
}

/// Who waits, and how many: the places that most of those who answered know, as the first of the
/// servers that know most of them has them. A place that only few know is gone, or not made yet.
fn agreed_queue(seen: &[LeaseView], answered: usize) -> Option<(Vec<Waiter>, u32)> {
    // One holder may have several places.
    let places: Vec<BTreeMap<HolderId, usize>> = seen
        .iter()
        .map(|view| {
            let mut places = BTreeMap::new();
            for waiter in &view.queue {
                *places.entry(waiter.holder.id).or_default() += 1;
            }
            places
        })
        .collect();
    let agreed = seen.iter().map(|view| {
        let mut times: BTreeMap<HolderId, usize> = BTreeMap::new();
        let mut is_agreed = |waiter: &&Waiter| {
            let nth = times.entry(waiter.holder.id).or_default();
            *nth += 1;
            let knows = |places: &&BTreeMap<HolderId, usize>| {
                places
                    .get(&waiter.holder.id)
                    .is_some_and(|count| count >= nth)
            };
            2 * places.iter().filter(knows).count() > answered
        };
        let queue: Vec<Waiter> = view
            .queue
            .iter()
            .filter(|w| is_agreed(w))
            .cloned()
            .collect();
        let fewer = u32::try_from(view.queue.len() - queue.len()).unwrap_or(u32::MAX);
        (queue, view.queue_len.saturating_sub(fewer))
    });
    agreed.rev().max_by_key(|(_, length)| *length)
}

/// What the servers have in common of a holding: its token, or the whole of a foreign one.
fn holding(mark: &Mark) -> String {
    let mut parts = mark.as_str().split(':');
    match (parts.next(), parts.next()) {
        (Some("tn1"), Some(token)) => format!("tn1:{token}"),
        _ => mark.as_str().to_owned(),
    }
}

/// Whether the server of this mark knows that a majority agreed on the fence: it begins with 0.
fn is_agreed(mark: &Mark) -> bool {
    let fence = mark.as_str().split(':').nth(2);
    fence.is_some_and(|fence| fence.starts_with('0'))
}

/// One view of several servers': that of the first, with what they agree on.
fn merged(holding: String, views: &[&LeaseView], is_fenced: bool) -> Option<LeaseView> {
    let first = views.first()?;
    let fences = views.iter().filter_map(|view| {
        let is_agreed = view.mark.as_ref().is_some_and(is_agreed);
        Some((view.fence()?, is_agreed))
    });
    let fence = agreed_first(&fences.collect::<Vec<_>>());
    let mut occupant = first.occupant.clone()?;
    if let Some(fence) = fence {
        occupant = with_fence(occupant, fence, is_fenced);
    }
    let view = LeaseView::new(first.key.clone(), first.now);
    Some(view.held_by(occupant, first.expires_at, Mark::new(holding)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{Holder, Timestamp};

    #[test]
    fn r31_a_queue_is_shown_as_most_servers_know_it() {
        let holders = ["a", "b", "c"].map(Holder::new);
        let key = Key::new("k").unwrap();
        let view = |names: &[usize]| {
            let place = |at: &usize| Waiter::new(holders[*at].clone(), Timestamp::EPOCH);
            LeaseView::new(key.clone(), Timestamp::EPOCH).queued(names.iter().map(place).collect())
        };
        for (servers, answered, expected) in [
            (vec![vec![0, 1], vec![0, 1], vec![0, 1]], 3, vec![0, 1]),
            // The first has not heard yet that one is gone, the last not that one has come.
            (vec![vec![0, 1, 2], vec![0, 2], vec![0]], 3, vec![0, 2]),
            // One holder twice, and on one server once more.
            (
                vec![vec![0, 0, 1, 0], vec![0, 0, 1], vec![0, 0, 1]],
                3,
                vec![0, 0, 1],
            ),
            // Two servers know of nobody.
            (vec![vec![2]], 3, vec![]),
        ] {
            let seen: Vec<_> = servers.iter().map(|names| view(names)).collect();
            let (queue, length) = agreed_queue(&seen, answered).unwrap();
            assert_eq!(queue, view(&expected).queue, "{servers:?}");
            assert_eq!(length as usize, expected.len(), "{servers:?}");
        }
        assert_eq!(agreed_queue(&[], 3), None);
    }
}
