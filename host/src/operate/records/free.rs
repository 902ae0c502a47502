//! The records of requests that were served free of charge, and of the keys of customers.

use coinslot_base::units::shown_duration;
use coinslot_ledger::ApiKeyUse;
use coinslot_ledger::reports::{FreeTotal, FreeUse};
use coinslot_x402::UnixTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::operate::time;

/// A request that was served free of charge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreeUseRecord {
    pub at: String,
    /// The grounds: `payer`, `address`, `everyone`, `key` or `pass`.
    pub kind: String,
    /// The account, the network of the client, or the name of the key.
    pub who: String,
    pub plugin: String,
    /// The method and the path template.
    pub endpoint: String,
    /// `running`, `served`, `failed`, `not_run`, `hung_up` or `interrupted`.
    pub outcome: String,
    /// The price that was paid: `0`.
    pub amount: String,
    /// The `x-request-id` of its answer. None of a row of an older host.
    #[serde(default)]
    pub request_id: Option<String>,
    /// The payment that bought the pass which it used. None without a pass, or if the row of the payment is pruned.
    #[serde(default)]
    pub payment_id: Option<String>,
}

impl FreeUseRecord {
    pub(crate) fn of(row: &FreeUse) -> Self {
        Self {
            at: time::shown(row.at),
            kind: row.kind.clone(),
            who: row.who.clone(),
            plugin: row.plugin.clone(),
            endpoint: row.endpoint.clone(),
            outcome: row.outcome.clone(),
            amount: "0".to_owned(),
            request_id: row.request_id.clone(),
            payment_id: row.payment_id.clone(),
        }
    }
}

/// The number of free requests of one day, for an endpoint and an outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreeTotalRecord {
    /// In UTC: `2026-01-31`.
    pub day: String,
    /// The grounds: `payer`, `address`, `everyone`, `key` or `pass`.
    pub kind: String,
    pub plugin: String,
    pub endpoint: String,
    /// `served`, `failed`, `not_run` or `hung_up`.
    pub outcome: String,
    pub requests: u64,
}

impl FreeTotalRecord {
    pub(crate) fn of(total: &FreeTotal) -> Self {
        Self {
            day: time::day(total.day),
            kind: total.kind.clone(),
            plugin: total.plugin.clone(),
            endpoint: total.endpoint.clone(),
            outcome: total.outcome.clone(),
            requests: total.uses,
        }
    }
}

/// A key of a customer, without the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRecord {
    pub name: String,
    /// The beginning of the key.
    pub shown: String,
    /// `active`, `expired` or `revoked`.
    pub state: String,
    /// None: it is for every plugin.
    pub plugin: Option<String>,
    /// None: it is for every route.
    pub route: Option<String>,
    /// `100 in 1d`. None: there is no limit.
    pub quota: Option<String>,
    /// Requests that are left in the window. None: there is no limit.
    pub left: Option<u64>,
    /// The end of the window. None: it has not begun, or never ends.
    pub resets_at: Option<String>,
    /// Requests that were answered for it, ever.
    pub served: u64,
    pub created_at: String,
    pub last_used_at: Option<String>,
    pub expires_at: Option<String>,
    pub revoked_at: Option<String>,
}

impl KeyRecord {
    pub(crate) fn of(used: &ApiKeyUse, now: UnixTime) -> Self {
        let ApiKeyUse { key, served, used, resets_at, last_used_at } = used;
        let quota = key.quota.map(|quota| match quota.every {
            Some(every) => format!("{} in {}", quota.requests, shown_duration(every)),
            None => format!("{} in all", quota.requests),
        });
        Self {
            name: key.name.clone(),
            shown: key.shown.clone(),
            state: key.state(now).to_owned(),
            plugin: key.plugin.clone(),
            route: key.route.clone(),
            quota,
            left: key.quota.map(|quota| quota.requests.saturating_sub(*used)),
            resets_at: resets_at.map(time::shown),
            served: *served,
            created_at: time::shown(key.created_at),
            last_used_at: last_used_at.map(time::shown),
            expires_at: key.expires_at.map(time::shown),
            revoked_at: key.revoked_at.map(time::shown),
        }
    }
}
