//! Checks proofs of sign-in-with-x: by the key of the account, or by the contract at its address.

use coinslot_facilitator::{AccountSignature, Facilitator, SignatureVerdict};
use coinslot_x402::Network;
use coinslot_x402::sign_in::{ProvenBy, SignInError, SignInProof};

use super::{Payments, Problem, Purchase, challenge};

/// Checks a proof as far as no chain is needed. A payer who may not pay gets nothing for free either.
pub(super) fn check_proof(payments: &Payments, purchase: &Purchase, header: &[u8]) -> Result<SignInProof, Problem> {
    // Bad proofs count as bad payments of their address, and above its rate none is looked at.
    payments.check_address(purchase.client.ip)?;
    let networks = networks(purchase);
    let checked = payments.allowances.sign_ins().check(header, &purchase.url, &networks, payments.now());
    let proof = checked.map_err(|error| bad_proof(payments, purchase, error))?;
    let rules = &payments.allowances.policy().payers;
    rules.check(proof.network(), &proof.address().to_string()).map_err(Problem::PayerRefused)?;
    let can_ask = || facilitator(payments, purchase, proof.network()).is_some();
    match proof.signed_by() {
        ProvenBy::PerhapsContract if !can_ask() => Err(bad_proof(payments, purchase, SignInError::Signature)),
        ProvenBy::Key | ProvenBy::PerhapsContract => Ok(proof),
    }
}

/// Asks the contract at the address of a proof whether the signature is its own, if it is not that of a key.
pub(super) async fn check_contract(
    payments: &Payments,
    purchase: &Purchase,
    proof: &SignInProof,
) -> Result<(), Problem> {
    let refused = || bad_proof(payments, purchase, SignInError::Signature);
    if proof.signed_by() == ProvenBy::Key {
        return Ok(());
    }
    let facilitator = facilitator(payments, purchase, proof.network()).ok_or_else(refused)?;
    let signed = AccountSignature {
        network: proof.network().clone(),
        account: proof.address(),
        hash: proof.digest(),
        signature: proof.signature().clone(),
    };
    match facilitator.check_account_signature(&signed).await {
        SignatureVerdict::Valid => Ok(()),
        SignatureVerdict::Invalid { .. } => Err(refused()),
        SignatureVerdict::Unavailable(error) => Err(Problem::CannotVerify(error.message)),
    }
}

/// The networks in which the endpoint is paid: accounts of them count.
pub(super) fn networks(purchase: &Purchase) -> Vec<Network> {
    let mut networks: Vec<Network> = Vec::new();
    for price in purchase.access.offer.prices() {
        if !networks.contains(&price.asset.network) {
            networks.push(price.asset.network.clone());
        }
    }
    networks
}

/// A facilitator that may have a node of this network, and takes payments of contracts.
fn facilitator<'p>(payments: &'p Payments, purchase: &Purchase, network: &Network) -> Option<&'p dyn Facilitator> {
    let prices = purchase.access.offer.prices().iter().filter(|price| price.asset.network == *network);
    let methods = prices.filter_map(|price| payments.payment_method(price));
    methods.filter(|method| method.contract_payers).map(|method| &*method.facilitator).next()
}

/// The refusal of a proof, which is a 402 and never a 401: its client may pay.
pub(super) fn bad_proof(payments: &Payments, purchase: &Purchase, error: SignInError) -> Problem {
    let challenge = challenge::because(payments, purchase, error.reason());
    Problem::Invalid { reason: error.reason().to_owned(), message: Some(error.to_string()), challenge }
}
