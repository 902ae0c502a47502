//! Verified and Reserved: signed, in time, and then claimed for one request alone.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use alloy::primitives::hex;
use bytes::Bytes;
use http::Request;
use sha2::{Digest, Sha256};

use super::accepted::{Accepted, RefusedPayment, advice};
use super::executed::{Executed, Execution, Paid, Settled, SettledPayment};
use super::exposure::Exposure;
use super::{PaymentMethod, Payments, Problem, Purchase, required};
use coinslot_facilitator::{PayerKind, Readiness, Verification};
use coinslot_ledger::{self as ledger, Claimed, Fingerprint, PaymentId, Step};
use coinslot_plugin::{BreakerPermit, Circuit, Fault, Permit, Receipt, Verdict};
use coinslot_x402::exact::ExactPayload;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::{Amount, Asset, Offer, Price};
use coinslot_x402::{Flow, Network, UnixTime, Version};

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
    /// How long the checks took.
    pub(super) verify: Duration,
    pub(super) admission: Option<BreakerPermit>,
    _exposure: Option<Exposure>,
}

/// How the attempt to claim ended.
#[derive(Debug)]
pub(super) enum Claim {
    /// Run, and then settle.
    Run(Reserved),
    /// Settle, and then run.
    SettleFirst(Reserved),
    /// It was settled before, and the answer is still owed.
    Owed(Paid),
    /// It bought this answer before.
    Settled(Settled),
}

impl Verified {
    pub(super) fn new(accepted: Accepted) -> Self {
        Self { accepted }
    }

    /// Lets only those go on whose money can be moved, and whose plugin is asked: nobody pays for a 503.
    pub(super) fn admit(self, circuit: Circuit) -> Result<Self, RefusedPayment<Problem>> {
        match (self.accepted.payment_method.facilitator.readiness(), circuit) {
            (Readiness::Ready, Circuit::Closed) => Ok(self),
            (Readiness::Ready, Circuit::Open { retry }) => {
                Err(self.accepted.turn_away(Problem::Plugin(Fault::CircuitOpen { retry })))
            }
            (Readiness::NoGas, _) => Err(self.accepted.turn_away(Problem::CannotSettle)),
        }
    }

    /// One payer does not keep everybody else waiting.
    pub(super) fn within_rate(self, payments: &Payments) -> Result<Self, RefusedPayment<Problem>> {
        match payments.admit_payer(self.accepted.exact.authorization.from) {
            Ok(()) => Ok(self),
            Err(problem) => Err(self.accepted.turn_away(problem)),
        }
    }

    /// Claims the payment for this request, durably, and then asks the facilitator. On an error the
    /// claim is released, except where the row belongs to an earlier attempt.
    pub(super) async fn reserve(
        self,
        payments: &Arc<Payments>,
        purchase: &Purchase,
        offer: &Offer,
        request: &Request<Bytes>,
        claimed: &OnceLock<PaymentId>,
    ) -> Result<Claim, Problem> {
        let begun = Instant::now();
        let Self { accepted } = self;
        let Price { asset, amount, pay_to, .. } = &accepted.price;
        let (flow, exposure) = payments.flow(purchase, &accepted);
        let claim = ledger::Claim {
            amount: amount.to_string(),
            pay_to: pay_to.to_string(),
            flow,
            identifier: accepted.identifier.clone(),
            ..claim(payments, purchase, asset, &accepted.exact, request)
        };
        let id = claim.id.clone();
        in_its_time(payments, &id)?;
        match payments.ledger.claim(claim).await {
            Ok(Claimed::Won) => {
                let _ = claimed.set(id.clone());
            }
            Ok(Claimed::Refused { reason }) => {
                let challenge = required(payments, purchase, offer, &reason);
                return Err(Problem::Invalid { reason, message: None, challenge });
            }
            Ok(standing) => {
                if let Claimed::Owed { .. } = standing {
                    let _ = claimed.set(id.clone());
                }
                let receipt = receipt(asset, &accepted.exact, &id);
                return outcome(payments, standing, id, accepted.version(), receipt);
            }
            Err(error) => return Err(Problem::Ledger(error.to_string())),
        }
        let mut reserved = Reserved { accepted, id, verify: Duration::ZERO, admission: None, _exposure: exposure };
        let kind = match reserved.confirm(payments, purchase, offer).await {
            Ok(kind) => kind,
            Err(problem) => return Err(reserved.release(payments, problem).await),
        };
        reserved.verify = begun.elapsed();
        // Only now: who has not shown that the money is there may not be the one that tries an ill plugin.
        match purchase.plugin.admit() {
            Ok(admission) => reserved.admission = Some(admission),
            Err(fault) => return Err(reserved.release(payments, Problem::Plugin(fault)).await),
        }
        // A contract may call its own signature false between the run and the settlement.
        Ok(match (flow, kind) {
            (Flow::Upfront, _) | (_, PayerKind::Contract) => Claim::SettleFirst(reserved),
            (Flow::Authorization, PayerKind::Account | PayerKind::Unknown) => Claim::Run(reserved),
        })
    }
}

