//! What a run does without: never by accident, never in CI.

/// Which programs this run does without.
#[derive(Debug)]
pub(crate) struct Wish {
    without: Vec<String>,
    is_ci: bool,
}

impl Wish {
    /// As `TENURE_WITHOUT` and `CI` say.
    pub(crate) fn from_env() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        Self::of(&variable("TENURE_WITHOUT"), variable("CI") == "true")
    }

    pub(super) fn of(without: &str, is_ci: bool) -> Self {
        let names = without.split(',').map(str::trim);
        Self {
            without: names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            is_ci,
        }
    }

    /// The programs left out, by name.
    pub(crate) fn without(&self) -> &[String] {
        &self.without
    }

    pub(super) fn leaves_out(&self, name: &str) -> bool {
        self.without.iter().any(|left_out| left_out == name)
    }

    /// Refuses a name that is not known, and any name in CI.
    pub(super) fn check(&self, known: &[&str]) -> anyhow::Result<()> {
        for name in &self.without {
            anyhow::ensure!(
                known.contains(&name.as_str()),
                "TENURE_WITHOUT names `{name}`, which no test uses; known: {known:?}"
            );
            anyhow::ensure!(
                !self.is_ci,
                "CI leaves nothing out, but TENURE_WITHOUT names `{name}`"
            );
        }
        Ok(())
    }
}
