//! The pictures of the README: three nodes, a task that fails, a lock that is stuck with a queue,
//! and a task that is paused. `cargo xtask screenshots` runs this and keeps the pictures.

use std::time::{Duration, Instant};

use tenure_bed::{Flavour, Look, Redis};

use crate::program::{PATIENCE, Place};
use crate::site::Site;

const TASKS: &str = r#"
    [[task]]
    name = "rates"
    schedule = "*/3 * * * * *"
    shell = "for page in 1 2 3; do echo \"page $page of 3: 1200 rates\"; sleep 0.3; done"
    [[task]]
    name = "backup-db"
    schedule = "*/4 * * * * *"
    shell = '''
        echo "dumping database shop to /backup/shop.dump"
        echo "pg_dump: error: connection to server at db-1 failed: No space left on device" >&2
        exit 1
    '''
    [[task]]
    name = "mail/digest"
    schedule = "*/2 * * * * *"
    command = ["true"]
    [[task]]
    name = "reindex"
    schedule = "*/10 * * * * *"
    shell = "for part in 1 2 3 4 5 6; do echo \"part $part of 40 written\"; sleep 1; done"
    [[task]]
    name = "invoices"
    schedule = "0 30 6 L * *"
    zone = "Europe/Berlin"
    command = ["true"]
    [[task]]
    name = "cleanup"
    schedule = "0 0 * * * *"
    command = ["true"]
    [[task]]
    name = "monthly-report"
    schedule = "0 0 4 1 * *"
    concurrency = 3
    command = ["true"]
"#;

/// Set for pictures that people look at: then the lock has been waited for long enough to be told
/// as trouble, which takes a minute.
const PATIENT: &str = "TENURE_SCENE_PATIENT";

#[test]
fn a_cluster_in_trouble_shows_its_trouble_first_on_redis() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Redis::builder(Flavour::Redis).tcp().start());
    let mut site = Site::on(Place::new(), server.url(), TASKS, 3);
    site.run(&[
        "pause",
        "invoices",
        "--why",
        "the bank's test system is down",
    ]);
    let _holder = site.holder("invoice/4711", "holder");
    site.until_held("holder");
    let mut waiters = Vec::new();
    for at in 1..=3 {
        waiters.push(site.holder("invoice/4711", &format!("waiter-{at}")));
        site.until_waiting("invoice/4711", at);
    }
    let _other = site.holder("nightly-report", "other");
    site.until_held("other");
    // A little history: the failing task has failed several times, the others have run.
    site.browser.open("/task?name=backup-db");
    site.browser
        .until("document.querySelectorAll('[data-region=runs] tr.bad').length >= 5");
    let run = "document.querySelector('[data-region=runs] tr.bad a[href^=\"run?\"]')";
    let run = site.browser.eval(&format!("{run}.getAttribute('href')"));
    let run = format!("/{}", run.as_str().unwrap());
    let mut troubles = vec!["backup-db", "1 task paused"];
    if std::env::var_os(PATIENT).is_some() {
        troubles.push("invoice/4711: 3 waiting");
        site.browser.open("/now");
        let told = "document.querySelector('[data-region=wrong]').textContent\
            .includes('invoice/4711')";
        let end = Instant::now() + 2 * PATIENCE;
        while site.browser.eval(told) != true {
            assert!(Instant::now() < end, "nobody tells of the lock");
            std::thread::park_timeout(Duration::from_millis(250));
        }
    }
    let pages = [
        ("now", "/now", "backup-db"),
        ("tasks", "/tasks", "monthly-report"),
        ("run", run.as_str(), "No space left on device"),
        ("locks", "/locks", "nightly-report"),
        ("nodes", "/nodes", "3 alive"),
        ("store", "/store", "Findings"),
    ];
    for (look, of) in [
        (Look::DESK, "light"),
        (Look::NIGHT, "dark"),
        (Look::PHONE, "phone"),
    ] {
        site.browser.look(look);
        for (name, path, text) in pages {
            site.browser.open(path);
            site.browser.until_text("main", text);
            site.browser
                .until("document.querySelector('.age').dataset.state === 'live'");
            let path = crate::site::picture(&format!("readme-{name}-{of}"));
            site.browser.screenshot(&path, false);
        }
        // What is wrong is told before anything else.
        site.browser.open("/now");
        site.browser
            .until_text("[data-region=wrong] h2", "need attention");
        for trouble in &troubles {
            site.browser.until_text("[data-region=wrong]", trouble);
        }
        let first = "document.querySelector('main [data-region]').dataset.region";
        assert_eq!(site.browser.eval(first), "wrong");
    }
    site.assert_clean();
}