impl Reserved {
    /// Asks the facilitator whether the payment would settle.
    async fn confirm(&self, payments: &Payments, purchase: &Purchase, offer: &Offer) -> Result<PayerKind, Problem> {
        match self.accepted.payment_method.facilitator.verify(&self.accepted.request).await {
            Verification::Valid { payer, kind } if same(&payer, self.id.payer()) => Ok(kind),
            Verification::Valid { payer, .. } => Err(Problem::CannotVerify(format!(
                "the facilitator took {payer} for the payer, who is {}",
                self.id.payer()
            ))),
            Verification::Invalid { reason, message, .. } => {
                let message = message.or_else(|| {
                    coinslot_x402::Reason::ALL
                        .iter()
                        .find(|known| known.as_str() == reason)
                        .map(|r| advice(*r).to_owned())
                });
                let challenge = required(payments, purchase, offer, &reason);
                Err(Problem::Invalid { reason, message, challenge })
            }
            Verification::Unavailable(error) => Err(Problem::CannotVerify(error.message)),
        }
    }

    /// Gives the claim up: nothing was sent, so the same payment may be tried again.
    pub(super) async fn release(self, payments: &Payments, problem: Problem) -> Problem {
        match payments.ledger.advance(&self.id, Step::Released, payments.now()).await {
            Ok(()) => problem,
            // The row stays reserved until a restart; the client hears the truth about this attempt.
            Err(error) => {
                tracing::error!(payment = %self.id, %error, "a claim could not be released");
                problem
            }
        }
    }

    /// Runs the guest, once. A fault, or an answer that says that the work is not done, releases the claim.
    pub(super) async fn execute(
        mut self,
        payments: &Payments,
        purchase: &Purchase,
        request: Request<Bytes>,
    ) -> Result<Execution, Problem> {
        if let Err(error) = payments.ledger.advance(&self.id, Step::Executing, payments.now()).await {
            return Err(self.release(payments, Problem::Ledger(error.to_string())).await);
        }
        let begun = Instant::now();
        let permit = Permit::grant(Some(self.receipt())).admitted(self.admission.take());
        match super::executed::run(&purchase.plugin, permit, request).await {
            Ok(answer) => match Verdict::of(answer.status) {
                Verdict::Done => Ok(Execution::Done(Executed::new(self, answer, begun.elapsed()))),
                Verdict::Failed => {
                    // The problem is a stand-in: the guest's own answer goes out.
                    self.release(payments, Problem::BodyBroken).await;
                    Ok(Execution::Declined(answer))
                }
                Verdict::Forbidden => {
                    let problem = Problem::Misbehaved("the plugin answered 402 itself".to_owned());
                    Err(self.release(payments, problem).await)
                }
            },
            Err(fault) => Err(self.release(payments, Problem::Plugin(fault)).await),
        }
    }

    /// What the guest learns about who paid for this run.
    pub(super) fn receipt(&self) -> Receipt {
        receipt(&self.accepted.price.asset, &self.accepted.exact, &self.id)
    }

    pub(super) fn version(&self) -> Version {
        self.accepted.version()
    }
}

/// Addresses are compared as hex digits; a facilitator may write them checksummed or not.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// An answer that is owed, and was tried several times in vain, waits for its next try.
fn in_its_time(payments: &Payments, id: &PaymentId) -> Result<(), Problem> {
    match payments.debts.wait(id, Instant::now()) {
        Some(wait) => Err(Problem::OwedLater { payment_id: id.short(), wait }),
        None => Ok(()),
    }
}

fn receipt(asset: &Asset, exact: &ExactPayload, id: &PaymentId) -> Receipt {
    Receipt {
        payer: exact.authorization.from.to_checksum(None),
        amount: Amount(exact.authorization.value).decimal(asset.decimals),
        asset: asset.address.clone(),
        network: asset.network.to_string(),
        payment_id: id.short(),
    }
}

