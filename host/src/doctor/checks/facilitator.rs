//! Checks whether a facilitator settles what the challenge offers.

use crate::doctor::check::{Check, Verdict};
use crate::doctor::observation::{FacilitatorFacts, Observed};

pub(super) const CHECKS: &[Check<Observed>] = &[Check {
    name: "facilitator",
    why: "a way to pay that the facilitator does not settle takes a signature and gives nothing for it",
    advice: "offer only what /supported of the facilitator lists, or use another facilitator (x402.org settles \
          on test networks alone)",
    judge: supported,
}];

fn supported(observed: &Observed) -> Verdict {
    let supported = match &observed.facilitator {
        FacilitatorFacts::NotAsked => return Verdict::skipped("no facilitator was asked: name one with --facilitator"),
        FacilitatorFacts::Unusable(why) => return Verdict::failed(why.as_str()),
        FacilitatorFacts::Supported(supported) => supported,
    };
    let Some(challenge) = &observed.challenge else { return Verdict::skipped("there is no challenge") };
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in challenge.entries_of(2).iter().chain(&challenge.entries_of(1)) {
        let (Some(scheme), Some(network)) = (entry.text("scheme"), entry.text("network")) else { continue };
        count += 1;
        let version = u64::from(entry.version);
        let lists = supported
            .kinds
            .iter()
            .any(|kind| kind.x402_version == version && kind.scheme == scheme && is_of(&kind.network, network));
        if !lists {
            failures.push(format!("it does not settle {scheme} on {network} in version {version}"));
        }
    }
    match count {
        0 => Verdict::skipped("no entry names scheme and network"),
        _ => Verdict::of(failures, Vec::new(), "it settles every way to pay"),
    }
}

/// True if a listed network, or a pattern such as `eip155:*`, is that of an entry.
fn is_of(listed: &str, network: &str) -> bool {
    listed == network || listed.strip_suffix('*').is_some_and(|start| network.starts_with(start))
}
