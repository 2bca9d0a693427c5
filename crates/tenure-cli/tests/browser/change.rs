//! What is done from a page is done, and the store says so afterwards: with scripts and without.

use tenure_bed::Look;

use crate::program::until;
use crate::site::Site;

const TASKS: &str = r#"
    [[task]]
    name = "a/b c"
    schedule = "0 0 1 1 *"
    shell = "echo ran"
"#;

#[test]
fn a_task_is_paused_and_resumed_from_its_page_by_somebody_for_a_reason() {
    let mut site = Site::new(TASKS);
    for look in [Look::DESK, Look::PLAIN] {
        site.browser.look(look);
        site.browser.open("/task?name=a%2Fb%20c");
        site.browser.click("#pause summary");
        site.browser.fill("#pause input[name=by]", "ann");
        site.browser
            .fill("#pause input[name=why]", "<b>deploying</b> & more");
        site.browser.choose("#pause select", "1h");
        site.browser.click("#pause button");
        site.browser.until_text("main", "The task is paused.");
        site.browser
            .until_text("main", "Paused by ann: <b>deploying</b> & more");
        let pause = site.task("a/b c")["paused"].clone();
        assert_eq!(pause["by"], "ann", "{pause}");
        assert_eq!(pause["why"], "<b>deploying</b> & more");
        assert!(pause["until"].is_string(), "{pause}");
        site.browser.open("/tasks?show=paused");
        site.browser.until_text("tbody", "a/b c");

        site.browser.open("/task?name=a%2Fb%20c");
        site.browser.fill("#resume input[name=by]", "bob");
        site.browser
            .fill("#resume input[name=why]", "it is deployed");
        site.browser.click("#resume button");
        site.browser.until_text("main", "The task goes on.");
        assert!(site.task("a/b c")["paused"].is_null());
        site.browser.open("/tasks?show=paused");
        site.browser.until_text("main", "No task fits");
    }
    site.assert_clean();
}

#[test]
fn e105_a_run_is_asked_for_from_a_page_once_however_often_the_form_is_sent() {
    let mut site = Site::new(TASKS);
    for (look, runs) in [(Look::DESK, 1), (Look::PLAIN, 2)] {
        site.browser.look(look);
        site.browser.open("/task?name=a%2Fb%20c");
        site.browser.click("#run-now summary");
        site.browser.fill("#run-now input[name=by]", "ann");
        site.browser.fill("#run-now input[name=why]", "a test");
        site.browser.click("#run-now button");
        site.browser.until("location.pathname === '/run'");
        site.browser.until_text("main", "The run is asked for.");
        let history = || site.json(&["history", "a/b c", "--json"]);
        until("the run to end", || {
            let history = history();
            let done = history.iter().filter(|run| run["state"] == "succeeded");
            (done.count() == runs).then_some(())
        });
    }
    // The same form, sent again and again as an impatient person or a proxy may.
    site.browser.look(Look::DESK);
    site.browser.open("/task?name=a%2Fb%20c");
    let again = "(async () => {
        const form = document.querySelector('#run-now form');
        const answers = [];
        for (const _ of [1, 2, 3]) {
            const body = new URLSearchParams(new FormData(form));
            answers.push((await fetch(form.action, { method: 'POST', body })).url);
        }
        return new Set(answers).size;
    })()";
    assert_eq!(site.browser.eval(again), 1);
    assert_eq!(site.json(&["history", "a/b c", "--json"]).len(), 3);
    site.assert_clean();
}

#[test]
fn a_backfill_is_asked_for_and_ended_from_a_page() {
    let mut site =
        Site::new("[[task]]\nname = \"slow\"\nschedule = \"0 * * * *\"\nshell = \"sleep 600\"\n");
    site.browser.open("/task?name=slow");
    site.browser.click("#backfill summary");
    let back = "new Date(Date.now() - 5 * 3600_000).toISOString().slice(0, 19)";
    let from = site.browser.eval(back);
    let to = site
        .browser
        .eval("new Date(Date.now() - 60_000).toISOString().slice(0, 19)");
    site.browser
        .fill("#backfill input[name=from]", from.as_str().unwrap());
    site.browser
        .fill("#backfill input[name=to]", to.as_str().unwrap());
    site.browser.fill("#backfill input[name=by]", "ann");
    site.browser
        .fill("#backfill input[name=why]", "the source was down");
    site.browser.click("#backfill button");
    site.browser.until_text("main", "The backfill has begun.");
    site.browser
        .until_text("[data-region=backfills]", "the source was down");
    site.browser.click("[data-region=backfills] form button");
    site.browser
        .until_text("main", "The backfill has been ended.");
    site.browser
        .until_text("[data-region=backfills]", "cancelled");
    site.assert_clean();
}

#[test]
fn e104_a_lock_is_taken_only_from_the_holder_that_was_seen() {
    let mut site = Site::new(TASKS);
    let _first = site.holder("invoice/42", "first");
    site.until_held("first");
    let fence = site.lock("invoice/42")["fence"].as_u64().unwrap();
    site.browser.open("/lock?key=invoice%2F42");
    site.browser.click("#unlock summary");
    site.browser.fill("#unlock input[name=by]", "ann");
    site.browser
        .fill("#unlock input[name=why]", "the machine is gone");
    // The page does not even send another number; whoever gets round that is refused.
    site.browser
        .eval("document.querySelector('#unlock form').noValidate = true");
    site.browser
        .fill("#unlock input[name=fence]", &(fence + 1).to_string());
    site.browser.click("#unlock button");
    site.browser.until_text("main", "nothing was changed");
    assert_eq!(site.lock("invoice/42")["fence"], fence);

    site.browser.open("/lock?key=invoice%2F42");
    site.browser.click("#unlock summary");
    site.browser.fill("#unlock input[name=by]", "ann");
    site.browser
        .fill("#unlock input[name=fence]", &fence.to_string());
    site.browser.click("#unlock button");
    site.browser
        .until_text("main", "The lock was taken from its holder.");
    until("the lock to be free", || {
        let fence_now = site.lock("invoice/42")["fence"].as_u64();
        (fence_now != Some(fence)).then_some(())
    });
    site.assert_clean();
}
