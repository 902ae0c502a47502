//! The content of a file of spending: the sums of each day, and the payments that may still be sent again or be given
//! back.

use std::collections::BTreeMap;

use alloy::primitives::U256;
use rmcp::model::JsonObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::mcp::budget::{Dollars, Period};

/// The time for which a payment is sent again after nobody can take it any more, in seconds. Hosts keep an answer that
/// was never delivered whole for a day.
pub(super) const SENT_AGAIN_FOR: u64 = 86_400;
/// The most payments whose end is open.
pub(super) const MAX_OPEN: usize = 256;
/// The most bytes of them, because they hold the arguments of their calls.
pub(super) const MAX_OPEN_BYTES: usize = 16 << 20;
/// The most payments that a node is asked about. Older ones stay spent.
const MAX_UNPROVEN: usize = 1_024;

/// The content of the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spending {
    pub(super) server: String,
    pub(super) payer: String,
    /// The dollars that were signed on each day, as in `2026-11-30`. A payment counts from before it is sent, whatever the
    /// server says of it later.
    spent: BTreeMap<String, String>,
    pub(super) open: Vec<OpenPayment>,
    /// The payments without a receipt that are not sent again. A server that has one may have taken the money, so they
    /// stay in `spent`, until a node proves that they were not used.
    unproven: Vec<CountedAuthorization>,
}

/// The part of a payment by which it counts, and by which the chain knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::mcp) struct CountedAuthorization {
    pub(in crate::cli::mcp) nonce: String,
    /// As a CAIP-2 identifier.
    pub(in crate::cli::mcp) network: String,
    pub(in crate::cli::mcp) token: String,
    pub(in crate::cli::mcp) dollars: String,
    /// The day on which it was signed, and counts.
    pub(in crate::cli::mcp) day: String,
    /// The time until which the seller can take the money, in Unix seconds.
    pub(in crate::cli::mcp) expires: u64,
}

/// A payment that was signed, and whose end is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli::mcp) struct OpenPayment {
    pub(in crate::cli::mcp) tool: String,
    pub(in crate::cli::mcp) arguments: JsonObject,
    /// The whole payment, which is as good as the money until it is used.
    pub(in crate::cli::mcp) payment: Value,
    /// The price, as in `0.01 USDC on eip155:8453 to 0x..`.
    pub(in crate::cli::mcp) price: String,
    #[serde(flatten)]
    pub(in crate::cli::mcp) counted: CountedAuthorization,
}

impl OpenPayment {
    /// The time until which the same call sends it again, in Unix seconds.
    pub(in crate::cli::mcp) fn sent_again_until(&self) -> u64 {
        self.counted.expires.saturating_add(SENT_AGAIN_FOR)
    }
}

impl Spending {
    /// The sum of a period.
    pub(super) fn spent(&self, period: Period, today: &str) -> Dollars {
        let of_days = self.spent.iter().filter(|(day, _)| period.contains(day, today));
        of_days.fold(Dollars::default(), |sum, (_, spent)| sum.plus(dollars_of(spent)))
    }

    /// The part of a period's sum for which there is no receipt, and never will be.
    pub(super) fn unproven_of(&self, period: Period, today: &str) -> Dollars {
        let of_period = self.unproven.iter().filter(|payment| period.contains(&payment.day, today));
        of_period.fold(Dollars::default(), |sum, payment| sum.plus(dollars_of(&payment.dollars)))
    }

    /// Counts a payment and keeps it.
    pub(super) fn begin(&mut self, payment: OpenPayment) {
        let day = self.spent.entry(payment.counted.day.clone()).or_default();
        *day = dollars_of(day).plus(dollars_of(&payment.counted.dollars)).0.to_string();
        self.open.push(payment);
    }

    /// Takes a payment from the open ones. It stays counted.
    pub(super) fn close(&mut self, nonce: &str) -> Option<CountedAuthorization> {
        let place = self.open.iter().position(|open| open.counted.nonce == nonce)?;
        Some(self.open.remove(place).counted)
    }

    /// Keeps a payment for a node's proof.
    pub(super) fn keep_unproven(&mut self, payment: CountedAuthorization) {
        if self.unproven.len() >= MAX_UNPROVEN {
            self.unproven.remove(0);
        }
        self.unproven.push(payment);
    }

    /// The payments that nobody can take any more, and that have no receipt.
    pub(super) fn provable(&self, now: u64) -> Vec<CountedAuthorization> {
        let open = self.open.iter().map(|open| &open.counted);
        self.unproven.iter().chain(open).filter(|payment| payment.expires < now).cloned().collect()
    }

    /// Gives the sum of a payment back, once. The payment is forgotten.
    pub(super) fn give_back(&mut self, nonce: &str) {
        let unproven = self.unproven.iter().position(|payment| payment.nonce == nonce);
        let unproven = unproven.map(|place| self.unproven.remove(place));
        let Some(payment) = unproven.or_else(|| self.close(nonce)) else { return };
        if let Some(day) = self.spent.get_mut(&payment.day) {
            *day = dollars_of(day).less(dollars_of(&payment.dollars)).0.to_string();
        }
    }

    /// Asks no more about payments that were used. Open ones are kept: their answers may still be had.
    pub(super) fn stay_spent(&mut self, nonces: &[String]) {
        self.unproven.retain(|payment| !nonces.contains(&payment.nonce));
    }

    /// True if there is no place for more open payments.
    pub(super) fn is_full(&self, next: &OpenPayment) -> bool {
        let bytes = |payment: &OpenPayment| serde_json::to_vec(payment).map_or(MAX_OPEN_BYTES, |json| json.len());
        let held: usize = self.open.iter().map(bytes).sum();
        self.open.len() >= MAX_OPEN || held.saturating_add(bytes(next)) > MAX_OPEN_BYTES
    }
}

/// A sum of the file. One that cannot be read counts as all the money that there is.
fn dollars_of(text: &str) -> Dollars {
    if text.is_empty() {
        return Dollars::default();
    }
    Dollars(U256::from_str_radix(text, 10).unwrap_or(U256::MAX))
}
