//! `tenure doctor`: what a store really promises as it is set up now, and what endangers it.

use serde_json::json;
use tenure::core::{LeasePromises, RunPromises, StoreError};
use tenure::{Diagnosis, QuorumStore, RedisOptions, RedisStore, Severity};
use tokio::runtime::Builder;

use crate::args::DoctorArgs;
use crate::exit::{Code, Outcome};
use crate::lock::runtime;
use crate::output::{print, print_json, print_table};
use crate::store::{Chosen, failure};
use crate::text::visible;

pub(crate) fn run(args: DoctorArgs) -> Outcome {
    runtime(&mut Builder::new_current_thread())?.block_on(examine(args))
}

async fn examine(args: DoctorArgs) -> Outcome {
    let chosen = Chosen::of_tasks(&args.store)?;
    let tenure = chosen.open().await?;
    let (verdict, findings) = if chosen.redis_url().is_some() {
        let diagnosis = diagnosed(&chosen).await;
        diagnosis.map_err(|error| failure("cannot examine the store", &error))?
    } else {
        of_promises(&tenure.leases().promises(), &tenure.runs().promises())
    };
    if args.json {
        let findings: Vec<_> = findings
            .iter()
            .map(|(mark, topic, text)| json!({"severity": mark, "topic": topic, "text": text}))
            .collect();
        print_json(&[json!({
            "store": chosen.shown(),
            "verdict": verdict,
            "findings": findings,
        })])?;
        return Ok(Code::OK);
    }
    print(&format!("{}: {verdict}\n", chosen.shown()))?;
    let rows = findings
        .into_iter()
        .map(|(mark, topic, text)| vec![mark.to_owned(), topic, visible(&text)])
        .collect();
    print_table(&["", "looked at", "found"], rows)?;
    Ok(Code::OK)
}

/// A severity, what was looked at, and what was found.
pub(crate) type Found = (&'static str, String, String);

/// What a server says when it is examined.
pub(crate) async fn diagnosed(chosen: &Chosen) -> Result<(String, Vec<Found>), StoreError> {
    let url = chosen.redis_url().unwrap_or_default();
    let is_quorum = RedisOptions::from_url(url).is_ok_and(|options| options.is_quorum());
    let diagnosis = if is_quorum {
        QuorumStore::connect(url).await?.diagnose().await
    } else {
        RedisStore::connect(url).await?.diagnose().await
    };
    diagnosis.map(spread)
}

fn spread(diagnosis: Diagnosis) -> (String, Vec<Found>) {
    let findings = diagnosis.findings.into_iter().map(|finding| {
        let mark = match finding.severity {
            Severity::Good => "good",
            Severity::Note => "note",
            Severity::Warning => "warning",
            _ => "danger",
        };
        (mark, finding.topic.to_owned(), finding.text)
    });
    (diagnosis.verdict, findings.collect())
}

/// What a store without a server says of itself.
fn of_promises(leases: &LeasePromises, runs: &RunPromises) -> (String, Vec<Found>) {
    let verdict = leases.durability.in_words();
    let reach = leases.scope.in_words();
    let findings = [
        ("note", "reach", reach),
        ("note", "locks forget", leases.forgets),
        ("note", "tasks forget", runs.forgets),
    ];
    let findings = findings
        .into_iter()
        .filter(|(_, _, text)| !text.is_empty())
        .map(|(mark, topic, text)| (mark, topic.to_owned(), text.to_owned()));
    (verdict.to_owned(), findings.collect())
}
