//! Finds what is wrong with a host now, with what to do: one list for the status, the dashboard and the webhooks.

mod plugins;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use coinslot_base::text::{excerpt, printable};
use coinslot_ledger::PaymentState;
use coinslot_ledger::reports::{LedgerReader, RefundRow, ReportError};
use coinslot_x402::{Network, UnixTime};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::plugins::of_plugin;
use super::admin::HostView;
use super::api::chain::{FacilitatorRecord, WalletRecord, chain};
use super::api::plugins::files;
use super::api::refunds::{RefundWalletRecord, wallets};

/// The longest text of a reason, in characters.
const REASON: usize = 500;

/// The time after which a settlement of unknown end is an alert, in seconds.
const UNKNOWN_FOR: u64 = 60;

/// The kinds of alerts. New kinds may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// The ledger cannot be written or read.
    LedgerTrouble,
    /// A facilitator, its node or its chain does not answer: nothing is settled by it.
    SettlementDown,
    /// A wallet pays for no gas, or has less than it should.
    WalletLow,
    /// The end of a settlement has not been known for a minute.
    SettlementUnknown,
    /// Answers were paid for and not given.
    AnswersOwed,
    /// A refund has had no end for long, or what is due is not paid back.
    RefundTrouble,
    /// Ledger and chain differ.
    ReconcileDifference,
    /// A plugin has failed again and again, and is not asked for a while.
    PluginUnhealthy,
    /// The content of a file of the plugin folder is not active.
    ReloadFailed,
    /// The changed configuration is not used.
    ConfigurationRefused,
}

impl AlertKind {
    pub const ALL: [Self; 10] = [
        Self::LedgerTrouble,
        Self::SettlementDown,
        Self::WalletLow,
        Self::SettlementUnknown,
        Self::AnswersOwed,
        Self::RefundTrouble,
        Self::ReconcileDifference,
        Self::PluginUnhealthy,
        Self::ReloadFailed,
        Self::ConfigurationRefused,
    ];

    /// True if a chain or a facilitator must be asked before it is known. A host that has just begun does not know it.
    pub(super) fn is_measured(self) -> bool {
        matches!(self, Self::SettlementDown | Self::WalletLow | Self::RefundTrouble | Self::ReconcileDifference)
    }

    /// Its name in the API and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LedgerTrouble => "ledger_trouble",
            Self::SettlementDown => "settlement_down",
            Self::WalletLow => "wallet_low",
            Self::SettlementUnknown => "settlement_unknown",
            Self::AnswersOwed => "answers_owed",
            Self::RefundTrouble => "refund_trouble",
            Self::ReconcileDifference => "reconcile_difference",
            Self::PluginUnhealthy => "plugin_unhealthy",
            Self::ReloadFailed => "reload_failed",
            Self::ConfigurationRefused => "configuration_refused",
        }
    }
}

/// The pause between two counts of alerts: they read the ledger.
const COUNT_EVERY: Duration = Duration::from_secs(15);

/// The alerts of each kind as they were counted last, for the metrics.
#[derive(Debug, Default)]
pub(super) struct AlertCounts(Mutex<BTreeMap<AlertKind, u64>>);

impl AlertCounts {
    /// Every kind with its number. Nothing before the first count.
    pub(super) fn now(&self) -> BTreeMap<AlertKind, u64> {
        self.0.lock().clone()
    }
}

/// Counts the alerts for ever.
pub(crate) async fn count_alerts(host: Arc<HostView>) {
    loop {
        let mut counts: BTreeMap<AlertKind, u64> = AlertKind::ALL.into_iter().map(|kind| (kind, 0)).collect();
        for alert in alerts(&host).await {
            *counts.entry(alert.kind).or_default() += 1;
        }
        *host.alert_counts.0.lock() = counts;
        tokio::time::sleep(COUNT_EVERY).await;
    }
}

