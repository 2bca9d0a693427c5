//! All chance of a case comes from one seed, which a failing case shows.

/// The variable that repeats a run: `TENURE_SEED=123 cargo test …`.
const VARIABLE: &str = "TENURE_SEED";

/// A generator from `TENURE_SEED`, or from a new seed. Either way the seed is printed, and the test
/// harness shows it if the case fails.
pub(crate) fn seeded() -> fastrand::Rng {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{VARIABLE}=`{text}` is not a number below 2^64")),
        Err(_) => fastrand::u64(..),
    };
    eprintln!("{VARIABLE}={seed}");
    fastrand::Rng::with_seed(seed)
}
