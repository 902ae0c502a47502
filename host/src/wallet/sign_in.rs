//! Signs in: proves to a server, without a payment, which account the wallet has.

use coinslot_evm::{Key, KeyError};
use coinslot_x402::sign_in::SignInRequest;
use coinslot_x402::{Object, Version};

use super::ReceivedChallenge;
use crate::place::Place;

/// The proof that the challenge of this URL asks for: a client that returns by a pass, or has free requests, sends it in
/// place of a payment. None: the challenge asks for none, or for one that would count at another server.
pub fn sign_in(key: &Key, challenge: &ReceivedChallenge, url: &str) -> Result<Option<Object>, KeyError> {
    let Some(request) = request(challenge, url) else { return Ok(None) };
    let sign = |hash| key.sign(hash).map(|signature| signature.as_bytes().into());
    request.answer(key.address(), sign).map(Some)
}

fn request(challenge: &ReceivedChallenge, url: &str) -> Option<SignInRequest> {
    // Version 1 has no extensions.
    let extensions = challenge.extensions.as_ref().filter(|_| challenge.version == Version::V2)?;
    let request = extensions.as_object().and_then(SignInRequest::read)?;
    let Place { domain, origin, .. } = Place::of(url)?;
    request.is_from(&domain, &origin).then_some(request)
}
