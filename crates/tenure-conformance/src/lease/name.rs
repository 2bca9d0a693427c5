//! Keys are bytes: whatever a name contains, it is one key and no other.

use futures_util::stream::{self, StreamExt as _};
use tenure_core::{Key, ListQuery};

use super::actor::{Asker, Client};
use super::cases::Shared;

/// Looking alike: composed and decomposed, Kelvin sign, case, blanks, width, no width at all.
#[rustfmt::skip]
const ALIKE: &[&str] = &[
    "é", "e\u{301}", "K", "\u{212a}", "k", "ß", "ss", "SS", "ı", "i", "İ", "I", "a", "A", "a ",
    " a", "a  ", "a\t", "\u{ff41}", "a\u{200b}", "a\u{202e}", "\u{feff}a", "tenur", "tenure",
    "Tenure:k", " tenure:k",
];

/// Braces, which say where a Redis Cluster keeps a key, wildcards, quotes, separators, numbers.
#[rustfmt::skip]
const SYNTAX: &[&str] = &[
    "{", "}", "{}", "{a}", "{a}{b}", "a}b{", "{{a}}", "a{}b", "%", "_", "a%", "a_", "*", "?", "[a]",
    "[^a]", "\\", "\\\\", "'", "''", "\"", "`", "$1", "]]", "a:b", "a::b", "a.b", ".", "..", ">",
    "a>", "../a", "/a", "a/", "a//b", "-***-", "a-***-1", "tn1:", "null", "NULL", "0", "00", "-1",
    "1e3", "0x10",
];

/// Control characters.
const CONTROLS: &[&str] = &["\n", "a\n", "a\r\n", "a\0", "a\0b", "\u{1b}[31m", "\u{7f}"];

/// Whole statements and records of other programs.
const SENTENCES: &[&str] = &[
    "'; DROP TABLE lease; --",
    "NAME-***-1-***-2026-11-21T03:00:00.000Z",
];

/// Bytes that are not text.
const BYTES: &[&[u8]] = &[
    b"\xff",
    b"\xff\xff",
    b"\xff\x00",
    b"\x80",
    b"\xc3",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\0\0",
    b"a\xff",
];

/// Names that a store might confuse with each other, or take for something else than names.
fn names() -> Vec<Key> {
    let long = "k".repeat(Key::MAX_LEN - 1);
    let long = [long.clone(), format!("{long}l"), format!("{long}m")];
    let texts = [ALIKE, SYNTAX, CONTROLS, SENTENCES].concat();
    let texts = texts.iter().map(|text| Key::new(text).unwrap());
    let long = long.iter().map(|text| Key::new(text).unwrap());
    let bytes = BYTES.iter().map(|bytes| Key::from_bytes(bytes).unwrap());
    let mut names: Vec<Key> = texts.chain(long).chain(bytes).collect();
    names.sort();
    names.windows(2).for_each(|two| assert_ne!(two[0], two[1]));
    names
}

pub(super) async fn e14_e16_e17_e18_e19_e20_names_that_look_alike_are_different_keys(
    harness: &Shared,
) {
    let names = names();
    let client = Client::new(harness, "client").await;
    let mut leases: Vec<(Asker, Client)> = Vec::new();
    for name in &names {
        let who = client.beside(&format!("holder of {name}"));
        leases.push((who.take(name).await, who));
    }
    let other = Client::new(harness, "other").await;
    for (lease, who) in &leases {
        other.asker(lease.key()).held().await;
        let view = other.look(lease.key()).await.expect("held");
        assert_eq!(&view.key, lease.key());
        let raw = harness.raw_holder(lease.key()).await;
        assert_eq!(raw, Some(who.holder.id), "{}", lease.key());
    }
    let page = other
        .store
        .list(&ListQuery::prefix("").limit(1000))
        .await
        .unwrap();
    let listed: Vec<Key> = page.leases.into_iter().map(|view| view.key).collect();
    assert_eq!(listed, names);
    for (lease, _) in &leases {
        lease.give_back().await;
        assert_eq!(harness.raw_records(lease.key()).await, 0, "{}", lease.key());
    }
}

pub(super) async fn e14_e18_a_name_that_looks_like_something_else_queues_and_wakes_as_any_other(
    harness: &Shared,
) {
    let client = Client::new(harness, "client").await;
    let other = Client::new(harness, "other").await;
    stream::iter(names())
        .for_each_concurrent(8, async |name| {
            let holder = client.take(&name).await;
            let mut waiter = other.line_up(&name).await;
            assert_eq!(waiter.place().await.length, 1, "{name}");
            holder.give_back().await;
            waiter.served().await;
            waiter.give_back().await;
            assert_eq!(harness.raw_records(&name).await, 0, "{name}");
        })
        .await;
}

pub(super) async fn e21_each_of_the_256_bytes_is_a_key(harness: &Shared) {
    let client = Client::new(harness, "client").await;
    let names: Vec<Key> = (0..=u8::MAX)
        .map(|byte| Key::from_bytes(&[byte]).unwrap())
        .collect();
    stream::iter(&names)
        .for_each_concurrent(8, async |name| {
            client.take(name).await;
        })
        .await;
    let page = client
        .store
        .list(&ListQuery::prefix("").limit(1000))
        .await
        .unwrap();
    let listed: Vec<Key> = page.leases.into_iter().map(|view| view.key).collect();
    assert_eq!(listed, names);
}
