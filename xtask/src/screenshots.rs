//! `cargo xtask screenshots`: the pictures of the README, from a cluster that really runs.
//!
//! A test makes them, so that what they show is also checked; here they are only taken over. They
//! differ a little each time, because times do: take them over when a page has changed.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::say;
use crate::servers::{self, Wish};
use crate::testing::cargo;

/// The test that makes them.
const SCENE: &str = "a_cluster_in_trouble_shows_its_trouble_first_on_redis";
/// Those that the documents show.
const SHOWN: [&str; 8] = [
    "now-light",
    "now-dark",
    "now-phone",
    "tasks-light",
    "run-light",
    "locks-light",
    "nodes-light",
    "store-light",
];
/// The most bytes of all of them together: they are part of every clone.
const MOST: u64 = 1_000_000;

/// Makes the pictures anew; true if they fit.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let _stopped_at_the_end = servers::up(root, &Wish::from_env())?;
    let scene = [
        "test",
        "--locked",
        "--package",
        "tenure-cli",
        "--test",
        "browser",
        SCENE,
    ];
    if !cargo(root, &scene, &[("TENURE_SCENE_PATIENT", "1")])? {
        return Ok(false);
    }
    let to = root.join("docs/screenshots");
    fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut bytes = 0;
    for name in SHOWN {
        let from = root.join(format!("target/screenshots/readme-{name}.png"));
        let to = to.join(format!("{name}.png"));
        bytes += fs::copy(&from, &to).with_context(|| format!("no picture {}", from.display()))?;
    }
    say(format_args!(
        "docs/screenshots: {bytes} bytes, of {MOST} at most"
    ));
    Ok(bytes <= MOST)
}
