//! Verified and Reserved: signed, in time, and then claimed for one request alone.

use alloy::primitives::hex;
use bytes::Bytes;
use http::Request;
use sha2::{Digest, Sha256};

use super::accepted::{Accepted, advice};
use super::executed::{Executed, Execution, Settled};
use super::{Problem, Sale, Till, required};
use crate::facilitator::Verification;
use crate::ledger::{self, Claimed, Fingerprint, PaymentId};
use crate::plugin::{Permit, Receipt};
use crate::price::Offer;
use crate::x402::{UnixTime, Version};

/// A payment that is for us, in time, and signed as far as can be told without a chain.
#[derive(Debug)]
#[must_use]
pub struct Verified {
    accepted: Accepted,
}

/// A payment that is claimed for one request: nobody else can use it until it is released.
#[derive(Debug)]
#[must_use]
pub struct Reserved {
    pub(super) accepted: Accepted,
    pub(super) id: PaymentId,
}

/// How the attempt to claim ended.
#[derive(Debug)]
pub(super) enum Claim {
    Won(Reserved),
    /// It bought this answer before.
    Settled(Settled),
}

impl Verified {
    pub(super) fn new(accepted: Accepted) -> Self {
        Self { accepted }
    }

    /// Claims the payment for this request, durably, and then asks the facilitator. On an error the
    /// claim is released, except where the row belongs to an earlier attempt.
    pub(super) async fn reserve(
        self,
        till: &Till,
        sale: &Sale,
        offer: &Offer,
        request: &Request<Bytes>,
    ) -> Result<Claim, Problem> {
        let accepted = self.accepted;
        let authorization = &accepted.exact.authorization;
        let id = PaymentId {
            network: accepted.price.asset.network.clone(),
            asset: accepted.price.asset.address.to_ascii_lowercase(),
            payer: hex::encode_prefixed(authorization.from),
            nonce: hex::encode_prefixed(authorization.nonce),
        };
        let claim = ledger::Claim {
            id: id.clone(),
            payment: payment_fingerprint(&accepted),
            request: request_fingerprint(sale, request),
            endpoint: sale.endpoint.clone(),
            plugin: sale.plugin.info().name.clone(),
            generation: sale.generation,
            amount: accepted.price.amount.to_string(),
            pay_to: accepted.price.pay_to.to_string(),
            testnet: accepted.price.asset.testnet,
            valid_before: UnixTime(u64::try_from(authorization.valid_before).unwrap_or(u64::MAX)),
            at: till.now(),
        };
        let payment_id = id.short();
        match till.ledger.claim(claim).await {
            Ok(Claimed::Won) => {}
            Ok(Claimed::InFlight) => return Err(Problem::InFlight { payment_id }),
            Ok(Claimed::OtherRequest) => return Err(Problem::OtherRequest { payment_id }),
            Ok(Claimed::Settling { .. }) => return Err(Problem::Unknown { payment_id }),
            Ok(Claimed::Refused { reason }) => {
                let challenge = required(sale, offer, &reason);
                return Err(Problem::Invalid { reason, message: None, challenge });
            }
            Ok(Claimed::Settled { settlement, answer: None }) => {
                return Err(Problem::AnswerGone { payment_id, settlement });
            }
            Ok(Claimed::Settled { settlement, answer: Some(answer) }) => {
                return Settled::kept(settlement, answer, accepted.version(), payment_id)
                    .map(Claim::Settled)
                    .ok_or_else(|| Problem::Ledger("a kept answer cannot be read".to_owned()));
            }
            Err(error) => return Err(Problem::Ledger(error.to_string())),
        }
        let reserved = Reserved { accepted, id };
        reserved.confirm(till, sale, offer).await.map(Claim::Won)
    }
}

impl Reserved {
    /// Asks the facilitator whether the payment would settle.
    async fn confirm(self, till: &Till, sale: &Sale, offer: &Offer) -> Result<Self, Problem> {
        let problem = match self.accepted.tender.facilitator.verify(&self.accepted.request).await {
            Verification::Valid { payer, .. } if same(&payer, &self.id.payer) => return Ok(self),
            Verification::Valid { payer, .. } => {
                Problem::CannotVerify(format!("the facilitator took {payer} for the payer, who is {}", self.id.payer))
            }
            Verification::Invalid { reason, message, .. } => {
                let message = message.or_else(|| {
                    crate::x402::Reason::ALL
                        .iter()
                        .find(|known| known.as_str() == reason)
                        .map(|r| advice(*r).to_owned())
                });
                let challenge = required(sale, offer, &reason);
                Problem::Invalid { reason, message, challenge }
            }
            Verification::Unavailable(error) => Problem::CannotVerify(error.message),
        };
        Err(self.release(till, problem).await)
    }

    /// Gives the claim up: nothing was sent, so the same payment may be tried again.
    pub(super) async fn release(self, till: &Till, problem: Problem) -> Problem {
        match till.ledger.release(&self.id).await {
            Ok(()) => problem,
            // The row stays reserved until a restart; the client hears the truth about this attempt.
            Err(error) => {
                tracing::error!(payment = %self.id, %error, "a claim could not be released");
                problem
            }
        }
    }

    /// Runs the guest, once. A fault, or a status of 400 and above, releases the claim.
    pub(super) async fn execute(
        self,
        till: &Till,
        sale: &Sale,
        _offer: &Offer,
        request: Request<Bytes>,
    ) -> Result<Execution, Problem> {
        let asset = &self.accepted.price.asset;
        let permit = Permit::grant(Some(Receipt {
            payer: self.accepted.exact.authorization.from.to_checksum(None),
            amount: self.accepted.price.amount.decimal(asset.decimals),
            asset: asset.address.clone(),
            network: asset.network.to_string(),
            payment_id: self.id.short(),
        }));
        match super::executed::run(&sale.plugin, permit, request).await {
            Ok(answer) if answer.status == 402 => {
                let problem = Problem::Misbehaved("the plugin answered 402 itself".to_owned());
                Err(self.release(till, problem).await)
            }
            Ok(answer) if answer.status >= 400 => {
                // The problem is a stand-in: the guest's own answer goes out.
                self.release(till, Problem::BodyBroken).await;
                Ok(Execution::Declined(answer))
            }
            Ok(answer) => Ok(Execution::Done(Executed::new(self, answer))),
            Err(fault) => Err(self.release(till, Problem::Plugin(fault)).await),
        }
    }

    pub(super) fn version(&self) -> Version {
        self.accepted.version()
    }
}

/// Addresses are compared as hex digits; a facilitator may write them checksummed or not.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Everything that makes this signed payment this one.
fn payment_fingerprint(accepted: &Accepted) -> Fingerprint {
    let authorization = &accepted.exact.authorization;
    let mut hash = Sha256::new();
    hash.update(authorization.to);
    hash.update(authorization.value.to_be_bytes::<32>());
    hash.update(authorization.valid_after.to_be_bytes::<32>());
    hash.update(authorization.valid_before.to_be_bytes::<32>());
    hash.update(&accepted.exact.signature);
    Fingerprint(hash.finalize().into())
}

/// Method, template, target, media type and body: what a repetition must have in common.
fn request_fingerprint(sale: &Sale, request: &Request<Bytes>) -> Fingerprint {
    let mut hash = Sha256::new();
    let target = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let media = request.headers().get(http::header::CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    for part in [sale.endpoint.as_bytes(), target.as_bytes(), media, request.body()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Fingerprint(hash.finalize().into())
}
