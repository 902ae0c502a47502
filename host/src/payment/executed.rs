//! Executed, Paid and Settled: an answer that waits for the money, money that waits for an answer, and
//! the two together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};

use super::charge::charge;
use super::verified::Reserved;
use super::{Problem, Sale, Till};
use crate::ledger::{KeptAnswer, PaymentId};
use crate::plugin::{Fault, Permit, Plugin, Receipt, Verdict};
use crate::x402::offer_receipt::sign_receipt;
use crate::x402::{SettlementResponse, Version};

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
    run: Duration,
}

/// The money moved, and the guest has not answered yet.
#[derive(Debug)]
#[must_use]
pub struct Paid {
    pub(super) id: PaymentId,
    pub(super) settlement: SettlementResponse,
    pub(super) version: Version,
    /// What the guest sees.
    pub(super) receipt: Receipt,
}

/// The money moved: the answer may leave.
#[derive(Debug)]
#[must_use]
pub struct Settled {
    answer: Answer,
    goods: Goods,
    delivery: Delivery,
}

/// What goes out beside a paid answer.
#[derive(Clone, Debug)]
pub struct Goods {
    pub id: PaymentId,
    pub settlement: SettlementResponse,
    pub version: Version,
}

/// To be told when the answer has left.
#[derive(Debug)]
#[must_use]
pub struct Delivery {
    till: Arc<Till>,
    id: PaymentId,
    keep: bool,
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

/// What kept a guest from answering what was paid before.
#[derive(Debug)]
pub enum Failure {
    /// It failed.
    Fault(Fault),
    /// It answered with a status of 400 or above, which is passed on.
    Declined(Answer),
    /// It broke its contract.
    Misbehaved(String),
}

/// Runs the guest and holds its whole answer, as large as the plugin's limit allows.
pub(super) async fn run(plugin: &Plugin, permit: Permit, request: Request<Bytes>) -> Result<Answer, Fault> {
    let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
    let (head, body) = plugin.invoke(permit, request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

impl Answer {
    fn kept(&self) -> KeptAnswer {
        KeptAnswer {
            status: self.status,
            headers: self.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
            body: self.body.clone(),
        }
    }
}

impl Executed {
    pub(super) fn new(reserved: Reserved, answer: Answer, run: Duration) -> Self {
        Self { reserved, answer, run }
    }

    /// Takes the money for an answer already made. Consumes the answer, so it is settled at most once.
    pub async fn settle(self, till: &Arc<Till>) -> Result<Settled, Problem> {
        let Self { reserved, answer, run } = self;
        let (id, version) = (reserved.id.clone(), reserved.version());
        let settlement = charge(till, reserved, Some((answer.kept(), run))).await?;
        Ok(Settled::new(till, Goods { id, settlement, version }, answer))
    }
}

impl Reserved {
    /// Takes the money before the guest runs.
    pub(super) async fn settle_first(self, till: &Arc<Till>) -> Result<Paid, Problem> {
        let (id, version, receipt) = (self.id.clone(), self.version(), self.receipt());
        let settlement = charge(till, self, None).await?;
        Ok(Paid { id, settlement, version, receipt })
    }
}

impl Paid {
    /// Runs the guest for money that has moved. Whatever keeps it from answering leaves a debt: the same
    /// payment runs again.
    pub(super) async fn execute(
        self,
        till: &Arc<Till>,
        sale: &Sale,
        request: Request<Bytes>,
    ) -> Result<Settled, Problem> {
        let Self { id, settlement, version, receipt } = self;
        let goods = Goods { id, settlement, version };
        let begun = Instant::now();
        let failure = match run(&sale.plugin, Permit::grant(Some(receipt)), request).await {
            Ok(answer) => match Verdict::of(answer.status) {
                Verdict::Done => {
                    let kept = till.ledger.answered(&goods.id, answer.kept(), begun.elapsed(), till.now()).await;
                    if let Err(error) = kept {
                        // The client is served. After a restart the row is owed, and may be fetched once more.
                        tracing::error!(payment = %goods.id, %error, "a paid answer could not be written");
                    }
                    return Ok(Settled::new(till, goods, answer));
                }
                Verdict::Failed => Failure::Declined(answer),
                Verdict::Forbidden => Failure::Misbehaved("the plugin answered 402 itself".to_owned()),
            },
            Err(fault) => Failure::Fault(fault),
        };
        let reason = match &failure {
            Failure::Fault(fault) => fault.to_string(),
            Failure::Declined(answer) => format!("the plugin answered {}", answer.status),
            Failure::Misbehaved(what) => what.clone(),
        };
        tracing::warn!(payment = %goods.id, %reason, "paid for and not answered: the answer is owed");
        if let Err(error) = till.ledger.owe(&goods.id, reason, till.now()).await {
            tracing::error!(payment = %goods.id, %error, "a debt could not be written; it is one after a restart");
        }
        Err(Problem::Owed { goods, failure })
    }
}

impl Settled {
    fn new(till: &Arc<Till>, goods: Goods, answer: Answer) -> Self {
        let keep = answer.body.len() <= till.config.keep_answer_bytes;
        let delivery = Delivery { till: Arc::clone(till), id: goods.id.clone(), keep };
        Self { answer, goods, delivery }
    }

    /// An answer that this very payment bought before.
    pub(super) fn kept(till: &Arc<Till>, goods: Goods, kept: KeptAnswer) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(kept.headers.len());
        for (name, value) in kept.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(Self::new(till, goods, Answer { status: kept.status, headers, body: kept.body }))
    }

    /// With a signed receipt, where there is a key for it: who paid for what gets it, in version 2. The
    /// transaction is in the settlement beside it, and not in what is passed on.
    pub(super) fn with_receipt(mut self, till: &Till, resource_url: &str) -> Self {
        let Goods { id, settlement, version } = &mut self.goods;
        if let (Some(sign), Version::V2) = (&till.config.receipts, *version) {
            match sign_receipt(resource_url, id.network(), id.payer(), None, till.now(), |digest| sign(digest)) {
                Ok(receipt) => receipt.attach(settlement),
                Err(error) => tracing::error!(payment = %id, %error, "a receipt could not be signed"),
            }
        }
        self
    }

    /// Opens the seal.
    pub fn open(self) -> (Answer, Goods, Delivery) {
        (self.answer, self.goods, self.delivery)
    }
}

impl Delivery {
    /// The whole answer was handed to the connection. Whether it arrived only the client knows, who may
    /// fetch it again.
    pub fn done(self) {
        let Self { till, id, keep } = self;
        let work = Arc::clone(&till);
        till.track(async move {
            if let Err(error) = work.ledger.delivered(&id, keep, work.now()).await {
                tracing::debug!(payment = %id, %error, "a delivery could not be written");
            }
        });
    }
}
