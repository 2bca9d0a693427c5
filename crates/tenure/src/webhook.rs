//! Tells alarms to a URL; feature `webhook`.
//!
//! A try that fails says why without naming what it was sent with: URLs and headers may be secret.
//! How often and when it is tried again is decided by the rule whose alarms are told.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tenure_tasks::{Alarm, AlarmTarget, TaskFailure};
use ureq::http::{HeaderName, HeaderValue, Uri};

use crate::http;

/// How long one try may take if nobody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A URL to which alarms are posted as JSON.
///
/// # Guarantees
/// Every answer from 200 to 299 means that the alarm was heard. Redirections are not followed. An
/// answer from 400 to 499 is final, but for 408, 409, 425 and 429; everything else is tried again,
/// as often as [`AlarmRule::attempts`](tenure_tasks::AlarmRule::attempts) says, with the same
/// [`Alarm::id`]. Neither the URL nor a header appears in a failure or in `Debug`.
///
/// # Examples
/// ```
/// use tenure::Webhook;
/// use tenure::tasks::{AlarmKind, AlarmRule};
///
/// # fn main() -> Result<(), tenure::InvalidWebhook> {
/// let pager = Webhook::new("https://pager.example/hook")?.header("authorization", "Bearer 1")?;
/// let rule = AlarmRule::new("pager").on([AlarmKind::Failing]).tell(pager);
/// # let _ = rule;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Webhook {
    url: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
}

/// Why a webhook cannot be used. It holds no part of what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidWebhook {
    /// The text is no URL of the kind `https://host/path`.
    #[error("is no http or https URL")]
    Url,
    /// No header may be called so.
    #[error("is no name of a header")]
    HeaderName,
    /// The value holds what no header may hold, such as a line break.
    #[error("its value cannot be sent in a header")]
    HeaderValue,
}

impl Webhook {
    /// The webhook at `url`, which begins with `http://` or `https://`.
    ///
    /// # Errors
    /// [`InvalidWebhook::Url`] if it does not, or names no host.
    pub fn new(url: &str) -> Result<Self, InvalidWebhook> {
        let url: Uri = url.parse().map_err(|_| InvalidWebhook::Url)?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
        if !is_http {
            return Err(InvalidWebhook::Url);
        }
        Ok(Self {
            url,
            headers: Vec::new(),
            timeout: TIMEOUT,
        })
    }

    /// Adds a header to every request. Space behind its value is left out.
    ///
    /// # Errors
    /// [`InvalidWebhook::HeaderName`] and [`InvalidWebhook::HeaderValue`] if it cannot be sent.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidWebhook> {
        let header = header_of(name, value)?;
        self.headers.push(header);
        Ok(self)
    }

    /// Whether a header can be sent, for whoever checks a whole configuration before it is used.
    ///
    /// # Errors
    /// As [`Webhook::header`].
    pub fn check_header(name: &str, value: &str) -> Result<(), InvalidWebhook> {
        header_of(name, value).map(drop)
    }

    /// How long one try may take. Default: 10 s. The rule's own limit holds as well.
    ///
    /// Shorter gives up receivers that are slow; longer has a try hold up the next one.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Posts an alarm and answers the status.
    fn send(&self, body: &str) -> Result<u16, String> {
        let mut request = http::agent(self.timeout)
            .post(&self.url)
            .header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = request.send(body);
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| in_words(&error))
    }
}

#[async_trait]
impl AlarmTarget for Webhook {
    async fn tell(&self, alarm: &Alarm) -> Result<(), TaskFailure> {
        let body = serde_json::to_string(alarm)?;
        let webhook = self.clone();
        // The request has a limit of its own, so that its thread ends with it.
        let sent = tokio::task::spawn_blocking(move || webhook.send(&body));
        let status = sent.await?.map_err(TaskFailure::new)?;
        match status {
            200..=299 => Ok(()),
            // What the receiver does not like now it will not like later.
            400..=499 if !matches!(status, 408 | 409 | 425 | 429) => {
                Err(TaskFailure::new(format!("the receiver answered {status}")).permanent())
            }
            _ => Err(TaskFailure::new(format!("the receiver answered {status}"))),
        }
    }
}

fn header_of(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), InvalidWebhook> {
    let name: HeaderName = name.parse().map_err(|_| InvalidWebhook::HeaderName)?;
    let value = HeaderValue::from_str(value.trim_end());
    let mut value = value.map_err(|_| InvalidWebhook::HeaderValue)?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// What went wrong, without the URL.
fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::HostNotFound => "the receiver's host is not known".to_owned(),
        ureq::Error::ConnectionFailed => "the receiver cannot be reached".to_owned(),
        ureq::Error::Io(error) => format!("the receiver cannot be reached: {error}"),
        ureq::Error::Rustls(error) => format!("no safe connection to the receiver: {error}"),
        ureq::Error::BadUri(_) => "the URL cannot be used".to_owned(),
        _ => "the receiver could not be told".to_owned(),
    }
}

/// Names the host and the headers, not what is in them.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.headers.iter().map(|(name, _)| name.as_str());
        f.debug_struct("Webhook")
            .field("host", &self.url.host())
            .field("headers", &names.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e57_what_cannot_be_sent_is_refused_and_nothing_that_may_be_secret_is_shown() {
        for wrong in [
            "",
            "ftp://s3cr3t",
            "/s3cr3t",
            "https://",
            "host.example/s3cr3t",
        ] {
            assert_eq!(
                Webhook::new(wrong).unwrap_err(),
                InvalidWebhook::Url,
                "{wrong}"
            );
        }
        let webhook = Webhook::new("https://h.example/s3cr3t").unwrap();
        for (name, value, expected) in [
            ("a b", "1", InvalidWebhook::HeaderName),
            ("a", "s3cr3t\nb: 1", InvalidWebhook::HeaderValue),
        ] {
            let refused = webhook.clone().header(name, value);
            assert_eq!(refused.unwrap_err(), expected);
        }
        let webhook = webhook.header("authorization", "s3cr3t\n").unwrap();
        let shown = format!("{webhook:?}");
        assert!(
            shown.contains("h.example") && shown.contains("authorization"),
            "{shown}"
        );
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
}
