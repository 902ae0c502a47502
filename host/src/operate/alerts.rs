//! Finds what is wrong with a host now, with what to do about it: one list for the status, the pages and the webhooks.

use coinslot_base::text::{excerpt, printable};
use coinslot_facilitator::Readiness;
use coinslot_ledger::PaymentState;
use coinslot_ledger::reports::{ClaimOrder, Filter, LedgerReader};
use coinslot_plugin::Circuit;
use coinslot_x402::UnixTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::admin::HostView;
use crate::catalog::HistoryFile;

/// The longest text of a reason, in characters.
const REASON: usize = 500;

/// The time after which a settlement of unknown end is an alert, in seconds.
const UNKNOWN_FOR: u64 = 60;

/// A thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// `ledger_trouble`, `wallet_low`, `settlement_down`, `settlement_unknown`, `plugin_unhealthy` or `reload_failed`.
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

/// Everything that is wrong now, the worst first. It reads the ledger and the history of the plugins from the disk.
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
    alerts.extend(long_unknown(host));
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

/// An alert if the end of a settlement has not been known for [`UNKNOWN_FOR`]. Most are known after a block.
fn long_unknown(host: &HostView) -> Option<Alert> {
    let filter = Filter { states: vec![PaymentState::Unknown], order: ClaimOrder::OldestFirst, ..Filter::default() };
    let reader = LedgerReader::open(&host.config.state.ledger()).ok()?;
    let before = UnixTime(host.payments.now().0.saturating_sub(UNKNOWN_FOR));
    let mut selection = reader.select(&filter).ok()?;
    let count = selection.rows().ok()?.filter_map(Result::ok).filter(|row| row.updated_at < before).count();
    let message = match count {
        0 => return None,
        1 => "it has not been known for a minute whether the money of one payment moved".to_owned(),
        count => format!("it has not been known for a minute whether the money of {count} payments moved"),
    };
    let advice = "look at the facilitator and at the node: `coinslot ledger payments --state unknown` lists them";
    Some(Alert::new("settlement_unknown", "payments", message, advice))
}
