//! A page that is open follows what happens, without being loaded again.

use tenure_bed::{Flavour, Look, Redis};

use crate::program::{Place, until};
use crate::site::Site;

/// Marks the page, so that a page that was loaded again is told apart.
fn mark(site: &mut Site) {
    site.browser
        .until("document.querySelector('.age').dataset.state === 'live'");
    site.browser.eval("globalThis.marked = true");
}

fn assert_marked(site: &mut Site) {
    assert_eq!(
        site.browser.eval("globalThis.marked === true"),
        true,
        "the page was loaded again"
    );
}

const TALKER: &str = r#"
    [[task]]
    name = "talker"
    schedule = "0 0 1 1 *"
    shell = '''
        echo "first line"
        while ! test -e go-on; do sleep 0.05; done
        echo "second line"
        while ! test -e end; do sleep 0.05; done
    '''
"#;

#[test]
fn a_runs_output_appears_while_it_runs() {
    let mut site = Site::new(TALKER);
    site.browser.open("/task?name=talker");
    site.browser.click("#run-now summary");
    site.browser.fill("#run-now input[name=by]", "ann");
    site.browser.click("#run-now button");
    site.browser.until("location.pathname === '/run'");
    mark(&mut site);
    site.browser.until_text("pre.output", "first line");
    site.browser.until_text("[data-region=state]", "running");
    assert_eq!(
        site.browser
            .eval("document.body.textContent.includes('second line')"),
        false
    );
    site.picture("test-output-live");
    site.place.write("go-on", "");
    site.browser.until_text("pre.output", "second line");
    site.place.write("end", "");
    site.browser.until_text("[data-region=state]", "succeeded");
    site.browser.until_text("[data-region=story]", "succeeded");
    assert_marked(&mut site);
    site.assert_clean();
}

#[test]
fn a_locks_queue_moves_on_the_page() {
    let mut site = Site::new(TALKER);
    let _first = site.holder("door", "first");
    site.until_held("first");
    let _second = site.holder("door", "second");
    site.until_waiting("door", 1);
    let _third = site.holder("door", "third");
    site.until_waiting("door", 2);
    site.browser.open("/lock?key=door");
    mark(&mut site);
    let rows = |count: usize| {
        format!("document.querySelectorAll('[data-region=queue] tbody tr').length === {count}")
    };
    site.browser.until(&rows(2));
    let fence = site
        .browser
        .eval("document.getElementById('fence').textContent");
    site.picture("test-queue");

    site.place.write("free-first", "");
    site.until_held("second");
    site.browser.until(&rows(1));
    site.browser.until(&format!(
        "document.getElementById('fence').textContent !== {fence}"
    ));
    site.place.write("free-second", "");
    site.until_held("third");
    site.browser
        .until_text("[data-region=queue]", "Nobody waits.");
    site.place.write("free-third", "");
    site.browser.until_text("[data-region=lock]", "free");
    assert_marked(&mut site);
    site.assert_clean();
}

#[test]
fn a_picture_wider_than_a_phone_begins_at_now_and_stays_where_it_is_moved() {
    let busy = "[[task]]\nname = \"busy\"\nschedule = \"* * * * * *\"\ncommand = [\"true\"]\n";
    let mut site = Site::new(busy);
    site.browser.look(Look::PHONE);
    site.browser.open("/now");
    mark(&mut site);
    let region = "document.querySelector('[data-region=timeline]')";
    let wide = format!("{region}.querySelector('.scroll')");
    let moved = site.browser.eval(&format!("{wide}.scrollLeft > 100"));
    assert_eq!(moved, true, "it begins with what was an hour ago");
    // The middle of what is seen of the plot, beside its names, is now.
    let edge = |of: &str| format!("{of}.getBoundingClientRect().right");
    let (names, end) = (
        edge(&format!("{wide}.querySelector('.names')")),
        edge(&wide),
    );
    let now = format!("{wide}.querySelector('.now').getBoundingClientRect().x");
    let off = format!("Math.abs({now} - ({names} + {end}) / 2) < 30");
    assert_eq!(site.browser.eval(&off), true);
    site.browser
        .eval(&format!("{wide}.focus(); {wide}.scrollLeft = 42"));
    let seen = site.browser.eval(&format!("{region}.dataset.mark"));
    site.browser
        .until(&format!("{region}.dataset.mark !== {seen}"));
    assert_eq!(site.browser.eval(&format!("{wide}.scrollLeft")), 42);
    let focused = format!("document.activeElement === {wide}");
    assert_eq!(site.browser.eval(&focused), true);
    assert_marked(&mut site);
    site.assert_clean();
}

#[test]
fn what_is_done_on_one_node_is_seen_at_the_others_on_redis() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Redis::builder(Flavour::Redis).tcp().start());
    let mut site = Site::on(Place::new(), server.url(), TALKER, 3);
    site.browser.open("/nodes");
    mark(&mut site);
    site.browser
        .until("document.querySelectorAll('tbody tr').length === 3");
    site.browser.until_text("h2", "3 alive");
    assert_marked(&mut site);
    site.browser.open("/task?name=talker");
    mark(&mut site);
    // Somebody else, somewhere else.
    site.run(&["pause", "talker", "--why", "by the command line"]);
    site.browser
        .until_text("[data-region=standing]", "by the command line");
    site.browser
        .until("document.querySelector('#resume') !== null");
    site.run(&["resume", "talker"]);
    site.browser
        .until("document.querySelector('#pause') !== null");
    site.browser.open("/now");
    mark(&mut site);
    site.run(&["trigger", "talker"]);
    site.browser.until_text("[data-region=running]", "talker");
    site.place.write("go-on", "");
    site.place.write("end", "");
    site.browser
        .until_text("[data-region=running]", "Nothing is running.");
    assert_marked(&mut site);
    // The store's page is about Redis.
    site.browser.open("/store");
    site.browser.until_text("main", "redis");
    site.assert_clean();
}

#[test]
fn a_page_says_how_old_it_is_and_that_its_server_is_gone() {
    let mut site = Site::new(TALKER);
    site.browser.open("/now");
    mark(&mut site);
    site.browser.until_text(".age", "live, data is");
    site.nodes.clear();
    site.browser
        .until("document.querySelector('.age').dataset.state === 'lost'");
    site.browser.until_text(".age", "connection lost, data is");
    site.browser
        .until_text("#announce", "The connection to the server is lost.");
    // What was known stays on the page.
    site.browser.until_text("[data-region=figures]", "tasks");
    assert_marked(&mut site);
    site.picture("test-lost");
    site.assert_clean();
}

#[test]
fn what_somebody_is_about_to_send_does_not_change_under_their_hands() {
    let mut site = Site::new(TALKER);
    site.browser.look(Look::DESK);
    site.browser.open("/task?name=talker");
    mark(&mut site);
    site.browser.click("#pause summary");
    site.browser
        .fill("#pause input[name=why]", "half a sentence");
    site.run(&["pause", "talker", "--why", "quicker"]);
    site.browser.until_text("[data-region=standing]", "quicker");
    let typed = site
        .browser
        .eval("document.querySelector('#pause input[name=why]').value");
    assert_eq!(typed, "half a sentence");
    // Folded away, it follows.
    site.browser.click("#pause summary");
    site.browser
        .until("document.querySelector('#resume') !== null");
    until("the store to say so", || {
        (!site.task("talker")["paused"].is_null()).then_some(())
    });
    assert_marked(&mut site);
    site.assert_clean();
}
