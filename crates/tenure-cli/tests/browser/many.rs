//! Ten thousand tasks and a thousand locks: what a page costs, and that one finds one's way.
//!
//! Bytes are asserted. How long it takes depends on the machine and on who else uses it, so that is
//! told, beside its goal: `cargo xtask page-cost` runs this with the program as it is shipped.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tenure::core::{Holder, Key, LeaseRequest, LeaseStore, Ttl};
use tenure_bed::{Flavour, Look, Redis};

use crate::program::{PATIENCE, Place, until};
use crate::site::Site;

const TASKS: usize = 10_000;
const LOCKS: usize = 1_000;
/// Of those, so many have a queue of three.
const CONTENDED: usize = 50;
/// What a page may have, with everything it needs.
const MOST_BYTES: u64 = 200_000;
/// What an answer may have that says that nothing changed.
const MOST_UNCHANGED: u64 = 1_000;
/// What an update may have after one task was paused.
const MOST_UPDATE: u64 = 60_000;
/// How often each cost is measured, the median counts: this often if the variable says no more.
const ROUNDS: usize = 3;
const ROUNDS_FROM: &str = "TENURE_COST_ROUNDS";
/// On which stores, with commas between them; SQLite if the variable says nothing.
const STORES_FROM: &str = "TENURE_COST_ON";
/// The goal of the design for a first page, on an idle machine.
const GOAL_MS: u64 = 300;

const PAGES: [&str; 7] = [
    "/now",
    "/tasks",
    "/task?name=team-0/task-00000",
    "/locks",
    "/lock?key=orders%2F00000",
    "/nodes",
    "/store",
];

fn tasks() -> String {
    let mut tasks = String::new();
    for at in 0..TASKS {
        let (hour, minute) = (at % 24, at % 60);
        let _ = writeln!(
            tasks,
            "[[task]]\nname = \"team-{}/task-{at:05}\"\nschedule = \"{minute} {hour} 1 1 *\"\n\
             command = [\"true\"]",
            at % 7
        );
    }
    // One that runs all the time, so that pages have something to tell.
    let _ = writeln!(
        tasks,
        "[[task]]\nname = \"team-0/busy\"\nschedule = \"*/2 * * * * *\"\ncommand = [\"true\"]"
    );
    tasks
}

/// A thousand locks, some with a queue, held for longer than the test lasts.
fn hold_locks(url: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let tenure = tenure::connect(url).await.unwrap();
        let leases = tenure.leases();
        let ttl = Ttl::new(Duration::from_secs(3600)).unwrap();
        for at in 0..LOCKS {
            let key = Key::new(format!("orders/{at:05}")).unwrap();
            let holder = Holder::new(format!("worker-{}", at % 40)).on_host("app-1");
            let request = LeaseRequest::new(key.clone(), holder, ttl);
            leases.acquire(&request).await.unwrap();
            if at < CONTENDED {
                queue(&*leases, &key, ttl).await;
            }
        }
    });
}

async fn queue(leases: &dyn LeaseStore, key: &Key, ttl: Ttl) {
    for at in 0..3 {
        let holder = Holder::new(format!("waiter-{at}")).on_host("app-2");
        let request = LeaseRequest::new(key.clone(), holder, ttl);
        let request = request.in_line(Duration::from_secs(3600));
        leases.acquire(&request).await.unwrap();
    }
}

