//! Pays back by itself what is due by the operator's policy.

use std::collections::HashMap;
use std::time::Duration;

use coinslot_ledger::{Author, RefundsDue};
use coinslot_x402::UnixTime;
use tokio::time::Instant;

use super::error::RefundError;
use super::queue::RefundQueue;
use super::{POLICY_RETRY, RefundBooks, paced};

/// The debts that the policy chooses from in one round, those that it tries to pay back, and the time for which it leaves
/// one alone that it could not pay back.
const POLICY_ROUND: u32 = 1_000;
const POLICY_TRIES: usize = 20;
const TRIED_FOR: Duration = Duration::from_secs(600);

/// The debts that could not be paid back a while ago, with the times and the reasons. An empty reason: the operator
/// refuses the payer.
pub(super) type TriedDebts = HashMap<String, (Instant, String)>;

impl RefundQueue {
    /// Begins the refund of the longest debt that the policy pays back, if there is one. A debt of which that failed is
    /// left alone for a while, so that those behind it come to their turn.
    ///
    /// False if nothing was begun, and one was due.
    pub(super) async fn apply_policy(&self, books: &RefundBooks, tried: &mut TriedDebts) -> bool {
        let Some(after) = books.config.after else { return true };
        let now = books.now();
        let before = |age: Duration| UnixTime(now.0.saturating_sub(age.as_secs()));
        let due = RefundsDue {
            network: self.network.clone(),
            received_by: books.receivers.read().clone(),
            owed_before: before(after),
            failed_before: before(POLICY_RETRY),
            limit: POLICY_ROUND,
        };
        let due = match books.ledger().refunds_due(due).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the debts that are due cannot be read");
                return false;
            }
        };
        tried.retain(|payment, (at, _)| at.elapsed() < paced(TRIED_FOR) && due.contains(payment));
        let mut waits = tried.values().map(|(_, reason)| reason).find(|reason| !reason.is_empty()).cloned();
        let mut has_begun = false;
        let untried: Vec<String> = due.into_iter().filter(|payment| !tried.contains_key(payment)).collect();
        // Few at once: an operator's order waits meanwhile.
        for payment in untried.into_iter().take(POLICY_TRIES) {
            let begun = match self.ready(books, &payment).await {
                // A payer whom the operator refuses is left to the operator.
                Ok((_, prepared)) if !books.admits_payer(&prepared.row) => {
                    tried.insert(payment, (Instant::now(), String::new()));
                    continue;
                }
                Ok((wallet, prepared)) => self.begin(books, &wallet, prepared, Author::Policy).await,
                Err(error) => Err(error),
            };
            match begun {
                Ok(_) => {
                    has_begun = true;
                    break;
                }
                // Its payer was faster.
                Err(RefundError::NotOwed { .. } | RefundError::NoPayment) => {}
                Err(error) => {
                    let reason = format!("payment {payment}: {error}");
                    waits.get_or_insert(reason.clone());
                    if error.is_of_the_wallet() {
                        break;
                    }
                    tried.insert(payment, (Instant::now(), reason));
                }
            }
        }
        let mut state = self.state.lock();
        if let Some(reason) = &waits
            && state.waits.as_ref() != Some(reason)
        {
            tracing::warn!(network = %self.network, %reason, "what is due is not paid back");
        }
        state.waits = waits;
        has_begun || state.waits.is_none()
    }
}
