//! Collects what was found, for people and for programs.

use serde_json::{Value, json};

use super::check::Outcome;
use super::checks::Examined;

/// The findings of an examination, by endpoint.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub endpoints: Vec<Examined>,
}

impl Report {
    /// The number of findings of this kind.
    pub fn count(&self, outcome: Outcome) -> usize {
        let findings = self.endpoints.iter().flat_map(|examined| &examined.findings);
        findings.filter(|finding| finding.outcome == outcome).count()
    }

    /// The report as one JSON object.
    pub fn json(&self) -> Value {
        let endpoints = self.endpoints.iter().map(|examined| {
            let checks: Vec<Value> = examined.findings.iter().map(super::Finding::json).collect();
            json!({ "endpoint": examined.endpoint, "checks": checks })
        });
        let endpoints: Vec<Value> = endpoints.collect();
        let [ok, warnings, failed, skipped] =
            [Outcome::Ok, Outcome::Warning, Outcome::Failed, Outcome::Skipped].map(|outcome| self.count(outcome));
        json!({ "ok": ok, "warnings": warnings, "failed": failed, "skipped": skipped, "endpoints": endpoints })
    }
}
