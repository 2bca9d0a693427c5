//! Every page shows what it is for, to everybody: light, dark, narrow, without scripts, by keys.

use tenure_bed::Look;

use crate::site::Site;

const TASKS: &str = r#"
    [[task]]
    name = "well"
    schedule = "* * * * * *"
    command = ["true"]
    [[task]]
    name = "ill"
    schedule = "* * * * * *"
    shell = "echo it broke >&2; exit 3"
    [[task]]
    name = "yearly"
    schedule = "0 0 1 1 *"
    zone = "Europe/Berlin"
    command = ["true"]
"#;

/// Every page, and a text that stands on it.
const PAGES: [(&str, &str, &str); 8] = [
    ("now", "/now", "things need attention"),
    ("tasks", "/tasks", "yearly"),
    ("task", "/task?name=ill", "failing"),
    ("run", "", "it broke"),
    ("locks", "/locks", "invoice/42"),
    ("lock", "/lock?key=invoice%2F42", "Take it from its holder"),
    ("nodes", "/nodes", "this page comes from here"),
    ("store", "/store", "Findings"),
];

/// A site where something happened, and the address of a run that failed.
fn lived_in() -> (Site, String, crate::site::Running) {
    let mut site = Site::new(TASKS);
    site.run(&["pause", "yearly", "--why", "not this year"]);
    let holder = site.holder("invoice/42", "one");
    site.until_held("one");
    site.browser.open("/task?name=ill");
    let failed = "document.querySelector('tr.bad a[href^=\"run?\"]')";
    site.browser.until(&format!("{failed} !== null"));
    let run = site.browser.eval(&format!("{failed}.getAttribute('href')"));
    let run = format!("/{}", run.as_str().unwrap());
    (site, run, holder)
}

fn assert_readable(look: Look, of: &str) {
    let (mut site, run, _holder) = lived_in();
    site.browser.look(look);
    for (name, path, text) in PAGES {
        let path = if path.is_empty() { &run } else { path };
        assert_eq!(site.browser.open(path), 200, "{path}");
        site.browser.until_text("main", text);
        let over = site
            .browser
            .eval("document.documentElement.scrollWidth - innerWidth");
        assert_eq!(over, 0, "{name}, {of}: wider than the window");
        // What scripts add is no barrier either; those who run none see the same page.
        if look.script {
            assert_eq!(site.browser.barriers(), [""; 0], "{name}, {of}");
        }
        site.picture(&format!("test-{name}-{of}"));
    }
    let paper = site
        .browser
        .eval("getComputedStyle(document.body).backgroundColor");
    assert_eq!(paper == "rgb(14, 17, 22)", look.dark, "{of}: {paper}");
    site.assert_clean();
}

#[test]
fn every_page_can_be_read_by_day() {
    assert_readable(Look::DESK, "light");
}

#[test]
fn every_page_can_be_read_by_night() {
    assert_readable(Look::NIGHT, "dark");
}

#[test]
fn every_page_can_be_read_on_a_phone() {
    assert_readable(Look::PHONE, "phone");
}

#[test]
fn every_page_can_be_read_without_scripts() {
    assert_readable(Look::PLAIN, "plain");
}

/// Where the names of the timeline's lanes stand, what is drawn over the middle of each, and where
/// the plot begins, after it was moved sideways by so many pixels.
fn lanes_after(site: &mut Site, pixels: i64) -> serde_json::Value {
    site.browser.eval(&format!(
        "(() => {{
            const wide = document.querySelector('[data-region=timeline] .scroll');
            wide.scrollIntoView({{ block: 'center' }});
            wide.scrollLeft = {pixels};
            const frame = wide.getBoundingClientRect();
            const names = [...wide.querySelectorAll('.name')].map((it) => {{
                const box = it.getBoundingClientRect();
                const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
                const top = document.elementFromPoint(x, y);
                return {{
                    text: it.textContent,
                    inside: box.left >= frame.left - 1 && box.right <= frame.right + 1,
                    covered: top === null || top.closest('.names') === null,
                    y: Math.round(box.top),
                }};
            }});
            // Nor does the plot come out again on the other side of the names.
            const bottom = wide.querySelector('.names').getBoundingClientRect().bottom;
            const edge = document.elementFromPoint(frame.left + 3, bottom - 8);
            const lanes = [...wide.querySelectorAll('.chart:not(.names) rect')];
            return {{
                past: (edge?.closest('.chart:not(.names)') ?? null) !== null,
                moved: Math.round(wide.scrollLeft),
                room: wide.scrollWidth - wide.clientWidth,
                names,
                lanes: lanes.map((it) => Math.round(it.getBoundingClientRect().top)),
                paper: getComputedStyle(wide.querySelector('.names')).backgroundColor,
                sheet: getComputedStyle(wide.closest('.sheet')).backgroundColor,
            }};
        }})()"
    ))
}

