//! Shows what is wrong, with what to do.

use maud::{Markup, html};

use super::write::sentence;
use crate::operate::alerts::{Alert, AlertKind};

/// The list of what is wrong.
pub(super) fn list(alerts: &[Alert]) -> Markup {
    html! {
        @if alerts.is_empty() {
            p.calm { span.dot aria-hidden="true" {} "Nothing needs your attention." }
        } @else {
            ul.troubles {
                @for alert in alerts {
                    li class=(if alert.severe { "bad" } else { "warn" }) {
                        p {
                            strong { (if alert.severe { "Severe: " } else { "Notice: " }) }
                            (capital(&alert.message)) "."
                        }
                        p.advice {
                            (capital(&alert.advice)) ". "
                            a href=(page(alert.kind)) { "Show" span.unseen { ": " (sentence(&alert.message)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The page that shows more.
fn page(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::LedgerTrouble | AlertKind::ConfigurationRefused => "/config",
        AlertKind::SettlementDown | AlertKind::WalletLow => "/chain",
        AlertKind::SettlementUnknown => "/money#unknown",
        AlertKind::ReconcileDifference => "/payments",
        AlertKind::AnswersOwed => "/money#owed",
        AlertKind::RefundTrouble => "/money#refunds",
        AlertKind::PluginUnhealthy | AlertKind::ReloadFailed => "/plugins",
    }
}

/// A text as the beginning of a sentence.
fn capital(text: &str) -> String {
    let text = sentence(text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