/// A thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    pub kind: AlertKind,
    /// The facilitator, wallet, network, plugin or file that it is about.
    pub subject: String,
    pub message: String,
    /// The remedy.
    pub advice: String,
    /// True if money or answers are lost while it lasts.
    pub severe: bool,
}

impl Alert {
    fn new(kind: AlertKind, subject: impl Into<String>, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), message: message.into(), advice: advice.into(), severe: false }
    }

    fn severe(self) -> Self {
        Self { severe: true, ..self }
    }

    /// Its identity. The message may change while it goes on.
    pub(super) fn key(&self) -> (AlertKind, String) {
        (self.kind, self.subject.clone())
    }
}

/// Everything that is wrong now, the severe first. It reads the ledger and the history of the plugins from the disk.
pub(super) async fn alerts(host: &Arc<HostView>) -> Vec<Alert> {
    let mut alerts = Vec::new();
    if !host.payments.ledger().writable() {
        let file = host.config.state.ledger();
        let message = format!("{} cannot be written: nothing is sold", file.display());
        let advice = "look at the disk: its space and its permissions";
        alerts.push(Alert::new(AlertKind::LedgerTrouble, "ledger", message, advice).severe());
    }
    alerts.extend(chain(State(Arc::clone(host))).await.0.iter().flat_map(of_facilitator));
    let config = host.active_config();
    alerts.extend(files(host).iter().flat_map(|record| of_plugin(record, &config)));
    if let Some(reason) = &host.active.load().refused {
        let message = format!("the changed configuration is not used: {}", shown(reason));
        let advice = "mend the file: `coinslot check` tells every problem. What was read before is used meanwhile";
        alerts.push(Alert::new(AlertKind::ConfigurationRefused, "configuration", message, advice));
    }
    alerts.extend(host.differences.now().into_iter().map(|(network, words)| {
        let message = format!("ledger and chain differ on {network}: {words}");
        let advice = "`coinslot ledger reconcile` lists each payment with what both sides say of it";
        Alert::new(AlertKind::ReconcileDifference, network, message, advice).severe()
    }));
    if let Some(refunds) = &host.refunds {
        alerts.extend(
            wallets(refunds, &host.units())
                .iter()
                .flat_map(|record| of_refunds(record, &refunds.address().to_string())),
        );
    }
    let view = Arc::clone(host);
    alerts.extend(tokio::task::spawn_blocking(move || of_ledger(&view)).await.unwrap_or_default());
    alerts.sort_by_key(|alert| !alert.severe);
    alerts
}

fn of_facilitator(record: &FacilitatorRecord) -> Vec<Alert> {
    let (name, network) = (&record.name, &record.network);
    let subject = format!("{name} on {network}");
    let reason = record.trouble.as_deref().map(|reason| format!(": {}", shown(reason))).unwrap_or_default();
    match &*record.settlement {
        "no_gas" => {
            let message = format!("the facilitator {name} cannot pay for gas on {network}{reason}");
            let advice = "fund its wallet, or raise its gas limits; payments are taken again by themselves";
            vec![Alert::new(AlertKind::WalletLow, subject, message, advice).severe()]
        }
        "down" => {
            let message = format!("the facilitator {name} cannot settle on {network}{reason}");
            let advice = "look at its node, or at its service and credentials; the host tries it again by itself";
            vec![Alert::new(AlertKind::SettlementDown, subject, message, advice).severe()]
        }
        _ => record.wallets.iter().filter_map(|wallet| of_wallet(wallet, network)).collect(),
    }
}

fn of_wallet(wallet: &WalletRecord, network: &str) -> Option<Alert> {
    let needed = wallet.needed.as_ref()?;
    let balance = wallet.balance.as_deref().unwrap_or("an unknown balance");
    let subject = format!("{} on {network}", wallet.address);
    let message = format!("the gas wallet {} has {balance} on {network}; it should have {needed}", wallet.address);
    Some(Alert::new(AlertKind::WalletLow, subject, message, "fund it: another wallet pays meanwhile"))
}

