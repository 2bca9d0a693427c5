//! The login part of a store's URL: whether a password is in it, and one that a person types.
//!
//! Knows nothing of how a store logs in. No message shows a URL's login.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::exit::{Code, Failure};
use crate::file::is_redis;

/// Whether a store's URL holds a password, which a command must not get to see.
pub(crate) fn holds_password(url: &str) -> bool {
    parts(url).login.is_some_and(|login| login.contains(':'))
}

/// The URL with a password that is asked for at the terminal. `shown` is the URL without secrets.
///
/// # Errors
/// A URL that has no place for one or has one already, or no terminal.
pub(crate) fn asked(url: &str, shown: &str) -> Result<String, Failure> {
    let usage = |message: String| Failure::new(Code::USAGE, message);
    if !is_redis(url) {
        return Err(usage(format!("--ask-password: {shown} takes no password"))
            .help("leave --ask-password out"));
    }
    if holds_password(url) || url.contains("password_file=") {
        return Err(usage(format!(
            "--ask-password: a password for {shown} is given already"
        ))
        .help("leave --ask-password out, or the password"));
    }
    let password = rpassword::prompt_password(format!("Password for {shown}: "));
    let password = password.map_err(|error| {
        usage(format!(
            "--ask-password: there is no terminal to ask at: {error}"
        ))
        .help("put the URL into TENURE_STORE, or the password into a file (password_file)")
    })?;
    Ok(with_password(url, &password))
}

/// A URL in three parts: up to the login, the login without its `@`, and the rest.
struct Parts<'u> {
    before: &'u str,
    login: Option<&'u str>,
    rest: &'u str,
}

fn parts(url: &str) -> Parts<'_> {
    let scheme = url.find(':').map_or(0, |colon| colon + 1);
    let slashes = match url.get(scheme..) {
        Some(rest) if rest.starts_with("//") => 2,
        _ => 0,
    };
    let (before, behind) = url.split_at(scheme + slashes);
    let end = behind.find('?').unwrap_or(behind.len());
    let place = behind.get(..end).unwrap_or(behind);
    match place.rfind('@') {
        Some(at) => Parts {
            before,
            login: behind.get(..at),
            rest: behind.get(at + 1..).unwrap_or_default(),
        },
        None => Parts {
            before,
            login: None,
            rest: behind,
        },
    }
}

fn with_password(url: &str, password: &str) -> String {
    let Parts {
        before,
        login,
        rest,
    } = parts(url);
    let login = login.unwrap_or_default();
    let password = utf8_percent_encode(password, NON_ALPHANUMERIC);
    format!("{before}{login}:{password}@{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f12_a_password_is_told_from_a_plain_url() {
        for (url, expected) in [
            ("redis://u:p@h", true),
            ("redis://:p@h/0?x=1", true),
            ("redis+unix:u:p@/run/s", true),
            ("redis+unix:/run/s", false),
            ("redis://u@h:1", false),
            ("redis://h:1/0", false),
            ("sqlite:/var/lib/a@b:c.db", false),
            ("sqlite:a.db", false),
        ] {
            assert_eq!(holds_password(url), expected, "{url}");
        }
    }

    #[test]
    fn a_password_is_put_where_the_login_stands() {
        for (url, expected) in [
            (
                "redis://h:1/2?timeout=2s",
                "redis://:p%40%3F@h:1/2?timeout=2s",
            ),
            ("redis://u@h", "redis://u:p%40%3F@h"),
            ("redis+unix:/run/r", "redis+unix::p%40%3F@/run/r"),
            ("redis+unix:u@/run/r", "redis+unix:u:p%40%3F@/run/r"),
            (
                "redis+sentinel://u@a,b/m",
                "redis+sentinel://u:p%40%3F@a,b/m",
            ),
        ] {
            assert_eq!(with_password(url, "p@?"), expected);
            assert!(!holds_password(url), "{url}");
            assert!(holds_password(expected), "{expected}");
            assert_eq!(
                tenure::check_url(expected).err().map(|e| e.to_string()),
                None
            );
        }
    }
}