/// What the node has worked so far, in hundredths of a second.
fn worked(site: &Site) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", site.nodes[0].0.0.id())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    // utime and stime are the fields 14 and 15 of the whole line.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Asks the node for a path without a browser; the answer with its head.
fn ask(site: &Site, method: &str, path: &str, extra: &str) -> String {
    let address = site.nodes[0].1.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    stream
        .write_all(format!("{head}{extra}").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The answer to whoever has the page already, and knows these regions.
fn ask_again(site: &Site, path: &str, marks: &str) -> String {
    ask(
        site,
        "GET",
        path,
        &format!("tenure-regions: {marks}\r\n\r\n"),
    )
}

/// Changes something, so that nothing of what is kept for a second is used again.
fn change(site: &Site, what: &str) {
    let body = r#"{"by":"ann"}"#;
    let extra = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let path = format!("/api/v1/tasks/team-1%2Ftask-00001/{what}");
    let answer = ask(site, "POST", &path, &extra);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn rounds() -> usize {
    let given = std::env::var(ROUNDS_FROM).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// What a page costs: how heavy it is, how long it takes in the browser, and what an update costs.
fn weigh(site: &mut Site, path: &str) -> String {
    let sum = |kind: &str, field: &str| {
        format!(
            "performance.getEntriesByType('{kind}').filter(it => !/api/.test(it.name))\
             .reduce((sum, it) => sum + it.{field}, 0)"
        )
    };
    let (mut shown, mut answered) = (Vec::new(), Vec::new());
    let (mut page, mut assets) = (0, 0);
    for _ in 0..rounds() {
        // A new profile each time: nothing is kept from before.
        site.browser.look(Look::DESK);
        site.browser.open(path);
        site.browser
            .until("document.querySelector('.age').dataset.state === 'live'");
        let mut number = |code: &str| {
            let rounded = site.browser.eval(&format!("Math.round({code})"));
            rounded.as_u64().unwrap()
        };
        page = number(&sum("navigation", "decodedBodySize"));
        assets = number(&sum("resource", "decodedBodySize"));
        let timing = "performance.getEntriesByType('navigation')[0]";
        shown.push(number(&format!("{timing}.loadEventEnd")));
        answered.push(number(&format!(
            "{timing}.responseEnd - {timing}.requestStart"
        )));
    }
    assert!(page > 1000 && assets > 1000, "{path}: {page} and {assets}");
    assert!(page + assets <= MOST_BYTES, "{path}: {page} + {assets}");

    let marks = "[...document.querySelectorAll('[data-region]')]\
        .map(it => it.dataset.region + '=' + it.dataset.mark).join(' ')";
    let marks = site.browser.eval(marks);
    let marks = marks.as_str().unwrap();
    let (mut work, mut took, mut update) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds() {
        change(site, if round % 2 == 0 { "pause" } else { "resume" });
        let (worked_before, begun) = (worked(site), Instant::now());
        update = ask_again(site, path, marks).len() as u64;
        took.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
        work.push((worked(site) - worked_before) * 10);
        assert!(update <= MOST_UPDATE, "{path}: an update of {update} bytes");
    }
    // What was gathered a moment ago is not gathered again.
    let begun = Instant::now();
    let _kept = ask_again(site, path, marks);
    let kept = u64::try_from(begun.elapsed().as_micros()).unwrap();
    format!(
        "| `{path}` | {} | {} | {} | {update} | {} | {} | {} |",
        page + assets,
        median(answered),
        median(shown),
        median(took) / 1000,
        median(work),
        kept / 1000,
    )
}

fn cost(mut site: Site, store: &str) -> String {
    let url = site.store.clone();
    hold_locks(&url);
    let mut told = format!(
        "{TASKS} tasks, {LOCKS} locks ({CONTENDED} with a queue), on {store}; at most {MOST_BYTES} \
         bytes and, on an idle machine, {GOAL_MS} ms until it is shown\n\n\
         | page | bytes | ms to the answer | ms until shown | bytes of an update | ms | work in ms \
         | kept, ms |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for path in PAGES {
        let line = weigh(&mut site, path);
        let _ = writeln!(told, "{line}");
    }
    // What a page that is left open costs: it follows a task that runs every two seconds.
    site.browser.look(Look::DESK);
    site.browser.open("/now");
    site.browser
        .until("document.querySelector('.age').dataset.state === 'live'");
    let (before, begun) = (worked(&site), Instant::now());
    until("ten seconds", || {
        (begun.elapsed() >= Duration::from_secs(10)).then_some(())
    });
    let open_ms = (worked(&site) - before) * 10;
    let _ = writeln!(
        told,
        "\n`/now` left open: {open_ms} ms of work in ten seconds"
    );
    let folder = tenure_bed::pictures();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("page-cost-{store}.txt")), &told).unwrap();
    site.assert_clean();
    told
}

#[test]
fn ten_thousand_tasks_and_a_thousand_locks_make_no_page_heavy() {
    let stores = std::env::var(STORES_FROM).unwrap_or_else(|_| "sqlite".to_owned());
    for store in stores.split(',') {
        println!("{}", cost_on(store));
    }
}

fn cost_on(store: &str) -> String {
    if store == "sqlite" {
        return cost(Site::new(&tasks()), store);
    }
    assert_eq!(store, "redis", "{STORES_FROM} has `sqlite` and `redis`");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Redis::builder(Flavour::Redis).tcp().start());
    cost(Site::on(Place::new(), server.url(), &tasks(), 1), store)
}

#[test]
fn one_finds_ones_way_among_ten_thousand_tasks() {
    let mut site = Site::new(&tasks());
    site.browser.open("/tasks");
    // Page by page, and found by a part of the name.
    let first = "document.querySelector('tbody th a').textContent";
    assert_eq!(site.browser.eval(first), "team-0/busy");
    let rows = "document.querySelectorAll('tbody tr').length";
    assert_eq!(site.browser.eval(rows), 50);
    site.browser.click("a[rel=next]");
    site.browser.until("location.search.includes('after=')");
    site.browser
        .until(&format!("{first} === 'team-0/task-00343'"));
    site.browser.fill("input[type=search]", "TASK-0999");
    site.browser.press("Enter");
    site.browser.until(&format!(
        "location.search === '?q=TASK-0999' && {rows} === 10"
    ));
    // What has not changed is not sent again.
    let marks = "[...document.querySelectorAll('[data-region]')]\
        .map(it => it.dataset.region + '=' + it.dataset.mark).join(' ')";
    let marks = site.browser.eval(marks);
    let answer = ask_again(&site, "/tasks?q=TASK-0999", marks.as_str().unwrap());
    assert!(answer.starts_with("HTTP/1.1 304"), "{answer}");
    assert!(answer.len() as u64 <= MOST_UNCHANGED, "{answer}");
    site.assert_clean();
}
