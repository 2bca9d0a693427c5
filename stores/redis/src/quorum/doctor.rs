//! What a quorum promises as it is set up now.

use futures_util::future::join_all;
use tenure_core::{StoreError, StoreErrorKind};

use super::QuorumStore;
use crate::doctor::{Diagnosis, Finding, Severity};

impl QuorumStore {
    /// Looks at each server as [`RedisStore::diagnose`](crate::RedisStore::diagnose) does, and says
    /// what they come to together. It takes a second or two and leaves nothing behind.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] if no majority answers.
    pub async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        let shared = &*self.shared;
        let (servers, majority) = (shared.nodes.len(), self.majority());
        let of_each = join_all(shared.nodes.iter().map(crate::RedisStore::diagnose)).await;
        let mut findings = Vec::new();
        let mut add = |severity, topic, text: String| {
            findings.push(Finding {
                severity,
                topic,
                text,
            });
        };
        let spare = servers - majority;
        let (severity, advice) = if servers.is_multiple_of(2) {
            let fewer = servers - 1;
            let advice = format!("; {fewer} would bear as much and tie less often");
            (Severity::Note, advice)
        } else {
            (Severity::Good, String::new())
        };
        let text = format!("{servers}, of which {spare} may be down{advice}");
        add(severity, "servers", text);
        let text = "none; agreed on by a majority before each use would be fenced=true";
        if shared.is_fenced {
            let text = "grow across majorities, for one more round trip";
            add(Severity::Good, "fences", text.to_owned());
        } else {
            add(Severity::Warning, "fences", text.to_owned());
        }
        let text = "a quorum keeps locks only; name one server, sentinels or a cluster for tasks";
        add(Severity::Note, "tasks", text.to_owned());
        let (mut up, mut is_endangered) = (0, false);
        for (name, diagnosis) in shared.names.iter().zip(of_each) {
            match diagnosis {
                Ok(diagnosis) => {
                    up += 1;
                    for finding in diagnosis.findings {
                        is_endangered |= finding.severity == Severity::Danger;
                        add(
                            finding.severity,
                            finding.topic,
                            format!("{name}: {}", finding.text),
                        );
                    }
                }
                Err(error) => add(Severity::Warning, "servers", format!("{name}: {error}")),
            }
        }
        if up < majority {
            let message = format!("{up} of {servers} servers answered, and {majority} are needed");
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        let verdict = if is_endangered {
            "A lock can vanish while it is held: mend what is marked as a danger first.".to_owned()
        } else {
            self.verdict(up)
        };
        Ok(Diagnosis { verdict, findings })
    }

    /// What this quorum really gives, while so many of its servers are up.
    fn verdict(&self, up: usize) -> String {
        let (servers, majority) = (self.shared.nodes.len(), self.majority());
        let (safety, unless) = if self.shared.terms.is_some() {
            let unless = "a server that forgets has no vote until what it forgot has ended";
            ("Strict", unless)
        } else {
            let unless = "a lock is lost when a majority forgets it within one ttl";
            ("Plain", unless)
        };
        format!(
            "{safety} safety: locks can be taken and kept while {majority} of these {servers} \
             servers run ({up} do now); {unless}; let fences protect what must not be written \
             twice."
        )
    }
}
