//! What an operator is shown of keys, holders and queues.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tenure_core::{Holder, Key, LeaseRequest, LeaseView, ListQuery, Occupant, SharedLeases};

use super::actor::{Asker, Client, LONG, key, pass, soon, ttl};
use super::cases::Shared;
use super::company::READ;
use crate::chance;

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn a_free_key_has_no_view(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    assert_eq!(client.look(&key).await, None);
    let lease = client.take(&key).await;
    assert!(client.look(&key).await.is_some());
    lease.give_back().await;
    assert_eq!(client.look(&key).await, None);
    client.take(&key).await;
    harness.lapse(&key).await;
    assert_eq!(client.look(&key).await, None);
}

pub(super) async fn a_view_shows_the_holder_as_it_introduced_itself(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let operator = Client::new(harness, "operator").await;
    let long = "x".repeat(300);
    let labels = [
        ("billing", "web-1.example"),
        ("", ""),
        ("a:b:c", "h:1"),
        ("two words", "tab\there"),
        ("line\nbreak", "\r\n"),
        ("quote'\"\\", "';--"),
        ("Grüße 🚀 漢字", "\u{202e}x"),
        ("nul\0inside", "h"),
        ("{}[]%_*?", "$1"),
        (long.as_str(), long.as_str()),
    ];
    for (number, (label, host)) in labels.into_iter().enumerate() {
        let pid = [1, u32::MAX, 0][number % 3];
        let holder = Holder::new(label).on_host(host).with_pid(pid);
        let key = key(&format!("k{number}"));
        let request = LeaseRequest::new(key.clone(), holder.clone(), ttl(LONG));
        let grant = client.asker_with(request).granted().await;
        let view = operator.look(&key).await.expect("held");
        assert_eq!(harness.raw_holder(&key).await, Some(holder.id));
        match view.occupant {
            Some(Occupant::Holder {
                holder: shown,
                fence,
                since,
            }) => {
                assert_eq!(shown, holder);
                assert_eq!(fence, grant.fence);
                assert!(since <= view.now);
                assert!(since >= grant.now - SECOND && since <= grant.now + SECOND);
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(super) async fn a_view_tells_when_the_lease_ends_by_the_stores_clock(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let lease = client.asker(&key);
    let before = client.store.now().await.unwrap();
    let grant = lease.granted().await;
    let view = client.look(&key).await.unwrap();
    let after = client.store.now().await.unwrap();
    assert!(before <= grant.now && grant.now <= view.now && view.now <= after);
    let end = view.expires_at.expect("the lease ends by itself");
    assert!(end >= grant.expires_at - SECOND && end <= grant.expires_at + SECOND);
    let grant = lease.still_holds().await;
    let end = client.look(&key).await.unwrap().expires_at.unwrap();
    assert!(end >= grant.expires_at - SECOND && end <= grant.expires_at + SECOND);
}

pub(super) async fn a_view_shows_the_queue_in_its_order(harness: &Shared) {
    let key = key("k");
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    client.take(&key).await;
    let mut waiters = Vec::new();
    for number in 0..6 {
        let who = [&client, &other][number % 2].beside(&format!("waiter {number}"));
        waiters.push(who.line_up(&key).await);
    }
    waiters.remove(3).cancel().await;
    // Asking again changes neither the order nor since when they wait.
    let since: Vec<_> = queue(&client, &key)
        .await
        .into_iter()
        .map(|w| w.1)
        .collect();
    for waiter in waiters.iter().rev() {
        waiter.held().await;
    }
    for view in [queue(&client, &key).await, queue(&other, &key).await] {
        let (holders, again): (Vec<_>, Vec<_>) = view.into_iter().unzip();
        let expected: Vec<_> = waiters.iter().map(|w| w.request.holder.clone()).collect();
        assert_eq!(holders, expected);
        assert_eq!(again, since);
        assert!(again.is_sorted());
    }
}

async fn queue(client: &Client, key: &Key) -> Vec<(Holder, tenure_core::Timestamp)> {
    let view = client.look(key).await.expect("held");
    assert_eq!(usize::try_from(view.queue_len).unwrap(), view.queue.len());
    assert!(view.queue.iter().all(|waiter| waiter.since <= view.now));
    let queue = view.queue.into_iter();
    queue.map(|waiter| (waiter.holder, waiter.since)).collect()
}

pub(super) async fn a_listing_goes_by_prefix_in_the_order_of_bytes_page_by_page(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let mut wanted: Vec<Key> = (0..25).map(|n| key(&format!("p/{n}"))).collect();
    for name in ["p", "p.", "p0", "P/1", "o/1", "q", "p\u{ff}"] {
        client.take(&key(name)).await;
    }
    for key in wanted.iter().rev() {
        client.take(key).await;
    }
    wanted.sort();
    for limit in [1, 5, 7, 10, 24, 25, 26, 1000, usize::MAX] {
        let mut seen = Vec::new();
        let mut query = ListQuery::prefix("p/").limit(limit);
        loop {
            let page = client.store.list(&query).await.unwrap();
            assert!(page.leases.len() <= limit);
            seen.extend(page.leases.into_iter().map(|view| view.key));
            assert_eq!(page.more, seen.len() < wanted.len(), "pages of {limit}");
            if !page.more {
                break;
            }
            query = query.after(seen.last().expect("an empty page, and more").clone());
        }
        assert_eq!(seen, wanted, "pages of {limit}");
    }
    assert_eq!(
        keys(&client, ListQuery::prefix("p/").limit(0)).await.len(),
        1
    );
}

pub(super) async fn a_listing_is_limited_to_a_thousand_keys(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    stream::iter(0..1003)
        .for_each_concurrent(16, async |number| {
            client.take(&key(&format!("k{number:04}"))).await;
        })
        .await;
    let all = ListQuery::prefix("").limit(5000);
    let page = client.store.list(&all).await.unwrap();
    assert_eq!((page.leases.len(), page.more), (1000, true));
    let rest = keys(&client, all.after(key("k0999"))).await;
    assert_eq!(rest, ["k1000", "k1001", "k1002"].map(key));
}

async fn keys(client: &Client, query: ListQuery) -> Vec<Key> {
    let page = client.store.list(&query).await.unwrap();
    page.leases.into_iter().map(|view| view.key).collect()
}

pub(super) async fn a_listing_takes_its_prefix_and_its_start_literally(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let raw = |bytes: &[u8]| Key::from_bytes(bytes).unwrap();
    let mut all: Vec<Key> = [
        "a", "ab", "a%", "a%b", "a_", "a*", "a?", "a[b]", "a\\", "A", "ä",
    ]
    .map(key)
    .to_vec();
    all.extend([b"\xff" as &[u8], b"\xff\xff", b"\xff\x00", b"\0", b"a\0"].map(raw));
    for key in &all {
        client.take(key).await;
    }
    all.sort();
    let prefixes: [&[u8]; 16] = [
        b"",
        b"a",
        b"a%",
        b"a_",
        b"a*",
        b"a?",
        b"a[",
        b"a\\",
        b"A",
        b"\xff",
        b"\xff\xff",
        b"\0",
        b"a\0",
        b"\xc3",
        b"abc",
        b"\xff\xff\xff",
    ];
    for prefix in prefixes {
        let of_prefix = |k: &&Key| k.as_bytes().starts_with(prefix);
        let expected: Vec<Key> = all.iter().filter(of_prefix).cloned().collect();
        let found = keys(&client, ListQuery::prefix(prefix)).await;
        assert_eq!(found, expected, "prefix {}", prefix.escape_ascii());
        for start in [raw(b"\0"), key("a"), key("aa"), key("a%"), raw(b"\xff")] {
            let after = |k: &&Key| of_prefix(k) && **k > start;
            let expected: Vec<Key> = all.iter().filter(after).cloned().collect();
            let query = ListQuery::prefix(prefix).after(start.clone());
            let found = keys(&client, query).await;
            assert_eq!(found, expected, "{} after {start}", prefix.escape_ascii());
        }
    }
}

pub(super) async fn a_listing_shows_what_is_held_or_waited_for_and_nothing_else(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    client.take(&key("held")).await.granted().await;
    client.take(&key("released")).await.give_back().await;
    client.take(&key("cancelled")).await.cancel().await;
    client.take(&key("lapsed")).await;
    harness.lapse(&key("lapsed")).await;
    let is_shared = client.store.promises().shared == SharedLeases::Kept;
    if is_shared {
        client.join(&key("shared"), READ).await;
    }
    client.take(&key("waited for")).await;
    let _waiter = client.beside("waiter").line_up(&key("waited for")).await;
    harness.lapse(&key("waited for")).await;
    let page = client.store.list(&ListQuery::prefix("")).await.unwrap();
    let mut shown: Vec<_> = page.leases.iter().map(|view| view.key.clone()).collect();
    if is_shared {
        assert_eq!(shown.remove(1), key("shared"));
    }
    assert_eq!(shown, [key("held"), key("waited for")]);
    let held = &page.leases[0];
    let inspected = client.look(&key("held")).await.unwrap();
    assert_eq!(held.occupant, inspected.occupant);
    assert_eq!(held.mark, inspected.mark);
    assert!(held.expires_at.is_some());
    // The lapsed lease is gone; the waiter may have been handed the key by now, or waits still.
    let waited = page.leases.last().unwrap();
    match &waited.occupant {
        None => assert_eq!(waited.queue_len, 1),
        Some(Occupant::Holder { holder, .. }) => assert_eq!(holder.label, "waiter"),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn leases_that_ran_out_are_not_listed(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let short = client.store.promises().min_ttl.max(SECOND);
    let request = LeaseRequest::new(key("short"), client.holder.clone(), ttl(short));
    client.asker_with(request).granted_at_last().await;
    client.take(&key("long")).await;
    pass(harness, short + Duration::from_millis(500)).await;
    assert_eq!(keys(&client, ListQuery::prefix("")).await, [key("long")]);
    assert_eq!(client.look(&key("short")).await, None);
}

pub(super) async fn two_views_of_one_store_always_agree(harness: &Shared) {
    let mut chance = chance::seeded();
    let views = [
        Client::new(harness, "one").await,
        Client::new(harness, "two").await,
    ];
    let names = ["a", "b", "c"].map(key);
    let mut askers: Vec<Asker> = Vec::new();
    // Those who asked go on listening: a store may pass on what is pushed to nobody when it likes.
    let mut listeners: Vec<Asker> = Vec::new();
    for step in 0..80 {
        let via = &views[chance.usize(0..2)];
        let name = &names[chance.usize(0..3)];
        let known = (!askers.is_empty()).then(|| chance.usize(0..askers.len()));
        match (chance.u32(0..8), known) {
            (0, _) => harness.lapse(name).await,
            (1, Some(known)) => {
                let asker = askers.swap_remove(known);
                asker.through(via).release().await;
                listeners.push(asker);
            }
            (2, Some(known)) => {
                let asker = askers.swap_remove(known);
                asker.through(via).cancel().await;
                listeners.push(asker);
            }
            (3, Some(known)) => {
                askers[known].through(via).renew(2 * LONG).await;
            }
            (4, Some(known)) => {
                let again = askers[known].through(via);
                again.ask().await;
                listeners.push(again);
            }
            _ => {
                let asker = via.waiter(name);
                asker.ask().await;
                askers.push(asker);
            }
        }
        let [one, two] = told_by_both(&views, &names).await;
        assert_eq!(one, two, "step {step}");
    }
}

/// What a view tells of some keys, and which it lists.
type Told = (Vec<Option<LeaseView>>, Vec<Key>);

async fn told_by(view: &Client, names: &[Key]) -> Told {
    let mut seen = Vec::new();
    for name in names {
        seen.push(timeless(view.look(name).await, view));
    }
    (seen, keys(view, ListQuery::prefix("")).await)
}

/// What two views tell, one after the other; and once more, if a lease ended in between: one that
/// was handed on, and that nobody collected, lasts for the claim window only.
async fn told_by_both(views: &[Client; 2], names: &[Key]) -> [Told; 2] {
    soon("two views of one moment", async {
        loop {
            let mut ends = Vec::new();
            for name in names {
                let seen = views[0].look(name).await;
                ends.extend(seen.and_then(|view| view.expires_at));
            }
            let one = told_by(&views[0], names).await;
            let two = told_by(&views[1], names).await;
            let now = views[0].store.now().await.unwrap() + Duration::from_millis(10);
            if one == two || ends.iter().all(|end| *end > now) {
                return [one, two];
            }
        }
    })
    .await
}

/// A view without the instant at which it was taken, and without those that servers each tell in
/// their own way, where several decide.
fn timeless(view: Option<LeaseView>, client: &Client) -> Option<LeaseView> {
    let epoch = tenure_core::Timestamp::EPOCH;
    view.map(|mut view| {
        view.now = epoch;
        if client.may_tie() {
            view.expires_at = view.expires_at.map(|_| epoch);
            if let Some(Occupant::Holder { since, .. }) = &mut view.occupant {
                *since = epoch;
            }
            for waiter in &mut view.queue {
                waiter.since = epoch;
            }
        }
        view
    })
}
