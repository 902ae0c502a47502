//! Returns to a server without a payment: signs in where the challenge lets accounts do so, as stock clients with the
//! extension `sign-in-with-x` do.
//!
//! The server alone knows the passes and the free requests of an account. So each challenge with the extension is
//! answered by a sign-in first, and paid where that is not enough.

use coinslot_base::text::excerpt;
use coinslot_evm::Key;
use coinslot_x402::header;
use coinslot_x402::sign_in::SIGN_IN_WITH_X;

use super::http::{MOST_SHOWN, PayClient, SellerAnswer, Unanswered};
use super::purchase::{RequestSpec, SignedHeader};
use crate::cli::Failure;
use crate::logging;
use crate::wallet::{self, PaymentOption, ReceivedChallenge};

/// The end of a request of an account that signs in.
pub(super) enum SignedInAnswer {
    /// The server takes no sign-ins, or none of this account, or the request carries one of its own.
    NotAsked,
    /// An answer below 400.
    Given(SellerAnswer),
    /// The account has no pass and nothing free that serves the request. This is the newer challenge.
    StillToPay(ReceivedChallenge),
}

/// Sends the request once more with the proof that the challenge asks for.
pub(super) async fn sign_in(
    client: &PayClient,
    request: &RequestSpec,
    (challenge, option): (&ReceivedChallenge, &PaymentOption),
    key: &Key,
) -> Result<SignedInAnswer, Failure> {
    if request.headers.iter().any(|(name, _)| name == SIGN_IN_WITH_X) {
        return Ok(SignedInAnswer::NotAsked);
    }
    let proof = wallet::sign_in(key, challenge, option, request.url.as_str())
        .map_err(|error| Failure::new(error.to_string()))?;
    let Some(proof) = proof else { return Ok(SignedInAnswer::NotAsked) };
    let proof = SignedHeader { header: SIGN_IN_WITH_X.to_owned(), value: header::encode(&proof) };
    let answer = client.send(request, Some(&proof)).await.map_err(Unanswered::unpaid)?;
    match answer.status {
        402 => {}
        ..400 => return Ok(SignedInAnswer::Given(answer)),
        status => {
            logging::say(&format!("the server answered {status} to the sign-in, so the request is paid for"));
            return Ok(SignedInAnswer::NotAsked);
        }
    }
    let newer = answer.challenge().await?;
    if let Some(reason) = newer.error.as_ref().filter(|reason| challenge.error.as_ref() != Some(reason)) {
        logging::say(&format!("no pass of this account serves the request: {}", excerpt(reason, MOST_SHOWN)));
    }
    Ok(SignedInAnswer::StillToPay(newer))
}
