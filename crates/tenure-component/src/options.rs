//! The settings of a lock component: what stands under `options`, and which keys are known at all.

use std::time::Duration;

use tenure_core::format_duration;

use crate::config::{ConfigError, ConfigParams};
use crate::connect::ConnectionParams;
use crate::credential::CredentialParams;
use crate::error::shown;
use crate::nearest::nearest;

const OPTIONS: [&str; 6] = [
    "retry_timeout",
    "retries",
    "timeout",
    "db_num",
    "topology",
    "master",
];
/// How often a waiter may ask, at most and at least.
const RETRY_TIMEOUT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(5));
/// How long opening may take.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));

/// How several servers belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    Single,
    Cluster,
    Quorum,
    Sentinel,
}

impl Topology {
    const ALL: [(&'static str, Self); 4] = [
        ("single", Self::Single),
        ("cluster", Self::Cluster),
        ("quorum", Self::Quorum),
        ("sentinel", Self::Sentinel),
    ];

    pub(crate) fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, it)| *it == self).map_or("", |(name, _)| name)
    }
}

/// What stands under `options`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LockSettings {
    /// After how long a waiter asks again where the store cannot tell it.
    pub(crate) retry_timeout: Option<Duration>,
    /// How many more times connecting is tried after it failed.
    pub(crate) retries: u32,
    /// How long opening may take, with all tries.
    pub(crate) timeout: Duration,
    pub(crate) db_num: Option<u16>,
    pub(crate) topology: Option<Topology>,
    /// The primary's name, for sentinels.
    pub(crate) master: Option<String>,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            retry_timeout: None,
            retries: 3,
            timeout: Duration::from_secs(30),
            db_num: None,
            topology: None,
            master: None,
        }
    }
}

impl LockSettings {
    /// Reads `options.*`, and warns of every key of the configuration that nothing reads.
    pub(crate) fn from_config(config: &ConfigParams) -> Result<Self, ConfigError> {
        warn_of_unread(config);
        let options = config.section("options");
        let defaults = Self::default();
        let retry_timeout = options.duration("retry_timeout")?;
        if retry_timeout.is_some_and(|it| it < RETRY_TIMEOUT.0) {
            return Err(options.value_error("retry_timeout", "1ms or more"));
        }
        let timeout = options.duration_or("timeout", defaults.timeout)?;
        if !(TIMEOUT.0..=TIMEOUT.1).contains(&timeout) {
            let (least, most) = (format_duration(TIMEOUT.0), format_duration(TIMEOUT.1));
            return Err(options.value_error("timeout", format!("{least} to {most}")));
        }
        let retries = options.number_within("retries", &(0..=1000))?;
        Ok(Self {
            // Asking more often than was asked for keeps the promise; a store has its own limit.
            retry_timeout: retry_timeout.map(|it| it.min(RETRY_TIMEOUT.1)),
            retries: retries.unwrap_or(defaults.retries),
            timeout,
            db_num: options.number_within("db_num", &(0..=65_535))?,
            topology: topology(&options)?,
            master: options.text("master").map(|it| it.trim().to_owned()),
        })
    }
}

fn topology(options: &ConfigParams) -> Result<Option<Topology>, ConfigError> {
    let Some(text) = options.text("topology") else {
        return Ok(None);
    };
    let known = Topology::ALL.into_iter();
    let found = known.into_iter().find(|(name, _)| *name == text.trim());
    match found {
        Some((_, topology)) => Ok(Some(topology)),
        None => Err(options.value_error("topology", "single, cluster, quorum or sentinel")),
    }
}

/// Says which keys nothing reads, and what was probably meant.
fn warn_of_unread(config: &ConfigParams) {
    for key in config.keys() {
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        // Several connections have a name or a number each.
        let name = match section {
            "connections" | "credentials" => name.rsplit('.').next().unwrap_or(name),
            _ => name,
        };
        let known: &[&str] = match section {
            "options" => &OPTIONS,
            "connection" | "connections" => &ConnectionParams::KEYS,
            "credential" | "credentials" => &CredentialParams::KEYS,
            _ => continue,
        };
        if known.contains(&name) {
            continue;
        }
        let hint = match nearest(name, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        tracing::warn!(
            key = shown(&config.full_key(key)),
            "unknown configuration key, it has no effect; {hint}"
        );
    }
    for (plural, singular, keys) in [
        ("connections", "connection", &ConnectionParams::KEYS),
        ("credentials", "credential", &CredentialParams::KEYS),
    ] {
        let has_section = [plural, singular]
            .iter()
            .any(|it| !config.section(it).is_empty());
        for key in keys
            .iter()
            .filter(|key| has_section && config.text(key).is_some())
        {
            tracing::warn!(
                key,
                "this key has no effect, because `{singular}` has a section of its own; write \
                 `{singular}.{key}`"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LockSettings, ConfigError> {
        LockSettings::from_config(&text.parse().unwrap())
    }

    #[test]
    fn b_configuration_options_have_the_origin_s_names_units_and_defaults() {
        assert_eq!(read("").unwrap(), LockSettings::default());
        let defaults = LockSettings::default();
        assert_eq!(
            (defaults.retries, defaults.timeout.as_millis()),
            (3, 30_000)
        );
        let settings = read(
            "options.retry_timeout=250;options.retries=7;options.timeout=1500;options.db_num=2;\
             options.topology=sentinel;options.master=mymaster",
        )
        .unwrap();
        assert_eq!(
            settings,
            LockSettings {
                retry_timeout: Some(Duration::from_millis(250)),
                retries: 7,
                timeout: Duration::from_millis(1500),
                db_num: Some(2),
                topology: Some(Topology::Sentinel),
                master: Some("mymaster".to_owned()),
            }
        );
        let units = read("options.timeout=1.5s;options.retry_timeout=1m").unwrap();
        assert_eq!(units.timeout, settings.timeout);
        assert_eq!(units.retry_timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn e56_b_configuration_options_that_cannot_work_are_refused() {
        for (text, part) in [
            (
                "options.retry_timeout=0",
                "`options.retry_timeout` is `0`, which is not 1ms",
            ),
            ("options.retries=-1", "a whole number, 0 to 1000"),
            ("options.timeout=soon", "a number of milliseconds"),
            ("options.timeout=5", "which is not 10ms to 1h"),
            ("options.db_num=65536", "a whole number, 0 to 65535"),
            (
                "options.topology=ring",
                "which is not single, cluster, quorum or sentinel",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