/// The alerts about the wallet that pays owed answers back.
fn of_refunds(record: &RefundWalletRecord, address: &str) -> Vec<Alert> {
    let network = &record.network;
    let mut alerts = Vec::new();
    if let (Some(needed), Some(balance)) = (&record.needed, &record.balance) {
        let message =
            format!("the wallet of refunds {address} has {balance} for gas on {network}; it should have {needed}");
        let advice = "fund it: without gas nothing is paid back";
        alerts.push(Alert::new(AlertKind::WalletLow, format!("{address} on {network}"), message, advice));
    }
    if let Some(trouble) = &record.trouble {
        let (message, advice) = match &record.stuck {
            Some(payment) => (
                format!("the refund of payment {payment} on {network} has no end yet: {}", shown(trouble)),
                "the host sends the same transaction again and asks the chain by itself; `coinslot owed refunds` shows it",
            ),
            None => (
                format!("what is due is not paid back on {network}: {}", shown(trouble)),
                "fund the wallet of refunds, raise daily_budget of [refunds], or pay back by hand",
            ),
        };
        alerts.push(Alert::new(AlertKind::RefundTrouble, network, message, advice));
    }
    alerts
}

fn of_ledger(host: &HostView) -> Vec<Alert> {
    read_ledger(host).unwrap_or_else(|error| {
        let message = format!("the ledger cannot be read: {}", shown(&error.to_string()));
        let advice = "look at the state folder: reports are made from its file, beside the host that writes it";
        vec![Alert::new(AlertKind::LedgerTrouble, "reports", message, advice).severe()]
    })
}

fn read_ledger(host: &HostView) -> Result<Vec<Alert>, ReportError> {
    let reader = LedgerReader::open(&host.config.state.ledger())?;
    let before = UnixTime(host.payments.now().0.saturating_sub(UNKNOWN_FOR));
    let unknown = reader.count(PaymentState::Unknown, before)?;
    let owed = reader.count(PaymentState::Owed, UnixTime(u64::MAX))?;
    let mut alerts = Vec::new();
    if unknown > 0 {
        let payments = if unknown == 1 { "one payment".to_owned() } else { format!("{unknown} payments") };
        let message = format!("it has not been known for a minute whether the money of {payments} moved");
        let advice = "the host asks the chain by itself; look at the facilitator and at the node, and at `coinslot payments \
                      --state unknown`";
        alerts.push(Alert::new(AlertKind::SettlementUnknown, "payments", message, advice));
    }
    if owed > 0 {
        let answers = if owed == 1 { "one answer is owed".to_owned() } else { format!("{owed} answers are owed") };
        let advice = "the payer sends the same payment again, or you pay it back: `coinslot owed` lists them";
        alerts.push(Alert::new(
            AlertKind::AnswersOwed,
            "payments",
            format!("{answers}: paid for, and not given"),
            advice,
        ));
    }
    alerts.extend(of_abandoned_refunds(host, &reader)?);
    Ok(alerts)
}

/// Alerts about refunds under way that this host does not follow: its configuration names their wallet or their node no
/// more.
fn of_abandoned_refunds(host: &HostView, reader: &LedgerReader) -> Result<Vec<Alert>, ReportError> {
    let follows = |network: &Network| host.refunds.as_ref().is_some_and(|refunds| refunds.is_on(network));
    let open = reader.open_refunds()?.into_iter().filter(|refund| !follows(&refund.network));
    let alert = |refund: RefundRow| {
        let RefundRow { payment_id, network, sender, .. } = refund;
        let message = format!(
            "the refund of payment {payment_id} on {network} is under way, and no wallet of the configuration follows it"
        );
        let advice =
            format!("name the key of {sender} in [refunds], and a node of {network}, until the refund has an end");
        Alert::new(AlertKind::RefundTrouble, network.to_string(), message, advice)
    };
    Ok(open.map(alert).collect())
}

/// A text from elsewhere, cut and without what drives a terminal.
fn shown(text: &str) -> String {
    excerpt(&printable(text), REASON)
}