/// What an earlier claim of this payment means for whoever sends it again. Nothing here asks for another
/// payment.
fn outcome(
    payments: &Arc<Payments>,
    standing: Claimed,
    id: PaymentId,
    version: Version,
    receipt: Receipt,
) -> Result<Claim, Problem> {
    let payment_id = id.short();
    match standing {
        Claimed::InFlight => Err(Problem::InFlight { payment_id }),
        Claimed::OtherRequest => Err(Problem::OtherRequest { payment_id }),
        Claimed::Settling { .. } | Claimed::Won | Claimed::Refused { .. } => Err(Problem::Unknown { payment_id }),
        Claimed::Owed { settlement } => Ok(Claim::Owed(Paid { id, settlement, version, receipt, admission: None })),
        Claimed::Settled { settlement, answer: None } => Err(Problem::AnswerGone { payment_id, settlement, version }),
        Claimed::Settled { settlement, answer: Some(answer) } => {
            let settled = SettledPayment { id, settlement, version };
            Settled::kept(payments, settled, answer)
                .map(Claim::Settled)
                .ok_or_else(|| Problem::Ledger("a kept answer cannot be read".to_owned()))
        }
    }
}

/// What a payment that would be refused today bought before: its window may have passed, and the price
/// may have changed, since it was settled or sent. None if it bought nothing.
///
/// Its signature is not judged again: only the very payment that was claimed has its fingerprint.
pub(super) async fn earlier(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    payment: &PaymentPayload,
    request: &Request<Bytes>,
    claimed: &OnceLock<PaymentId>,
) -> Result<Option<Claim>, Problem> {
    let (payload, version, network, asset) = match payment {
        PaymentPayload::V1(v1) => (&v1.payload, Version::V1, Network::parse_v1(&v1.network), None),
        PaymentPayload::V2(v2) => {
            let text = |key: &str| v2.accepted.get(key).and_then(serde_json::Value::as_str);
            (&v2.payload, Version::V2, Network::parse(text("network").unwrap_or_default()), text("asset"))
        }
    };
    let (Ok(network), Ok(exact)) = (network, ExactPayload::parse(payload)) else { return Ok(None) };
    let named = |payment_method: &&PaymentMethod| {
        payment_method.asset.network == network && asset.is_none_or(|asset| same(asset, &payment_method.asset.address))
    };
    let Some(payment_method) = payments.payment_methods.iter().find(named) else { return Ok(None) };
    let claim = claim(payments, purchase, &payment_method.asset, &exact, request);
    let id = claim.id.clone();
    in_its_time(payments, &id)?;
    match payments.ledger.lookup(claim).await {
        Ok(None | Some(Claimed::Refused { .. })) => Ok(None),
        Ok(Some(standing)) => {
            if let Claimed::Owed { .. } = standing {
                let _ = claimed.set(id.clone());
            }
            let receipt = receipt(&payment_method.asset, &exact, &id);
            outcome(payments, standing, id, version, receipt).map(Some)
        }
        Err(error) => Err(Problem::Ledger(error.to_string())),
    }
}

/// The claim of a payment for a request, without the price.
fn claim(
    payments: &Payments,
    purchase: &Purchase,
    asset: &Asset,
    exact: &ExactPayload,
    request: &Request<Bytes>,
) -> ledger::Claim {
    let authorization = &exact.authorization;
    ledger::Claim {
        id: PaymentId::new(
            asset.network.clone(),
            asset.address.to_ascii_lowercase(),
            hex::encode_prefixed(authorization.from),
            hex::encode_prefixed(authorization.nonce),
        ),
        payment: payment_fingerprint(exact),
        request: request_fingerprint(purchase, request),
        endpoint: purchase.endpoint.clone(),
        plugin: purchase.plugin.info().name.clone(),
        generation: purchase.generation,
        amount: String::new(),
        pay_to: String::new(),
        testnet: asset.testnet,
        flow: Flow::Authorization,
        identifier: None,
        valid_before: UnixTime(u64::try_from(authorization.valid_before).unwrap_or(u64::MAX)),
        at: payments.now(),
    }
}

/// Everything that makes this signed payment this one.
fn payment_fingerprint(exact: &ExactPayload) -> Fingerprint {
    let authorization = &exact.authorization;
    let mut hash = Sha256::new();
    hash.update(authorization.to);
    hash.update(authorization.value.to_be_bytes::<32>());
    hash.update(authorization.valid_after.to_be_bytes::<32>());
    hash.update(authorization.valid_before.to_be_bytes::<32>());
    hash.update(&exact.signature);
    Fingerprint(hash.finalize().into())
}

/// Method, template, target, media type and body: what a repetition must have in common.
pub(super) fn request_fingerprint(purchase: &Purchase, request: &Request<Bytes>) -> Fingerprint {
    let mut hash = Sha256::new();
    let target = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    let media = request.headers().get(http::header::CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    for part in [purchase.endpoint.as_bytes(), target.as_bytes(), media, request.body()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Fingerprint(hash.finalize().into())
}
