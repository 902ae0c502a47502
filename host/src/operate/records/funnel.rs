//! Declares the records of the funnel from the price to the payment.

use coinslot_ledger::reports::FunnelTotal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Requests or payments of one endpoint that came to the same end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunnelRecord {
    /// True if the money is worth nothing: of a payment, that of its network; of requests, all that the endpoint takes.
    pub testnet: bool,
    pub plugin: String,
    /// The method and the path template.
    pub endpoint: String,
    /// `request` or `payment`.
    pub subject: String,
    /// Of requests: `challenged`, `refused`, `failed`, `owed`, `unknown` or `broken_off`. Of payments: `claimed`, and then
    /// `paid`, `failed`, `refused`, `unknown`, `owed` or `refunded`: a payment counts once at each of these that it comes to.
    pub outcome: String,
    /// The code of the error that these requests were answered with.
    pub code: Option<String>,
    pub number: u64,
}

/// The funnel from the price to the payment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunnelReport {
    /// The first day (UTC) of which anything is counted. None: nothing was ever counted.
    pub counted_since: Option<String>,
    pub totals: Vec<FunnelRecord>,
}

impl FunnelRecord {
    pub(crate) fn of(total: &FunnelTotal) -> Self {
        Self {
            testnet: total.testnet,
            plugin: total.plugin.clone(),
            endpoint: total.endpoint.clone(),
            subject: total.subject.clone(),
            outcome: total.outcome.clone(),
            code: (!total.code.is_empty()).then(|| total.code.clone()),
            number: total.number,
        }
    }
}
