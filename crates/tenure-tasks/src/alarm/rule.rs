//! Which alarms are raised, and whom they are told to, as a program writes it; checked at start.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tenure_core::{TaskName, format_duration};

use super::{Alarm, AlarmKind, AlarmTarget};
use crate::config_error::ConfigError;
use crate::outcome::TaskFailure;

/// How the names of the tasks begin by whose runs alarms are told. No other task may be called so.
pub(crate) const PREFIX: &str = "tenure.alarm.";

/// Whether a task is one of tenure's own by whose runs alarms are told.
#[must_use]
pub fn tells_alarms(task: &TaskName) -> bool {
    task.as_str().starts_with(PREFIX)
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const MAX_RULES: usize = 100;
const MAX_AFTER: u32 = 100;
const MAX_ATTEMPTS: u32 = 20;

/// Which alarms are raised for which tasks, and whom they are told to.
///
/// Rules of one name on several nodes are one rule: whatever it notices is told once. An alarm is
/// told when something goes wrong, and again, as recovered, when a later run shows that it is
/// right; nothing in between.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tenure_tasks::{Alarm, AlarmKind, AlarmRule};
///
/// let rule = AlarmRule::new("pager")
///     .on([AlarmKind::Missed, AlarmKind::Failing, AlarmKind::Late])
///     .tasks(["invoices", "report-*"])
///     .after(3)
///     .late_after(Duration::from_secs(60))
///     .call(|alarm: Alarm| async move {
///         eprintln!("{}", alarm.text);
///         Ok(())
///     });
/// # let _ = rule;
/// ```
#[derive(Debug, Clone)]
pub struct AlarmRule {
    pub(crate) name: String,
    pub(crate) on: Vec<AlarmKind>,
    pub(crate) tasks: Vec<String>,
    pub(crate) after: u32,
    pub(crate) late_after: Duration,
    pub(crate) longer_than: Option<Duration>,
    pub(crate) skew_over: Duration,
    pub(crate) attempts: u32,
    pub(crate) timeout: Duration,
    pub(crate) target: Option<Arc<dyn AlarmTarget>>,
}

impl AlarmRule {
    /// A rule that still needs to know [`on`](Self::on) what it is raised and whom it tells. The
    /// name has 1 to 48 ASCII letters, digits, `-` and `_`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            on: Vec::new(),
            tasks: Vec::new(),
            after: 1,
            late_after: Duration::from_secs(60),
            longer_than: None,
            skew_over: Duration::from_millis(250),
            attempts: 5,
            timeout: Duration::from_secs(10),
            target: None,
        }
    }

    /// What it is raised on.
    #[must_use]
    pub fn on(mut self, kinds: impl IntoIterator<Item = AlarmKind>) -> Self {
        self.on.extend(kinds);
        self
    }

    /// Which tasks it is about: names, in which `*` stands for any text. Default: all.
    #[must_use]
    pub fn tasks<P: Into<String>>(mut self, patterns: impl IntoIterator<Item = P>) -> Self {
        self.tasks.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// After how many bad runs in a row it is raised, on whatever nodes they ran. Default: 1; at
    /// most 100. Counts for the kinds that are about tasks.
    #[must_use]
    pub fn after(mut self, runs: u32) -> Self {
        self.after = runs;
        self
    }

    /// How late a run may begin. Default: one minute; from 1 ms to one day.
    #[must_use]
    pub fn late_after(mut self, bound: Duration) -> Self {
        self.late_after = bound;
        self
    }

    /// How long a run may take; needed for [`AlarmKind::TooLong`]. From 1 ms to 365 days. The run
    /// is not stopped: that is what its timeout is for.
    #[must_use]
    pub fn longer_than(mut self, bound: Duration) -> Self {
        self.longer_than = Some(bound);
        self
    }

    /// How far the wall clock of a node may be from the store's. Default: 250 ms; from 10 ms to one
    /// day.
    #[must_use]
    pub fn skew_over(mut self, bound: Duration) -> Self {
        self.skew_over = bound;
        self
    }

    /// How often telling an alarm is tried at most. Default: 5; from 1 to 20. The pauses grow from
    /// one second to one minute.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long one try may take. Default: 10 s; from 10 ms to 10 minutes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Whom it tells.
    #[must_use]
    pub fn tell(mut self, target: impl AlarmTarget) -> Self {
        self.target = Some(Arc::new(target));
        self
    }

    /// Code that is called with each alarm, on one node. See [`AlarmTarget`].
    #[must_use]
    pub fn call<F, Fut>(self, code: F) -> Self
    where
        F: Fn(Alarm) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), TaskFailure>> + Send + 'static,
    {
        self.tell(Call(Arc::new(move |alarm| Box::pin(code(alarm)))))
    }

    /// Whether it is about alarms of this kind.
    pub(crate) fn is_on(&self, kind: AlarmKind) -> bool {
        self.on.contains(&kind)
    }

    /// Whether it is about this task.
    #[must_use]
    pub fn is_about(&self, task: &TaskName) -> bool {
        let mut patterns = self.tasks.iter();
        let mut is_named = || patterns.any(|pattern| fits(pattern, task.as_str()));
        !tells_alarms(task) && (self.tasks.is_empty() || is_named())
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || self.name.len() > 48 || !self.name.chars().all(is_plain) {
            faults.push("its name must be 1 to 48 ASCII letters, digits, `-` or `_`".to_owned());
        }
        if self.on.is_empty() {
            faults.push("it is raised on nothing; say `on`".to_owned());
        }
        if self.target.is_none() {
            faults.push("it tells nobody; give it a target with `tell` or `call`".to_owned());
        }
        if self.tasks.iter().any(String::is_empty) {
            faults.push("a task's name is empty".to_owned());
        }
        if self.is_on(AlarmKind::TooLong) && self.longer_than.is_none() {
            faults.push("too_long needs `longer_than`".to_owned());
        }
        let mut count = |what, value: u32, most: u32| {
            if value == 0 || value > most {
                faults.push(format!("{what}: {value} must be 1 to {most}"));
            }
        };
        count("after", self.after, MAX_AFTER);
        count("attempts", self.attempts, MAX_ATTEMPTS);
        let ms = Duration::from_millis;
        for (what, value, least, most) in [
            ("late_after", Some(self.late_after), ms(1), DAY),
            ("longer_than", self.longer_than, ms(1), DAY * 365),
            ("skew_over", Some(self.skew_over), ms(10), DAY),
            ("timeout", Some(self.timeout), ms(10), ms(600_000)),
        ] {
            if let Some(value) = value
                && !(least..=most).contains(&value)
            {
                let (least, most) = (format_duration(least), format_duration(most));
                let value = format_duration(value);
                faults.push(format!("{what}: {value} must be {least} to {most}"));
            }
        }
        faults
    }
}

