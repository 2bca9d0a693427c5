//! The guide and the README do what they say: every line of every shell block is typed into a real
//! shell, in a folder of its own, with the real program; what is printed is compared where a page
//! shows it. A line that cannot be typed here stands in [`NOT_HERE`] with its reason.
//!
//! A block finds what its page tells of: the page's task file, the scripts that it names, and a
//! node that runs them. The Rust of the pages is compiled by `tenure`'s documentation; task files
//! are read, and units and messages looked up, by this crate's own `src/guide.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test's helper may fail the test"
)]

#[path = "../program/mod.rs"]
mod program;

mod act;
mod page;

use tenure_bed::{Cluster, Flavour, Quorum, Redis, Sentinel};

use crate::act::Stage;
use crate::page::{Block, Page, pages, shows};

/// Lines that are not typed here, by how they begin, and why.
const NOT_HERE: [(&str, &str); 2] = [
    ("cargo xtask test", "it is what runs this test"),
    (
        "tenure run --store rediss://app@redis.example:6380/2",
        "a server of the reader's, with a certificate and a password; `redis_secrets` types such",
    ),
];

/// Pages whose blocks of text are compared elsewhere, or at [`the_crontab_and_its_task_agree`].
const TEXT_ELSEWHERE: [(&str, &str); 2] = [
    ("why.md", "`why_outcomes` brings each of its stories about"),
    ("migration.md", "a crontab: its task says the same"),
];

fn is_left_out(line: &str) -> bool {
    NOT_HERE.iter().any(|(begin, _)| line.starts_with(begin))
}

/// Servers by the names under which the pages speak of them.
type Servers = Vec<(&'static str, String)>;

/// Types all blocks of a page of which `is_ours` says so.
fn walk(page: &Page, servers: &Servers, is_ours: impl Fn(&Block) -> bool) -> usize {
    let mut typed = 0;
    let mut stage = Stage::of(page, servers);
    let blocks: Vec<&Block> = page.blocks.iter().collect();
    for (at, block) in blocks.iter().enumerate() {
        if block.kind != "sh" || !is_ours(block) {
            continue;
        }
        if !page.is_a_walk {
            stage = Stage::of(page, servers);
        }
        let mut said = String::new();
        for line in block.lines().filter(|line| !is_left_out(line)) {
            typed += 1;
            said.push_str(&stage.types(&line));
        }
        let shown = blocks.get(at + 1).filter(|next| next.kind == "text");
        if let Some(shown) = shown {
            shows(&said, &shown.text, &format!("{}:{}", page.name, shown.line));
        }
    }
    stage.end();
    typed
}

fn needs_redis(block: &Block) -> bool {
    block.text.contains("redis")
}

#[test]
fn every_shell_line_of_the_guide_does_what_it_says() {
    let mut typed = 0;
    for page in pages() {
        typed += walk(&page, &Servers::new(), |block| !needs_redis(block));
    }
    assert!(typed > 50, "only {typed} lines were typed");
}

#[test]
fn every_shell_line_of_the_guide_about_redis_does_what_it_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(Redis::builder(Flavour::Redis).tcp().append_only().start());
    let sentinel = runtime.block_on(Sentinel::start(Flavour::Redis, 1));
    let quorum = runtime.block_on(Quorum::start(Flavour::Redis, 3));
    let cluster = runtime.block_on(Cluster::shared_url(Flavour::Redis));
    let sign = if cluster.contains('?') { '&' } else { '?' };
    let servers = vec![
        ("redis+sentinel://s1,s2,s3/main", sentinel.url()),
        (
            "redis+cluster://n1,n2,n3",
            format!("{cluster}{sign}namespace=guide-{}", std::process::id()),
        ),
        ("redis+quorum://r1,r2,r3", quorum.url()),
        ("redis://127.0.0.1", redis.url()),
    ];
    let mut typed = 0;
    for page in pages() {
        typed += walk(&page, &servers, needs_redis);
    }
    assert!(typed >= 8, "only {typed} lines were typed");
}

#[test]
fn what_is_not_typed_stands_in_the_guide_and_every_text_is_compared_somewhere() {
    let pages = pages();
    for (begin, why) in NOT_HERE {
        let lines = pages
            .iter()
            .flat_map(|page| &page.blocks)
            .flat_map(Block::lines);
        let found = lines.filter(|line| line.starts_with(begin)).count();
        assert_eq!(found, 1, "nothing begins with {begin:?} any more ({why})");
    }
    for page in &pages {
        for (at, block) in page.blocks.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| page.blocks.get(at));
            let follows_a_command = before.is_some_and(|before| before.kind == "sh");
            let is_elsewhere = TEXT_ELSEWHERE.iter().any(|(name, _)| *name == page.name);
            assert!(
                block.kind != "text" || follows_a_command || is_elsewhere,
                "{}:{}: nothing compares this text",
                page.name,
                block.line
            );
        }
    }
}

#[test]
fn the_crontab_and_its_task_agree() {
    let page = pages()
        .into_iter()
        .find(|page| page.name == "migration.md")
        .unwrap();
    let crontab = page
        .blocks
        .iter()
        .position(|block| block.kind == "text")
        .unwrap();
    let (crontab, task) = (&page.blocks[crontab].text, &page.blocks[crontab + 1].text);
    let (zone, line) = crontab.split_once('\n').unwrap();
    let zone = zone.strip_prefix("CRON_TZ=").unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert!(
        task.contains(&format!("schedule = \"{}\"", words[..5].join(" "))),
        "{task}"
    );
    assert!(task.contains(&format!("zone = \"{zone}\"")), "{task}");
    assert!(
        task.contains(&format!("command = [\"{}\", \"{}\"]", words[6], words[7])),
        "{task}"
    );
}
