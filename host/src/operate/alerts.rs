//! Finds what is wrong with a host now, with what to do about it: one list for the status, the pages and the webhooks.

use coinslot_base::text::{excerpt, printable};
use coinslot_facilitator::Readiness;
use coinslot_plugin::Circuit;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::admin::HostView;
use crate::catalog::HistoryFile;

/// The longest text of a reason, in characters.
const REASON: usize = 500;

/// A thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// `ledger_trouble`, `wallet_low`, `settlement_down`, `plugin_unhealthy` or `reload_failed`.
    pub kind: String,
    /// What it is about: an asset and its network, a plugin, or a file.
    pub subject: String,
    pub message: String,
    /// What to do.
    pub advice: String,
}

impl Alert {
    fn new(kind: &str, subject: &str, message: impl Into<String>, advice: &str) -> Self {
        Self { kind: kind.to_owned(), subject: subject.to_owned(), message: message.into(), advice: advice.to_owned() }
    }

    /// What tells one alert from another. The message may change while it goes on.
    pub(super) fn key(&self) -> (String, String) {
        (self.kind.clone(), self.subject.clone())
    }
}

/// Everything that is wrong now, the worst first. It reads the history of the plugins from the disk.
pub(super) fn alerts(host: &HostView) -> Vec<Alert> {
    let mut alerts = Vec::new();
    if !host.payments.ledger().writable() {
        let (message, advice) =
            ("the ledger cannot be written: nothing is sold", "look at the disk of the state folder");
        alerts.push(Alert::new("ledger_trouble", "ledger", message, advice));
    }
    alerts.extend(host.payments.payment_methods().iter().filter_map(|method| {
        let subject = format!("{} on {}", method.asset.symbol, method.asset.network);
        match method.facilitator.readiness() {
            Readiness::Ready => None,
            Readiness::NoGas => {
                let message =
                    "gas cannot be paid: the wallet is empty, the day's budget is used up, or gas costs too much";
                Some(Alert::new(
                    "wallet_low",
                    &subject,
                    message,
                    "send ether to the facilitator's account, or raise its bounds",
                ))
            }
            Readiness::Down => {
                let message = "nothing is settled: the facilitator, the node or the chain does not answer";
                Some(Alert::new("settlement_down", &subject, message, "the log names the address that does not answer"))
            }
        }
    }));
    for installed in host.catalog.load().installed() {
        if let Circuit::Open { .. } = installed.plugin.circuit() {
            let message = "its runs fail one after the other, and it is not asked for a while";
            let advice = "its log lines say why; `coinslot plugins rollback` brings the build before it back";
            alerts.push(Alert::new("plugin_unhealthy", &installed.plugin.info().name, message, advice));
        }
    }
    let history = HistoryFile::read(&host.config.state.history()).unwrap_or_default();
    for (file, entry) in &history.files {
        if let Some(failure) = &entry.failure {
            let message = excerpt(&printable(failure), REASON);
            let advice = "mend the file in the plugin folder; what served before it serves on";
            alerts.push(Alert::new("reload_failed", file, message, advice));
        }
    }
    alerts
}
