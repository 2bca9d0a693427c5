//! Whatever others write into a store is text on a page (F24).

use std::os::unix::fs::PermissionsExt as _;

use tenure_bed::Look;

use crate::program::until;
use crate::site::{Running, Site};

/// Markup that would do something if it were taken for markup.
const MARKUP: &str = "\"'><img src=//127.0.0.1:9/x onerror=alert(1)><script>alert(2)</script>";
/// The same without a slash, for the name of a file.
const FLAT: &str = "\"'><img src=x onerror=alert(3)><svg onload=alert(4)>";
/// A name that would be a link's end.
const LINK: &str = "javascript:alert(5)";

fn tasks() -> String {
    let quoted = toml::Value::String(MARKUP.to_owned()).to_string();
    let link = toml::Value::String(LINK.to_owned()).to_string();
    format!(
        r#"
            [[task]]
            name = {quoted}
            schedule = "* * * * * *"
            env = {{ X = {quoted} }}
            shell = '''
                echo "$X"
                printf '\033]8;;javascript:alert(6)\033\\link\033]8;;\033\\ \033[31mred\033[0m'
                exit 3
            '''
            [[task]]
            name = {link}
            schedule = "0 0 1 1 *"
            shell = 'while ! test -e end; do sleep 0.05; done'
        "#
    )
}

/// A holder whose label is markup: it is made from the name of the program.
fn labelled(site: &Site, key: &str) -> Running {
    let program = site
        .place
        .write(FLAT, "#!/bin/sh\necho > held-labelled\nexec sleep 600\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("./{FLAT}");
    Running(site.tenure(&["lock", key, "--", &path]).spawn().unwrap())
}

#[test]
fn f24_whatever_a_store_holds_is_text_on_every_page() {
    let mut site = Site::new(&tasks());
    let _holder = labelled(&site, MARKUP);
    until("the lock", || {
        site.place.path("held-labelled").exists().then_some(())
    });
    let _waiter = site.holder(MARKUP, "waiter");
    site.until_waiting(MARKUP, 1);
    let encoded = |text: &str| {
        let digits = text.bytes().map(|byte| format!("%{byte:02X}"));
        digits.collect::<Vec<_>>().concat()
    };
    let (task, link) = (encoded(MARKUP), encoded(LINK));
    // Who and why are markup as well.
    site.browser.open(&format!("/task?name={link}"));
    site.browser.click("#pause summary");
    site.browser.fill("#pause input[name=by]", MARKUP);
    site.browser.fill("#pause input[name=why]", MARKUP);
    site.browser.click("#pause button");
    site.browser.until_text("main", "The task is paused.");
    site.browser.click("#run-now summary");
    site.browser.fill("#run-now input[name=by]", MARKUP);
    site.browser.fill("#run-now input[name=why]", MARKUP);
    site.browser.click("#run-now button");
    site.browser.until_text("main", "The run is asked for.");
    let asked = site.browser.path();
    site.browser.open(&format!("/task?name={task}"));
    let failed = "document.querySelector('tr.bad a[href^=\"run?\"]')";
    site.browser.until(&format!("{failed} !== null"));
    let run = site.browser.eval(&format!("{failed}.getAttribute('href')"));
    let run = format!("/{}", run.as_str().unwrap());
    for look in [Look::DESK, Look::PLAIN] {
        site.browser.look(look);
        for (path, text) in [
            ("/now".to_owned(), MARKUP),
            ("/tasks".to_owned(), MARKUP),
            (format!("/tasks?q={task}"), MARKUP),
            (format!("/tasks?q={task}&show={task}&done={task}"), MARKUP),
            (format!("/task?name={task}&done={task}"), MARKUP),
            (format!("/task?name={link}"), MARKUP),
            (run.clone(), "link red"),
            (asked.clone(), MARKUP),
            ("/locks".to_owned(), FLAT),
            (format!("/locks?q={task}"), FLAT),
            (format!("/lock?key={task}"), FLAT),
            ("/nodes".to_owned(), "alive"),
            ("/store".to_owned(), "Findings"),
            (
                format!("/task?name={}", encoded("<script>alert(7)</script>")),
                "<script>alert(7)",
            ),
            (
                format!("/run?id={}", encoded("<img src=x onerror=alert(8)>")),
                "no such",
            ),
        ] {
            site.browser.open(&path);
            if text != "no such" {
                site.browser.until_text("main", text);
            }
            let planted = "document.querySelectorAll('main img, main script, [onerror], [onload], \
                a[href^=\"javascript:\"]').length";
            assert_eq!(site.browser.eval(planted), 0, "{path}");
        }
        site.assert_clean();
    }
    // A page that is open has its regions replaced: that is no way in either.
    site.browser.look(Look::DESK);
    site.browser.open("/now");
    site.browser
        .until("document.querySelector('.age').dataset.state === 'live'");
    let mark = "document.querySelector('[data-region=failed]').dataset.mark";
    let before = site.browser.eval(mark);
    site.browser.until(&format!("{mark} !== {before}"));
    site.picture("test-hostile");
    site.assert_clean();
}