#[test]
fn the_names_of_lanes_stay_while_the_timeline_is_moved_on_a_phone() {
    let mut site = Site::new(TASKS);
    for (look, of) in [
        (Look::PHONE, "light"),
        (
            Look {
                dark: true,
                ..Look::PHONE
            },
            "dark",
        ),
    ] {
        site.browser.look(look);
        site.browser.open("/now");
        site.browser
            .until("document.querySelectorAll('[data-region=timeline] .name').length === 2");
        // It begins with now in the middle of what the names leave free.
        let begun = site.browser.eval(
            "(() => {
                const wide = document.querySelector('[data-region=timeline] .scroll');
                const left = wide.querySelector('.names').getBoundingClientRect().right;
                const right = wide.getBoundingClientRect().right;
                const now = wide.querySelector('.now').getBoundingClientRect().left;
                return Math.abs(now - (left + right) / 2);
            })()",
        );
        assert!(begun.as_f64().unwrap() < 24.0, "{of}: now is {begun} off");
        for pixels in [0, 200, 100_000] {
            let seen = lanes_after(&mut site, pixels);
            let (moved, room) = (&seen["moved"], &seen["room"]);
            assert!(room.as_i64().unwrap() > 300, "{of}: {seen}");
            assert_eq!(*moved, pixels.min(room.as_i64().unwrap()), "{of}");
            let names = seen["names"].as_array().unwrap();
            assert_eq!(names.len(), 2, "{of}: {seen}");
            for name in names {
                assert_eq!(name["inside"], true, "{of}, {pixels}: {seen}");
                assert_eq!(name["covered"], false, "{of}, {pixels}: {seen}");
                // The runs of a lane stand beside its name.
                let y = name["y"].as_i64().unwrap();
                let lanes = seen["lanes"].as_array().unwrap();
                let beside = |lane: &serde_json::Value| (lane.as_i64().unwrap() - y).abs() <= 6;
                assert!(lanes.iter().any(beside), "{of}, {pixels}: {seen}");
            }
            assert_eq!(seen["past"], false, "{of}, {pixels}: {seen}");
            assert_eq!(
                seen["paper"], seen["sheet"],
                "{of}: the plot shines through"
            );
            site.picture(&format!("test-timeline-{of}-{pixels}"));
        }
    }
    site.assert_clean();
}

#[test]
fn pages_are_reached_and_left_by_keys_alone() {
    let mut site = Site::new(TASKS);
    site.browser.open("/now");
    site.browser
        .until("document.querySelector('.age').dataset.state === 'live'");
    site.browser.press("Tab");
    let focused = "document.activeElement.textContent";
    assert_eq!(site.browser.eval(focused), "Skip to the content");
    site.browser.press("Enter");
    site.browser.until("location.hash === '#main'");
    for (keys, path) in [
        (["g", "t"], "/tasks"),
        (["g", "l"], "/locks"),
        (["g", "o"], "/nodes"),
        (["g", "s"], "/store"),
        (["g", "n"], "/now"),
    ] {
        for key in keys {
            site.browser.press(key);
        }
        site.browser
            .until(&format!("location.pathname === '{path}'"));
        // Keys are heard as soon as the page's script has run.
        site.browser
            .until("document.querySelector('.age').dataset.state !== undefined");
    }
    site.browser.press("g");
    site.browser.press("t");
    site.browser.until("location.pathname === '/tasks'");
    site.browser
        .until("document.querySelector('.age').dataset.state !== undefined");
    site.browser.press("/");
    site.browser
        .until("document.activeElement.type === 'search'");
    site.browser.press("y");
    site.browser.press("Enter");
    site.browser.until("location.search === '?q=y'");
    site.browser
        .until("document.querySelectorAll('tbody tr').length === 1");
    site.browser
        .until("document.querySelector('.age').dataset.state !== undefined");
    site.browser.press("j");
    site.browser
        .until("document.activeElement.textContent === 'yearly'");
    site.browser.press("?");
    site.browser.until("document.getElementById('keys').open");
    site.assert_clean();
}

/// Presses Tab until what has the focus fits.
fn tab_to(site: &mut Site, selector: &str) {
    let focused = format!("document.activeElement.matches({selector:?})");
    let is_there = (0..80).any(|_| {
        site.browser.press("Tab");
        site.browser.eval(&focused) == true
    });
    assert!(is_there, "no key leads to {selector}");
}

#[test]
fn a_task_is_paused_and_resumed_by_keys_alone() {
    let mut site = Site::new(TASKS);
    site.browser.open("/tasks?q=yearly");
    site.browser
        .until("document.querySelector('.age').dataset.state === 'live'");
    site.browser.press("j");
    site.browser.press("Enter");
    site.browser.until("location.pathname === '/task'");
    tab_to(&mut site, "#pause summary");
    site.browser.press("Enter");
    tab_to(&mut site, "#pause input[name=by]");
    site.browser.press("m");
    site.browser.press("e");
    tab_to(&mut site, "#pause button");
    site.browser.press("Space");
    site.browser.until_text("main", "The task is paused.");
    assert_eq!(site.task("yearly")["paused"]["by"], "me");
    tab_to(&mut site, "#resume input[name=by]");
    site.browser.press("m");
    site.browser.press("Enter");
    site.browser.until_text("main", "The task goes on.");
    assert!(site.task("yearly")["paused"].is_null());
    site.assert_clean();
}

#[test]
fn e97_what_is_not_there_is_told_as_a_page() {
    let mut site = Site::new(TASKS);
    for (path, status) in [
        ("/task?name=nobody", 404),
        ("/run?id=nobody%402026-11-21T03%3A00%3A00.000Z%231", 404),
        ("/run?id=x", 400),
        ("/task", 400),
        ("/lock", 400),
        ("/tasks?limit=-1", 400),
        ("/nothing", 404),
    ] {
        assert_eq!(site.browser.open(path), status, "{path}");
    }
    assert_eq!(site.browser.open("/lock?key=free"), 200);
    site.browser.until_text("main", "free");
    site.assert_clean();
}
