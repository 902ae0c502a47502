//! Executed, Paid and Settled: an answer that waits for the money, money that waits for an answer, and
//! the two together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};

use super::charge::charge;
use super::delivery::PaidBody;
use super::verified::Reserved;
use super::{Payments, Problem, Purchase};
use coinslot_ledger::{PaymentId, Retained, Step, StoredAnswer};
use coinslot_plugin::{BreakerPermit, Fault, Permit, Plugin, Receipt, ResponseBody, Verdict};
use coinslot_x402::offer_receipt::sign_receipt;
use coinslot_x402::{SettlementResponse, Version};

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
    /// Leave to run the plugin. An old debt has none: the plugin's health is looked at when it runs.
    pub(super) admission: Option<BreakerPermit>,
}

/// The money moved: the answer may leave.
#[derive(Debug)]
#[must_use]
pub struct Settled {
    status: u16,
    headers: HeaderMap,
    paid_body: PaidBody,
    settled: SettledPayment,
}

/// What goes out beside a paid answer.
#[derive(Clone, Debug)]
pub struct SettledPayment {
    pub id: PaymentId,
    pub settlement: SettlementResponse,
    pub version: Version,
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
    hold(begin(plugin, permit, request).await?).await
}

/// Runs the guest until the head of its answer.
async fn begin(plugin: &Plugin, permit: Permit, request: Request<Bytes>) -> Result<Response<ResponseBody>, Fault> {
    let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
    plugin.invoke(permit, request).await
}

async fn hold(response: Response<ResponseBody>) -> Result<Answer, Fault> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

impl Executed {
    pub(super) fn new(reserved: Reserved, answer: Answer, run: Duration) -> Self {
        Self { reserved, answer, run }
    }

    /// Takes the money for an answer already made. Consumes the answer, so it is settled at most once.
    pub async fn settle(self, payments: &Arc<Payments>) -> Result<Settled, Problem> {
        let Self { reserved, answer, run } = self;
        let (id, version) = (reserved.id.clone(), reserved.version());
        let settlement = charge(payments, reserved, Some((answer.kept(), run))).await?;
        Ok(Settled::new(payments, SettledPayment { id, settlement, version }, answer))
    }
}

impl Reserved {
    /// Takes the money before the guest runs, unless there is no room to run it.
    pub(super) async fn settle_first(mut self, payments: &Arc<Payments>, purchase: &Purchase) -> Result<Paid, Problem> {
        if let Err(busy) = purchase.plugin.has_room().await {
            return Err(self.release(payments, Problem::Plugin(busy)).await);
        }
        let (id, version, receipt) = (self.id.clone(), self.version(), self.receipt());
        let admission = self.admission.take();
        let settlement = charge(payments, self, None).await?;
        Ok(Paid { id, settlement, version, receipt, admission })
    }
}

impl Paid {
    /// Runs the guest for money that has moved. Whatever keeps it from answering leaves a debt: the same
    /// payment runs again.
    ///
    /// What is still being written when the head is there is not held back any more: it streams.
    pub(super) async fn execute(
        self,
        payments: &Arc<Payments>,
        purchase: &Purchase,
        request: Request<Bytes>,
    ) -> Result<Settled, Problem> {
        let Self { id, settlement, version, receipt, admission } = self;
        let settled = SettledPayment { id, settlement, version };
        let begun = Instant::now();
        let permit = Permit::grant(Some(receipt)).admitted(admission).patient();
        let failure = match answer(&purchase.plugin, permit, request).await {
            Ok(Given::Whole(answer)) => {
                payments.debts.paid(&settled.id);
                let kept = Retained::Answer(answer.kept());
                let step = Step::Answered { kept, run: begun.elapsed() };
                if let Err(error) = payments.ledger.advance(&settled.id, step, payments.now()).await {
                    // The client is served. After a restart the row is owed, and may be fetched once more.
                    tracing::error!(payment = %settled.id, %error, "a paid answer could not be written");
                }
                return Ok(Settled::new(payments, settled, answer));
            }
            Ok(Given::Stream(response)) => {
                let (head, body) = response.into_parts();
                let (status, headers) = (head.status.as_u16(), head.headers);
                let paid_body = PaidBody::stream(payments, &settled.id, (status, headers.clone()), body, begun);
                return Ok(Settled { status, headers, paid_body, settled });
            }
            Err(failure) => failure,
        };
        let reason = match &failure {
            Failure::Fault(fault) => fault.to_string(),
            Failure::Declined(answer) => format!("the plugin answered {}", answer.status),
            Failure::Misbehaved(what) => what.clone(),
        };
        // Not asked, it has not failed.
        if !matches!(failure, Failure::Fault(Fault::CircuitOpen { .. } | Fault::Busy)) {
            payments.debts.failed(&settled.id, Instant::now());
        }
        payments.owe(&settled.id, reason).await;
        Err(Problem::Owed { settled, failure })
    }
}

