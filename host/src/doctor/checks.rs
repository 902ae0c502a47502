//! Lists the checks in the order in which they run.
//!
//! Each judges one thing, so that one defect is named by one check: what a document lacks is `required-fields`, and the
//! checks of its values judge the values that are there.

mod caching;
mod chain;
mod connections;
mod cors;
mod described;
mod facilitator;
mod header;
mod methods;
mod money;
mod payment;
mod refusals;
mod required;
mod resource;
#[cfg(test)]
mod tests;
mod versions;

pub(super) use cors::SENT;

use super::check::{Check, Finding, Verdict};
use super::client::Unanswered;
use super::facts::ChallengeFacts;
use super::observation::Observed;

/// The checks of a challenge, which need no network.
const OF_CHALLENGE: &[&[Check<ChallengeFacts>]] =
    &[header::CHECKS, required::CHECKS, money::CHECKS, resource::CHECKS, versions::CHECKS];

/// The checks before those of the challenge: whether there is one.
const BEFORE: &[&[Check<Observed>]] = &[methods::CHECKS];

/// The checks after those of the challenge.
const AFTER: &[&[Check<Observed>]] = &[
    cors::CHECKS,
    caching::CHECKS,
    refusals::CHECKS,
    connections::CHECKS,
    described::CHECKS,
    chain::CHECKS,
    facilitator::CHECKS,
    payment::CHECKS,
];

/// The checks of an endpoint that is free: they are about any endpoint.
const OF_FREE: &[&[Check<Observed>]] = &[methods::CHECKS, described::OF_FREE];

/// The findings about one endpoint.
#[derive(Clone, Debug)]
pub struct Examined {
    /// Method and URL.
    pub endpoint: String,
    pub findings: Vec<Finding>,
}

/// Judges everything that was seen of an endpoint.
pub fn examine(observed: &Observed) -> Examined {
    let request = &observed.target.request;
    let endpoint = format!("{} {}", request.method, request.url);
    if observed.is_free() {
        let findings = OF_FREE.iter().copied().flatten().map(|check| check.run(observed)).collect();
        return Examined { endpoint, findings };
    }
    let before = BEFORE.iter().copied().flatten().map(|check| check.run(observed));
    let challenge = of_challenge().map(|check| match &observed.challenge {
        Some(challenge) => check.run(challenge),
        None => check.finding(&Verdict::skipped("there is no challenge")),
    });
    let after = AFTER.iter().copied().flatten().map(|check| check.run(observed));
    let findings = before.chain(challenge).chain(after).collect();
    Examined { endpoint, findings }
}

/// The findings about an endpoint whose server does not answer.
pub fn examine_unreachable(endpoint: String, error: &Unanswered) -> Examined {
    Examined { endpoint, findings: vec![methods::ANSWERS.finding(&Verdict::Failed(error.to_string()))] }
}

/// The finding about a path at which nothing is served, with what the origin describes, of so many more.
pub fn examine_nothing(endpoint: String, described: &[String]) -> Examined {
    let others = match described {
        [] => "/openapi.json describes nothing either".to_owned(),
        described => format!("/openapi.json describes {}", described.join(", ")),
    };
    let verdict = Verdict::Failed(format!("nothing is served here: every answer is 404; {others}"));
    Examined { endpoint, findings: vec![methods::SERVED.finding(&verdict)] }
}

/// Judges a challenge alone.
pub fn examine_challenge(challenge: &ChallengeFacts) -> Vec<Finding> {
    of_challenge().map(|check| check.run(challenge)).collect()
}

/// The names of all checks, in their order.
pub fn names() -> Vec<&'static str> {
    let before = BEFORE.iter().copied().flatten().map(|check| check.name);
    let after = AFTER.iter().copied().flatten().map(|check| check.name);
    before.chain(of_challenge().map(|check| check.name)).chain(after).collect()
}

fn of_challenge() -> impl Iterator<Item = &'static Check<ChallengeFacts>> {
    OF_CHALLENGE.iter().copied().flatten()
}
