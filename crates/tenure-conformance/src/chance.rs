//! All chance of a case comes from one seed, which a failing case shows.

/// The variable that repeats a run: `TENURE_SEED=123 cargo test …`.
const VARIABLE: &str = "TENURE_SEED";

/// A generator from `TENURE_SEED`, or from a new seed. Either way the seed is printed, and the test
/// harness shows it if the case fails.
pub(crate) fn seeded() -> fastrand::Rng {
    let seed = std::env::var(VARIABLE)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{VARIABLE}={seed}");
    fastrand::Rng::with_seed(seed)
}
