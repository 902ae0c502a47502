//! Signs in: proves to a server, without a payment, which account the wallet has.

use coinslot_evm::{Key, KeyError};
use coinslot_x402::sign_in::SignInRequest;
use coinslot_x402::{Network, Object, Version};

use super::{PaymentOption, ReceivedChallenge};
use crate::place::Place;

/// The proof that the challenge of this URL asks for: a client that returns by a pass, or has free requests, sends it in
/// place of a payment. None: the challenge asks for none, or for one that would count at another server.
///
/// It is asked for the network of the option that would be paid: a client that pays nothing at a server does not tell it
/// its account either.
pub fn sign_in(
    key: &Key,
    challenge: &ReceivedChallenge,
    option: &PaymentOption,
    url: &str,
) -> Result<Option<Object>, KeyError> {
    let Some(request) = request(challenge, &option.asset.network, url) else { return Ok(None) };
    let sign = |hash| key.sign(hash).map(|signature| signature.as_bytes().into());
    request.answer(key.address(), sign).map(Some)
}

fn request(challenge: &ReceivedChallenge, network: &Network, url: &str) -> Option<SignInRequest> {
    // Version 1 has no extensions.
    let extensions = challenge.extensions.as_ref().filter(|_| challenge.version == Version::V2)?;
    let request = extensions.as_object().and_then(|extensions| SignInRequest::read(extensions, network))?;
    let Place { domain, origin, .. } = Place::of(url)?;
    request.is_from(&domain, &origin).then_some(request)
}

impl PaymentOption {
    /// True if this option of a newer challenge costs no more than one of an older challenge, in the same asset. A server
    /// that has learnt an account meanwhile could ask it for more.
    pub fn is_at_most(&self, before: &Self) -> bool {
        self.asset.network == before.asset.network && self.token == before.token && self.amount <= before.amount
    }
}