/// What a guest gives for money that has moved.
enum Given {
    /// It has ended, and here is all of it.
    Whole(Answer),
    /// It is still at work.
    Stream(Response<ResponseBody>),
}

async fn answer(plugin: &Plugin, permit: Permit, request: Request<Bytes>) -> Result<Given, Failure> {
    let response = begin(plugin, permit, request).await.map_err(Failure::Fault)?;
    let ended = response.body().size_hint().exact().is_some();
    match Verdict::of(response.status().as_u16()) {
        Verdict::Done if !ended => Ok(Given::Stream(response)),
        Verdict::Done => hold(response).await.map(Given::Whole).map_err(Failure::Fault),
        Verdict::Failed => Err(hold(response).await.map_or_else(Failure::Fault, Failure::Declined)),
        Verdict::Forbidden => Err(Failure::Misbehaved("the plugin answered 402 itself".to_owned())),
    }
}

impl Payments {
    /// Writes down that money has moved for an answer that was not given.
    pub(super) async fn owe(&self, id: &PaymentId, reason: String) {
        tracing::warn!(payment = %id, %reason, "paid for and not answered: the answer is owed");
        if let Err(error) = self.ledger.advance(id, Step::Owed { reason }, self.now()).await {
            tracing::error!(payment = %id, %error, "a debt could not be written; it is one after a restart");
        }
    }
}

impl Settled {
    fn new(payments: &Arc<Payments>, settled: SettledPayment, answer: Answer) -> Self {
        let Answer { status, headers, body } = answer;
        Self { status, headers, paid_body: PaidBody::whole(payments, &settled.id, body), settled }
    }

    /// An answer that this very payment bought before.
    pub(super) fn kept(payments: &Arc<Payments>, settled: SettledPayment, kept: StoredAnswer) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(kept.headers.len());
        for (name, value) in kept.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(Self::new(payments, settled, Answer { status: kept.status, headers, body: kept.body }))
    }

    /// With a signed receipt, where there is a key for it: who paid for what gets it, in version 2. The
    /// transaction is in the settlement beside it, and not in what is passed on.
    pub(super) fn with_receipt(mut self, payments: &Payments, resource_url: &str) -> Self {
        let SettledPayment { id, settlement, version } = &mut self.settled;
        if let (Some(sign), Version::V2) = (&payments.config.receipts, *version) {
            match sign_receipt(resource_url, id.network(), id.payer(), None, payments.now(), |digest| sign(digest)) {
                Ok(receipt) => receipt.attach(settlement),
                Err(error) => tracing::error!(payment = %id, %error, "a receipt could not be signed"),
            }
        }
        self
    }

    /// Opens the seal.
    pub fn open(self) -> (u16, HeaderMap, PaidBody, SettledPayment) {
        (self.status, self.headers, self.paid_body, self.settled)
    }
}
