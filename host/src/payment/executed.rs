//! Executed and Settled: the answer exists and is sealed until the money has moved.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};

use super::verified::{Reserved, same};
use super::{Problem, Till};
use crate::facilitator::Settlement;
use crate::ledger::KeptAnswer;
use crate::plugin::{Fault, Permit, Plugin};
use crate::x402::{Reason, SettlementResponse, Version};

/// A guest's whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The guest has run. Its answer is private until settled.
#[derive(Debug)]
#[must_use]
pub struct Executed {
    reserved: Reserved,
    answer: Answer,
}

/// The money moved: the answer may leave.
#[derive(Debug)]
#[must_use]
pub struct Settled {
    answer: Answer,
    settlement: SettlementResponse,
    version: Version,
    payment_id: String,
}

/// How a paid request ended well.
#[derive(Debug)]
pub enum Finished {
    /// Paid, and here is what was bought.
    Settled(Settled),
    /// The guest answered with a status of 400 or above: not charged, passed on.
    Declined(Answer),
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Execution {
    Done(Executed),
    Declined(Answer),
}

/// Runs the guest and holds its whole answer, as large as the plugin's limit allows.
pub(super) async fn run(plugin: &Plugin, permit: Permit, request: Request<Bytes>) -> Result<Answer, Fault> {
    let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
    let (head, body) = plugin.invoke(permit, request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

impl Executed {
    pub(super) fn new(reserved: Reserved, answer: Answer) -> Self {
        Self { reserved, answer }
    }

    /// Takes the money for an answer already made.
    ///
    /// Consumes the answer, so it is settled at most once. When the settlement is refused nothing
    /// moved. When its end is unknown the transfer may still land: the entry stays settling until
    /// recovery knows, and the answer waits in the ledger for the same payment.
    pub(super) async fn settle(self, till: &Till) -> Result<Settled, Problem> {
        let Self { reserved, answer } = self;
        let payment_id = reserved.id.short();
        let request =
            serde_json::to_string(&reserved.accepted.request).map_err(|error| Problem::Ledger(error.to_string()));
        let request = match request {
            Ok(request) => request,
            Err(problem) => return Err(reserved.release(till, problem).await),
        };
        if let Err(error) = till.ledger.settling(&reserved.id, request, Some(keep(&answer)), till.now()).await {
            // The row may have become settling all the same; then recovery decides, and a release is refused.
            return Err(match till.ledger.release(&reserved.id).await {
                Ok(()) => Problem::Ledger(error.to_string()),
                Err(_) => Problem::Unknown { payment_id },
            });
        }
        match reserved.accepted.tender.facilitator.settle(&reserved.accepted.request).await {
            Settlement::Settled(settlement) => {
                if let Some(difference) = disagreement(&reserved, &settlement) {
                    tracing::error!(payment = %payment_id, %difference, "the facilitator's settlement is not this payment's");
                    return Err(Problem::Unknown { payment_id });
                }
                let keep = answer.body.len() <= till.config.keep_answer_bytes;
                if let Err(error) = till.ledger.settled(&reserved.id, settlement.clone(), keep, till.now()).await {
                    // The chain said yes; recovery repairs the row, and the client is served.
                    tracing::error!(payment = %payment_id, %error, "a settled payment could not be written");
                }
                Ok(Settled { answer, settlement, version: reserved.version(), payment_id })
            }
            // It was unused when it was verified: used by this very settlement, or by somebody who was faster.
            // Either way the payer has paid, and must not be asked again.
            Settlement::Refused { reason, .. } if reason == Reason::NonceAlreadyUsed.as_str() => {
                tracing::warn!(payment = %payment_id, "its nonce is used, and nobody says by which transaction");
                Err(Problem::Unknown { payment_id })
            }
            Settlement::Refused { reason, message, transaction } => {
                let sent = (!transaction.is_empty()).then(|| transaction.clone());
                if let Err(error) = till.ledger.refused(&reserved.id, reason.clone(), sent, till.now()).await {
                    tracing::error!(payment = %payment_id, %error, "a refused payment could not be written");
                }
                let v1 = reserved.version() == Version::V1;
                let network = network(&reserved);
                Err(Problem::NotSettled { reason, message, transaction, network, payer: reserved.id.payer, v1 })
            }
            Settlement::Unknown { transaction, message } => {
                tracing::warn!(payment = %payment_id, ?transaction, %message, "a settlement's end is unknown");
                Err(Problem::Unknown { payment_id })
            }
        }
    }
}

/// A facilitator that settles something else is not believed.
fn disagreement(reserved: &Reserved, settlement: &SettlementResponse) -> Option<String> {
    if !settlement.success || settlement.transaction.is_empty() {
        return Some("it claims success without a transaction".to_owned());
    }
    match &settlement.payer {
        Some(payer) if !same(payer, &reserved.id.payer) => Some(format!("it names the payer {payer}")),
        _ => None,
    }
}

fn network(reserved: &Reserved) -> String {
    let network = &reserved.id.network;
    match reserved.version() {
        Version::V1 => network.v1_name().unwrap_or(network.as_str()).to_owned(),
        Version::V2 => network.to_string(),
    }
}

fn keep(answer: &Answer) -> KeptAnswer {
    KeptAnswer {
        status: answer.status,
        headers: answer.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        body: answer.body.clone(),
    }
}

impl Settled {
    /// An answer that this very payment bought before.
    pub(super) fn kept(
        settlement: SettlementResponse,
        kept: KeptAnswer,
        version: Version,
        payment_id: String,
    ) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(kept.headers.len());
        for (name, value) in kept.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?);
        }
        let answer = Answer { status: kept.status, headers, body: kept.body };
        Some(Self { answer, settlement, version, payment_id })
    }

    /// Opens the seal.
    pub fn open(self) -> (Answer, SettlementResponse, Version, String) {
        (self.answer, self.settlement, self.version, self.payment_id)
    }
}
