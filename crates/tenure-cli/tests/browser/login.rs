//! The login page: in with a token or a password, out again, and what each right is shown.

use argon2::PasswordHasher as _;
use tenure_bed::Look;

use crate::program::{Place, until};
use crate::site::Site;

const TASKS: &str = r#"
    [[task]]
    name = "quiet"
    schedule = "0 0 1 1 *"
    command = ["true"]
"#;

/// The hash of a password, cheap on purpose.
fn hash(password: &str) -> String {
    let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
    let hash = hasher.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef");
    hash.unwrap().to_string()
}

/// A site that asks who one is, and its tokens: to look, to change, to take locks.
fn asking() -> (Site, [String; 3]) {
    let place = Place::new();
    let tokens = ["read", "change", "force"].map(|right| {
        let arguments = ["token", right, "--into", "tokens", "--right", right];
        let made = crate::program::ok(place.run(arguments));
        made.trim().to_owned()
    });
    let dashboard = format!(
        "[dashboard]\ntokens_file = \"tokens\"\nreaders = {{ ann = \"{}\" }}\n{TASKS}",
        hash("s3cret")
    );
    let store = place.store();
    (Site::on(place, store, &dashboard, 1), tokens)
}

fn log_in(site: &mut Site, token: &str) {
    site.browser.open("/now");
    assert_eq!(site.browser.path(), "/login");
    site.browser.fill("input[name=token]", token);
    site.browser.click("button");
}

#[test]
fn f20_one_logs_in_with_a_token_or_a_password_and_out_again() {
    let (mut site, [read, ..]) = asking();
    for look in [Look::DESK, Look::PLAIN] {
        site.browser.look(look);
        log_in(&mut site, "tenure_of-nobody-at-all");
        site.browser.until_text("main", "That is no token");
        assert_eq!(site.browser.path(), "/login");
        site.browser.fill("input[name=token]", &read);
        site.browser.click("button");
        site.browser.until("location.pathname === '/now'");
        site.browser.until_text("header", "Log out");
        site.browser.click("form.log-out button");
        site.browser.until("location.pathname === '/login'");
        site.browser.open("/tasks");
        assert_eq!(site.browser.path(), "/login");
        site.browser.fill("input[name=user]", "ann");
        site.browser.fill("input[name=password]", "s3cret");
        site.browser.press("Enter");
        site.browser.until("location.pathname === '/now'");
        site.browser.until_text("header", "ann");
    }
    site.browser.look(Look::PHONE);
    site.browser.open("/login");
    let over = "document.documentElement.scrollWidth - innerWidth";
    assert_eq!(site.browser.eval(over), 0);
    assert_eq!(site.browser.barriers(), [""; 0]);
    site.picture("test-login-phone");
    site.assert_clean();
}

#[test]
fn f19_each_right_is_shown_what_it_may_do_and_no_more() {
    let (mut site, tokens) = asking();
    let _holder = site.holder("door", "holder");
    site.until_held("holder");
    for (token, changes, forces) in [(&tokens[0], 0, 0), (&tokens[1], 3, 0), (&tokens[2], 3, 1)] {
        site.browser.look(Look::DESK);
        log_in(&mut site, token);
        site.browser.until("location.pathname === '/now'");
        site.browser.open("/task?name=quiet");
        let forms = "document.querySelectorAll('main form').length";
        assert_eq!(site.browser.eval(forms), changes);
        site.browser.open("/lock?key=door");
        site.browser.until_text("main", "held");
        assert_eq!(site.browser.eval(forms), forces);
    }
    site.assert_clean();
}

#[test]
fn f29_a_token_whose_line_is_taken_out_of_the_file_opens_nothing_any_more() {
    let (mut site, [read, change, _]) = asking();
    log_in(&mut site, &change);
    site.browser.until("location.pathname === '/now'");
    let lines = site.place.read("tokens");
    let rest: Vec<&str> = lines
        .lines()
        .filter(|line| !line.starts_with("change "))
        .collect();
    site.place.write("tokens", rest.join("\n"));
    let status = "fetch('api/v1/now').then(answer => answer.status)";
    until("the token to open nothing", || {
        (site.browser.eval(status) == 401).then_some(())
    });
    site.browser.open("/now");
    assert_eq!(site.browser.path(), "/login");
    // The others are not harmed.
    site.browser.fill("input[name=token]", &read);
    site.browser.click("button");
    site.browser.until("location.pathname === '/now'");
}
