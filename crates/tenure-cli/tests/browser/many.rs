//! Ten thousand tasks: what a page costs, and that one finds one's way.

use std::fmt::Write as _;

use crate::site::Site;

const TASKS: usize = 10_000;
/// What a page may have, with everything it needs.
const MOST_BYTES: u64 = 200_000;

#[test]
fn ten_thousand_tasks_make_no_page_heavy() {
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
    let mut site = Site::new(&tasks);
    for path in ["/now", "/tasks"] {
        site.browser.open(path);
        site.browser
            .until("document.querySelector('.age').dataset.state === 'live'");
        let weigh = |kind: &str| {
            format!(
                "performance.getEntriesByType('{kind}').filter(it => !/api/.test(it.name))\
                 .reduce((sum, it) => sum + it.decodedBodySize, 0)"
            )
        };
        let page = site.browser.eval(&weigh("navigation")).as_u64().unwrap();
        let assets = site.browser.eval(&weigh("resource")).as_u64().unwrap();
        assert!(page > 1000 && assets > 1000, "{page} and {assets}");
        let times = site.browser.eval(
            "(({ responseEnd, domContentLoadedEventEnd, loadEventEnd, requestStart }) => \
             [responseEnd - requestStart, domContentLoadedEventEnd, loadEventEnd].map(Math.round))\
             (performance.getEntriesByType('navigation')[0])",
        );
        println!(
            "{TASKS} tasks, {path}: {page} bytes and {assets} of assets (limit {MOST_BYTES}); \
             answered, ready, loaded after {times} ms (limit 300 on an idle machine)"
        );
        assert!(
            page + assets <= MOST_BYTES,
            "{path}: {page} + {assets} bytes"
        );
    }
    // Page by page, and found by a part of the name.
    let first = "document.querySelector('tbody th a').textContent";
    assert_eq!(site.browser.eval(first), "team-0/task-00000");
    let rows = "document.querySelectorAll('tbody tr').length";
    assert_eq!(site.browser.eval(rows), 50);
    site.browser.click("a[rel=next]");
    site.browser.until("location.search.includes('after=')");
    site.browser
        .until(&format!("{first} === 'team-0/task-00350'"));
    site.browser.fill("input[type=search]", "TASK-0999");
    site.browser.press("Enter");
    site.browser.until(&format!(
        "location.search === '?q=TASK-0999' && {rows} === 10"
    ));
    // What has not changed is not sent again.
    let status = "fetch(location.href, { headers: { 'Tenure-Regions': \
        [...document.querySelectorAll('[data-region]')]\
        .map(it => it.dataset.region + '=' + it.dataset.mark).join(' ') } })\
        .then(answer => answer.status)";
    assert_eq!(site.browser.eval(status), 304);
    site.assert_clean();
}
