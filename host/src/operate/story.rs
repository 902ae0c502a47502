//! Tells the story of one payment: what it is, and every step that the ledger knows ([`steps`]).

mod steps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use coinslot_base::units::measured;
use coinslot_ledger::EventKind;
use coinslot_ledger::reports::{Pass, PaymentStory};
use coinslot_x402::Network;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::records::PaymentRecord;
use super::time;
use super::units::Units;
use steps::steps;

/// A payment and its steps. Of one that was given back, or whose row is pruned, the facts are those of its last event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoryRecord {
    pub payment_id: String,
    /// The state of its row. Without a row: `given_back`, or the kind of its last event.
    pub state: String,
    pub payer: String,
    pub network: String,
    pub testnet: bool,
    pub asset: String,
    pub symbol: Option<String>,
    pub amount: Option<String>,
    pub atomic_amount: String,
    pub endpoint: String,
    pub plugin: String,
    /// The `x-request-id` of the request that claimed it last.
    pub request_id: Option<String>,
    /// None if the payment was given back, or its row is pruned.
    pub payment: Option<PaymentRecord>,
    pub steps: Vec<StepRecord>,
    /// The pass that it bought beside its answer.
    #[serde(default)]
    pub pass: Option<PassRecord>,
}

/// A pass that a payment bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassRecord {
    /// The requests that it is for, and those of them that were used.
    pub requests: u64,
    pub used: u64,
    pub begins_at: String,
    pub ends_at: String,
}

impl PassRecord {
    fn of(pass: &Pass) -> Self {
        let Pass { requests, used, begins_at, ends_at } = *pass;
        Self { requests, used, begins_at: time::shown(begins_at), ends_at: time::shown(ends_at) }
    }
}

impl std::fmt::Display for PassRecord {
    /// `3 of 100 requests used, until 2026-01-31T12:00:00Z`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} requests used, until {}", self.used, self.requests, self.ends_at)
    }
}

/// The name of a step, in the order of the life of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    #[default]
    Claimed,
    Verified,
    Started,
    Answered,
    Sent,
    Paid,
    Delivered,
    GivenBack,
    Unknown,
    Refused,
    Owed,
    RunAgain,
    AskedAgain,
    RefundSent,
    RefundFailed,
    Refunded,
    PassUsed,
}

impl StepName {
    /// The name as the API has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Verified => "verified",
            Self::Started => "started",
            Self::Answered => "answered",
            Self::Sent => "sent",
            Self::Paid => "paid",
            Self::Delivered => "delivered",
            Self::GivenBack => "given_back",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Owed => "owed",
            Self::RunAgain => "run_again",
            Self::AskedAgain => "asked_again",
            Self::RefundSent => "refund_sent",
            Self::RefundFailed => "refund_failed",
            Self::Refunded => "refunded",
            Self::PassUsed => "pass_used",
        }
    }

    /// The step that an event tells.
    fn of(kind: EventKind) -> Self {
        match kind {
            EventKind::Paid => Self::Paid,
            EventKind::Failed => Self::GivenBack,
            EventKind::Unknown => Self::Unknown,
            EventKind::Refused => Self::Refused,
            EventKind::Owed => Self::Owed,
            EventKind::Refunded => Self::Refunded,
        }
    }
}

/// A step of a payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    pub step: StepName,
    /// In UTC: `2026-01-31T12:00:00Z`. None: an older host did not write it down.
    pub at: Option<String>,
    /// Whole seconds since the step before.
    pub seconds_after: Option<u64>,
    /// The duration of the verification, the run or the settlement that the step ends, where it was measured.
    pub took_microseconds: Option<u64>,
    pub transaction: Option<String>,
    /// The block of the transaction, where a node has shown it.
    pub block: Option<u64>,
    pub reason: Option<String>,
    /// The `x-request-id` of the request that took the step, where that is one of its own.
    pub request_id: Option<String>,
    /// Of what was paid back by hand: the account that paid.
    pub sender: Option<String>,
    /// Of a refund: `operator` or `policy`.
    pub ordered_by: Option<String>,
    /// Of a refusal: true if the plugin had begun its work.
    pub after_work: Option<bool>,
}

impl StepRecord {
    /// The time since the step before: the measured duration if there is one, or whole seconds.
    pub(crate) fn after(&self) -> Option<String> {
        let measured = self.took_microseconds.map(|took| measured(Duration::from_micros(took)));
        measured.or_else(|| {
            self.seconds_after.map(|seconds| if seconds == 0 { "< 1 s".to_owned() } else { format!("{seconds} s") })
        })
    }
}

impl StoryRecord {
    /// The story of this payment. None if the ledger knows nothing of it.
    pub(crate) fn of(id: &str, story: &PaymentStory, units: &Units) -> Option<Self> {
        let facts = Facts::of(story)?;
        let amount = units.written(facts.network, facts.asset, facts.amount);
        Some(Self {
            payment_id: id.to_owned(),
            state: facts.state.to_owned(),
            payer: facts.payer.to_owned(),
            network: facts.network.to_string(),
            testnet: facts.testnet,
            asset: facts.asset.to_owned(),
            symbol: amount.symbol,
            amount: amount.decimal,
            atomic_amount: amount.atomic,
            endpoint: facts.endpoint.to_owned(),
            plugin: facts.plugin.to_owned(),
            request_id: facts.request_id.map(ToOwned::to_owned),
            payment: story.row.as_ref().map(|row| PaymentRecord::of(row, units)),
            steps: steps(story),
            pass: story.pass.as_ref().map(PassRecord::of),
        })
    }
}

/// The facts of a payment that its row, its events and its failures have alike.
struct Facts<'s> {
    state: &'s str,
    payer: &'s str,
    network: &'s Network,
    testnet: bool,
    asset: &'s str,
    amount: coinslot_x402::price::Amount,
    endpoint: &'s str,
    plugin: &'s str,
    request_id: Option<&'s str>,
}

impl<'s> Facts<'s> {
    fn of(story: &'s PaymentStory) -> Option<Self> {
        /// Takes the fields that all three have by the same name.
        macro_rules! facts {
            ($of:expr, $state:expr) => {
                Self {
                    state: $state,
                    payer: &$of.payer,
                    network: &$of.network,
                    testnet: $of.testnet,
                    asset: &$of.asset,
                    amount: $of.amount,
                    endpoint: &$of.endpoint,
                    plugin: &$of.plugin,
                    request_id: $of.request_id.as_deref(),
                }
            };
        }
        if let Some(row) = &story.row {
            return Some(facts!(row, row.state.as_str()));
        }
        if let Some(event) = story.events.last() {
            return Some(facts!(event, StepName::of(event.kind).as_str()));
        }
        story.failures.first().map(|failure| facts!(failure, StepName::GivenBack.as_str()))
    }
}
