//! The browser shows pages as people see them, and tells what a page should never do.

#![allow(clippy::unwrap_used, reason = "a test's helper may fail the test")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use tenure_bed::{Browser, Look};

/// Serves one page for every path, and returns where.
fn serve(policy: &'static str, page: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while asked.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Security-Policy: {policy}\
                 \r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    origin
}

const GOOD: &str = "<!doctype html><html lang=en><title>Good</title><link rel=icon href=data:,>\
    <style>body{background:#fff}@media(prefers-color-scheme:dark){body{background:#000}}</style>\
    <main><h1>Hello</h1><form action=/sent><label>Name <input name=name></label>\
    <button>Send</button></form></main>";

#[test]
fn a_browser_does_what_a_person_does_and_sees_what_they_see() {
    let origin = serve("img-src data:", GOOD);
    let mut browser = Browser::start(&origin, Look::DESK);
    assert_eq!(browser.open("/"), 200);
    browser.until_text("h1", "Hello");
    assert_eq!(browser.bytes("/"), (GOOD.len() as u64, GOOD.len() as u64));
    assert_eq!(browser.barriers(), [""; 0]);
    browser.fill("input", "a b");
    browser.click("button");
    browser.until("location.pathname === '/sent'");
    assert_eq!(browser.path(), "/sent?name=a+b");
    let back = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.eval(back), "rgb(255, 255, 255)");
    for (look, colour, width) in [
        (Look::NIGHT, "rgb(0, 0, 0)", 1280),
        (Look::PHONE, "rgb(255, 255, 255)", 360),
        (Look::PLAIN, "rgb(255, 255, 255)", 1280),
    ] {
        browser.look(look);
        browser.open("/");
        assert_eq!(browser.eval(back), colour);
        assert_eq!(browser.eval("innerWidth"), width);
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_browser_tells_what_a_page_should_never_do() {
    let page = "<!doctype html><html lang=en><title>Bad</title><link rel=icon href=data:,><h1>Bad\
        </h1><img src=http://127.0.0.1:9/elsewhere><script>alert('hello')</script>\
        <script>throw new Error('broken')</script>";
    let mut browser = Browser::start(&serve("default-src * 'unsafe-inline'", page), Look::DESK);
    browser.open("/");
    browser.until_text("h1", "Bad");
    let told = browser.complaints().join("\n");
    for expected in [
        "dialog: hello",
        "broken",
        "request: http://127.0.0.1:9/elsewhere",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert_eq!(browser.complaints(), [""; 0], "told once");

    let mut browser = Browser::start(&serve("default-src 'self'", page), Look::DESK);
    browser.open("/");
    browser.until("refusedByPolicy.length > 1");
    let told = browser.complaints().join("\n");
    assert!(told.contains("policy: script-src-elem inline"), "{told}");
    assert!(!told.contains("dialog"), "{told}");
    let barriers = browser.barriers().join("\n");
    assert!(barriers.contains("image-alt"), "{barriers}");
}
