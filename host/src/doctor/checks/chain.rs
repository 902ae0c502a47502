//! Checks the tokens of a challenge against their contracts.

use coinslot_x402::price::Asset;

use crate::doctor::check::{Check, Verdict};
use crate::doctor::observation::{ChainFacts, Observed};

pub(super) const CHECKS: &[Check<Observed>] = &[Check {
    name: "token-contract",
    why: "a payment is a call of the token's contract: if the address has none, or another EIP-712 domain, every \
          settlement fails",
    advice: "take asset, extra.name and extra.version from the contract: name(), version() and DOMAIN_SEPARATOR()",
    judge: contract,
}];

fn contract(observed: &Observed) -> Verdict {
    let tokens = match &observed.chain {
        ChainFacts::NotAsked => return Verdict::skipped("no node was asked: name one with --rpc"),
        ChainFacts::Unusable(why) => return Verdict::skipped(why.as_str()),
        ChainFacts::Read(tokens) if tokens.is_empty() => return Verdict::skipped("no entry is on the node's chain"),
        ChainFacts::Read(tokens) => tokens,
    };
    let mut failures = Vec::new();
    let mut seen = Vec::new();
    for token in tokens {
        let name = format!("accepts[{}].asset {}", token.index, token.address);
        if !token.has_code {
            failures.push(format!("{name} is no contract on {}", token.network));
            continue;
        }
        let contract = format!(
            "its contract is {:?} version {:?}",
            token.name.as_deref().unwrap_or("without a name"),
            token.version.as_deref().unwrap_or("unknown")
        );
        if token.separator_agrees == Some(false) {
            failures.push(format!("{name}: extra.name and extra.version are not its domain, {contract}"));
        }
        let known = Asset::at(&token.network, &token.address.to_string());
        if let (Some(known), Some(decimals)) = (known, token.decimals)
            && known.decimals != decimals
        {
            failures.push(format!("{name} has {decimals} decimals, not {}", known.decimals));
        }
        seen.push(contract);
    }
    Verdict::of(failures, Vec::new(), seen.join("; "))
}
