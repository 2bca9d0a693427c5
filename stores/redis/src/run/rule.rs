//! How records keep a run's overlap rule and limit, and what keeps a run back.

use tenure_core::{MaxRunning, Overlap, Refusal, RunKey, StoreError, StoreErrorKind};

use super::name::read_mark;

/// A run's overlap rule and limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    overlap: Overlap,
    limit: Option<MaxRunning>,
}

impl Rule {
    pub(super) fn new(overlap: Overlap, limit: Option<MaxRunning>) -> Self {
        Self { overlap, limit }
    }

    /// Reads `s`, `a`, `q`, `QMAX` or `x`, with `+RUNS/INDICES` behind it if there is a limit.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (word, limit) = match text.split_once('+') {
            Some((word, limit)) => {
                let (runs, indices) = limit.split_once('/')?;
                let limit = MaxRunning::new(runs.parse().ok()?, indices.parse().ok()?);
                (word, Some(limit))
            }
            None => (text, None),
        };
        let overlap = match word {
            "s" => Overlap::Skip,
            "a" => Overlap::Allow,
            "q" => Overlap::QueueOne,
            "x" => Overlap::CancelOther,
            _ => Overlap::QueueAll {
                max: word.strip_prefix('Q')?.parse().ok()?,
            },
        };
        Some(Self { overlap, limit })
    }

    /// Reads what keeps a run of this rule back: a run's mark, `limit`, `full`, or `>` and a mark.
    pub(super) fn kept_back(&self, key: &RunKey, word: &str) -> Option<Refusal> {
        let run = |mark| read_mark(&key.task, key.index, mark);
        match word {
            "limit" => Some(Refusal::Limit {
                max: self.limit?.runs,
            }),
            "full" => match self.overlap {
                Overlap::QueueAll { max } => Some(Refusal::QueueFull { max }),
                _ => None,
            },
            _ => match word.strip_prefix('>') {
                Some(newer) => run(newer).map(|by| Refusal::Replaced { by }),
                None => run(word).map(|blocker| Refusal::Overlap { blocker }),
            },
        }
    }
}

/// A rule as records keep it.
pub(super) fn rule_of(overlap: Overlap, limit: Option<MaxRunning>) -> Result<String, StoreError> {
    let text = match overlap {
        Overlap::Skip => "s".to_owned(),
        Overlap::Allow => "a".to_owned(),
        Overlap::QueueOne => "q".to_owned(),
        Overlap::CancelOther => "x".to_owned(),
        Overlap::QueueAll { max } => format!("Q{max}"),
        other => {
            return Err(StoreError::new(
                StoreErrorKind::InvalidRequest,
                format!("this store does not know the overlap rule {other:?}; upgrade tenure"),
            ));
        }
    };
    Ok(match limit {
        Some(limit) => format!("{text}+{}/{}", limit.runs, limit.indices),
        None => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_read_back_as_it_was_written() {
        let limits = [None, Some(MaxRunning::new(5, 3))];
        for overlap in [
            Overlap::Skip,
            Overlap::Allow,
            Overlap::QueueOne,
            Overlap::QueueAll { max: 100 },
            Overlap::CancelOther,
        ] {
            for limit in limits {
                let text = rule_of(overlap, limit).unwrap();
                assert_eq!(Rule::read(&text), Some(Rule::new(overlap, limit)), "{text}");
            }
        }
    }

    #[test]
    fn f38_texts_that_are_no_rule_are_refused() {
        for text in [
            "", "z", "Q", "Qx", "s+", "s+1", "s+1/", "s+/2", "Q-1", "ss", "+1/2",
        ] {
            assert_eq!(Rule::read(text), None, "{text}");
        }
    }
}
