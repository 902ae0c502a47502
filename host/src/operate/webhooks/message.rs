//! The messages: an id, a type, a time and what it is about, as JSON.

use coinslot_ledger::{PaymentEvent, WebhookAttempt};
use coinslot_x402::UnixTime;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::operate::alerts::Alert;
use crate::operate::time;
use crate::operate::units::Units;

/// A message, whose bytes are the same at each attempt.
#[derive(Clone, Debug)]
pub(super) struct Message {
    id: String,
    kind: String,
    body: String,
    /// The event that it tells, and its payment. None: it tells an alert.
    told: Option<(u64, String)>,
}

impl Message {
    /// Tells what happened to a payment. Its id is the same whenever the event is told.
    pub(super) fn of_payment(event: &PaymentEvent, units: &Units, ledger: [u8; 16]) -> Self {
        let amount = units.written(&event.network, &event.asset, event.amount);
        let data = json!({
            "paymentId": event.payment_id,
            "network": event.network,
            "testnet": event.testnet,
            "asset": event.asset,
            "symbol": amount.symbol,
            "amount": amount.decimal,
            "atomicAmount": amount.atomic,
            "payer": event.payer,
            "payTo": event.pay_to,
            "endpoint": event.endpoint,
            "plugin": event.plugin,
            "transaction": event.transaction,
            "reason": event.reason,
            "requestId": event.request_id,
            "afterWork": event.after_work,
        });
        // The payment is in it: after a restore the ledger counts its events from an earlier number again.
        let payment = event.payment_id.get(..12).unwrap_or(&event.payment_id);
        let id = format!("evt_{}_{}_{payment}", hex::encode(&ledger[..6]), event.number);
        let told = Some((event.number, event.payment_id.clone()));
        Self::new(id, &format!("payment.{}", event.kind.as_str()), event.at, &data, told)
    }

    /// Tells that something is wrong since this time, or is wrong no longer.
    pub(super) fn of_alert(alert: &Alert, begins: bool, at: UnixTime) -> Self {
        let kind = if begins { "alert.raised" } else { "alert.cleared" };
        let subject = hex::encode(&Sha256::digest(alert.subject.as_bytes())[..6]);
        let id = format!("evt_{}_{}_{}_{subject}", kind.replace('.', "_"), at.0, alert.kind.as_str());
        Self::new(id, kind, at, &json!(alert), None)
    }

    fn new(id: String, kind: &str, at: UnixTime, data: &Value, told: Option<(u64, String)>) -> Self {
        let body = json!({ "id": id, "type": kind, "timestamp": time::shown(at), "data": data }).to_string();
        Self { id, kind: kind.to_owned(), body, told }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn body(&self) -> &str {
        &self.body
    }

    /// The record of an attempt to deliver it to this webhook, which ended with this status or error.
    pub(super) fn attempt(
        &self,
        webhook: &str,
        at: UnixTime,
        status: Option<u16>,
        error: Option<String>,
    ) -> WebhookAttempt {
        let (event, payment_id) = self.told.clone().unzip();
        let (webhook, message, kind) = (webhook.to_owned(), self.id.clone(), self.kind.clone());
        WebhookAttempt { webhook, at, message, kind, event, payment_id, status, error }
    }
}
