//! The state Settled: the money moved, and the answer may leave.

use std::sync::Arc;

use coinslot_ledger::{Holder, PaymentId};
use coinslot_x402::offer_receipt::sign_receipt;
use coinslot_x402::{SettlementResponse, Version};
use http::{HeaderMap, HeaderValue};

use super::Payments;
use super::answer::GuestAnswer;
use super::delivery::PaidBody;
use super::pass::BuyingPage;
use super::streamed::StreamedAnswer;

/// The money moved: the answer may leave.
#[derive(Debug)]
#[must_use]
pub struct Settled {
    status: u16,
    headers: HeaderMap,
    body: PaidBody,
    payment: SettledPayment,
    /// The cookie with the pass that it bought, for a browser.
    pass: Option<HeaderValue>,
}

/// A payment with its settlement, as a response shows it.
#[derive(Clone, Debug)]
pub struct SettledPayment {
    pub id: PaymentId,
    pub settlement: SettlementResponse,
    /// The version in which the client paid.
    pub version: Version,
}

impl Settled {
    /// A whole answer, which is in the ledger.
    pub(super) fn whole(payments: &Arc<Payments>, payment: SettledPayment, answer: GuestAnswer) -> Self {
        let GuestAnswer { status, headers, body } = answer;
        Self { status, headers, body: PaidBody::whole(payments, &payment.id, body), payment, pass: None }
    }

    /// An answer that the guest is still writing.
    pub(super) fn streamed(status: u16, headers: HeaderMap, body: StreamedAnswer, payment: SettledPayment) -> Self {
        Self { status, headers, body: PaidBody::streamed(body), payment, pass: None }
    }

    /// Adds a signed receipt if the host has a key for it. Version 2 only: version 1 has no place for one. The receipt
    /// does not name the transaction, which the settlement beside it does.
    pub(super) fn with_receipt(mut self, payments: &Payments, resource_url: &str) -> Self {
        let SettledPayment { id, settlement, version } = &mut self.payment;
        if let (Some(sign), Version::V2) = (&payments.config.receipts, *version) {
            match sign_receipt(resource_url, id.network(), id.payer(), None, payments.now(), |digest| sign(digest)) {
                Ok(receipt) => receipt.attach(settlement),
                Err(error) => tracing::error!(payment = %id, %error, "a receipt could not be signed"),
            }
        }
        self
    }

    /// Gives the page that pays the cookie of the pass that it bought.
    pub(super) fn with_pass(self, payments: &Payments, page: &BuyingPage, holder: &Holder) -> Self {
        Self { pass: page.cookie(payments, holder, &self.payment.id), ..self }
    }

    /// The cookie of the pass that was bought.
    pub fn pass(&self) -> Option<&HeaderValue> {
        self.pass.as_ref()
    }

    /// Opens the seal: status, headers, body, and the payment that they were bought with.
    pub fn open(self) -> (u16, HeaderMap, PaidBody, SettledPayment) {
        (self.status, self.headers, self.body, self.payment)
    }
}