/// Checks all rules; `can_keep` says whether a manager keeps records, without which no rule works.
pub(crate) fn check_rules(rules: &[AlarmRule], can_keep: bool, faults: &mut Vec<ConfigError>) {
    let mut fault = |alarm: &str, problem: String| {
        faults.push(ConfigError::Alarm {
            alarm: alarm.to_owned(),
            problem,
        });
    };
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for rule in rules {
        *counts.entry(&rule.name).or_default() += 1;
        for problem in rule.faults() {
            fault(&rule.name, problem);
        }
    }
    for rule in rules {
        if let Some(times) = counts.remove(rule.name.as_str())
            && times > 1
        {
            let problem = format!("{times} alarms have this name; give each a name of its own");
            fault(&rule.name, problem);
        }
    }
    if rules.len() > MAX_RULES {
        let problem = format!("{} alarms are more than {MAX_RULES}", rules.len());
        fault("", problem);
    }
    if let Some(first) = rules.first()
        && !can_keep
    {
        let problem = "no manager keeps records of runs, by which alarms are noticed";
        fault(&first.name, problem.to_owned());
    }
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut rest) = name.strip_prefix(head) else {
        return false;
    };
    let mut parts = tail.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    true
}

type CallBack =
    Arc<dyn Fn(Alarm) -> BoxFuture<'static, Result<(), TaskFailure>> + Send + Sync + 'static>;

/// A target that is code of the application.
struct Call(CallBack);

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call(..)")
    }
}

#[async_trait]
impl AlarmTarget for Call {
    async fn tell(&self, alarm: &Alarm) -> Result<(), TaskFailure> {
        (self.0)(alarm.clone()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*", "", true),
            ("*b", "aab", true),
            ("*b", "aabc", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn every_fault_of_every_rule_is_found() {
        let rules = [
            AlarmRule::new("a b").after(0).timeout(Duration::ZERO),
            AlarmRule::new("twice")
                .on([AlarmKind::TooLong])
                .call(|_| async { Ok(()) }),
            AlarmRule::new("twice")
                .on([AlarmKind::Lost])
                .call(|_| async { Ok(()) }),
        ];
        let mut faults = Vec::new();
        check_rules(&rules, false, &mut faults);
        let text: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let text = text.join("\n");
        for part in [
            "its name must be",
            "raised on nothing",
            "tells nobody",
            "after: 0 must be 1 to 100",
            "timeout: 0s must be 10ms to 10m",
            "too_long needs `longer_than`",
            "2 alarms have this name",
            "no manager keeps records",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(faults.len(), 8);
    }
}
