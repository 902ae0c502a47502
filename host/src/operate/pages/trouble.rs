//! Finds what is unhealthy, and says what to do about it.

use std::sync::Arc;

use axum::extract::State;
use maud::{Markup, html};

use super::write::{counted, name, sentence};
use crate::operate::admin::HostView;
use crate::operate::api::chain::{FacilitatorRecord, chain};
use crate::operate::api::payments::{PaymentQuery, Query, owed, payments};
use crate::operate::api::plugins::{PluginRecord, plugins};
use crate::operate::api::status::StatusReport;

/// Something that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Money or answers are lost while it lasts.
    pub(super) is_severe: bool,
    pub(super) what: String,
    pub(super) advice: String,
    /// The page that shows more.
    pub(super) page: &'static str,
}

/// Everything that is unhealthy now, the severe first.
pub(super) async fn troubles(host: &Arc<HostView>, status: &StatusReport) -> Vec<Trouble> {
    let mut found = Vec::new();
    if !status.ledger.writable {
        let file = name(&status.ledger.file);
        found.push(Trouble {
            is_severe: true,
            what: "The ledger cannot be written".to_owned(),
            advice: format!("Look at the disk of {file}: its space and its permissions. Until then nothing is sold."),
            page: "/config",
        });
    }
    found.extend(chain(State(Arc::clone(host))).await.0.iter().flat_map(of_facilitator));
    found.extend(plugins(State(Arc::clone(host))).await.0.iter().flat_map(of_plugin));
    found.extend(of_ledger(host).await);
    found.sort_by_key(|trouble| !trouble.is_severe);
    found
}

fn of_facilitator(record: &FacilitatorRecord) -> Vec<Trouble> {
    let (named, network) = (name(&record.name), name(&record.network));
    let trouble = |is_severe, what, advice| Trouble { is_severe, what, advice, page: "/chain" };
    let reason = record.trouble.as_deref().map(|reason| format!(": {}", sentence(reason))).unwrap_or_default();
    let of_all = match &*record.settlement {
        "no_gas" => Some((
            format!("The facilitator {named} cannot pay for gas on {network}{reason}"),
            "Fund its wallet, or raise its gas limits. Payments are taken again by themselves.",
        )),
        "down" => Some((
            format!("The facilitator {named} cannot settle on {network}{reason}"),
            "Look at its node, or at its service and credentials. The host tries it again by itself.",
        )),
        _ => None,
    };
    if let Some((what, advice)) = of_all {
        return vec![trouble(true, what, advice.to_owned())];
    }
    let low = record.wallets.iter().filter_map(|wallet| Some((wallet, wallet.needed.as_ref()?)));
    low.map(|(wallet, needed)| {
        let balance = wallet.balance.as_deref().unwrap_or("an unknown balance");
        let what = format!("The gas wallet {} has {balance} on {network}; it should have {needed}", wallet.address);
        trouble(false, what, "Fund it: another wallet pays meanwhile.".to_owned())
    })
    .collect()
}

fn of_plugin(record: &PluginRecord) -> Vec<Trouble> {
    let file = name(&record.file);
    let mut found = Vec::new();
    if let Some(reason) = &record.failure {
        let serves = record.active.as_ref().map(|build| format!("version {} serves on", name(&build.version)));
        found.push(Trouble {
            is_severe: serves.is_none(),
            what: format!(
                "{file} is not loaded, and {}: {}",
                serves.as_deref().unwrap_or("nothing of it serves"),
                sentence(reason)
            ),
            advice: "Mend the file in the plugin folder, roll it back, or remove it.".to_owned(),
            page: "/plugins",
        });
    }
    let is_open = |circuit: &Option<String>| circuit.as_deref() == Some("open");
    let refused = match (is_open(&record.paid_circuit), is_open(&record.free_circuit)) {
        (true, _) => "paid requests",
        (false, true) => "free requests",
        (false, false) => return found,
    };
    found.push(Trouble {
        is_severe: refused == "paid requests",
        what: format!("{file} has failed again and again: its {refused} are refused for a while"),
        advice: "Look at its failures below Money and at its log, and deploy a mended build or roll it back."
            .to_owned(),
        page: "/plugins",
    });
    found
}

async fn of_ledger(host: &Arc<HostView>) -> Vec<Trouble> {
    let trouble = |is_severe, what, advice: &str, page| Trouble { is_severe, what, advice: advice.to_owned(), page };
    let owed = match owed(State(Arc::clone(host))).await {
        Ok(owed) => owed.0.len(),
        Err(error) => {
            let advice = "Look at the state folder. Reports are made from its file, beside the host that writes it.";
            return vec![trouble(
                true,
                format!("The ledger cannot be read: {}", sentence(&error.message)),
                advice,
                "/money",
            )];
        }
    };
    let query = PaymentQuery { state: Some("unknown".to_owned()), limit: Some(1_000), ..PaymentQuery::default() };
    let unknown = payments(State(Arc::clone(host)), Query(query)).await.map_or(0, |found| found.0.len());
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut found = Vec::new();
    if owed > 0 {
        let what = format!("{} owed", counted(number(owed), "answer is", "answers are"));
        let advice = "They were paid for and not given. The payer sends the same payment again, or you pay it back.";
        found.push(trouble(false, what, advice, "/money#owed"));
    }
    if unknown > 0 {
        let what = format!("The end of {} is not known", counted(number(unknown), "settlement", "settlements"));
        let advice = "The host asks the chain again by itself, until it is certain.";
        found.push(trouble(false, what, advice, "/money#unknown"));
    }
    found
}

/// The list of what is unhealthy.
pub(super) fn list(troubles: &[Trouble]) -> Markup {
    html! {
        @if troubles.is_empty() {
            p.calm { span.dot aria-hidden="true" {} "Nothing needs your attention." }
        } @else {
            ul.troubles {
                @for trouble in troubles {
                    li class=(if trouble.is_severe { "bad" } else { "warn" }) {
                        p { strong { (if trouble.is_severe { "Severe: " } else { "Notice: " }) } (trouble.what) "." }
                        p.advice {
                            (trouble.advice) " "
                            a href=(trouble.page) { "Show" span.unseen { ": " (trouble.what) } }
                        }
                    }
                }
            }
        }
    }
}
