//! Follows a refund until the chain shows its end: gives its transaction to the node again, with higher fees if need be,
//! and writes the end down.

use std::time::Duration;

use alloy::primitives::{B256, Bytes};
use coinslot_evm::{SignedTransfer, TokenTransfer, TokenWallet, TransferOutcome};
use coinslot_ledger::{Author, ChangeKind, OpenRefund, RefundAuthor, RefundEnd, SignedRefund, StoredTransaction};
use coinslot_x402::price::Amount;
use tokio::time::Instant;

use super::queue::RefundQueue;
use super::wallet_state::UnderWay;
use super::{RefundBooks, paced};

/// The pause between two looks at a refund, in its first minute and after that.
const LOOK: Duration = Duration::from_millis(500);
pub(super) const LATE_LOOK: Duration = Duration::from_secs(5);

/// The time after which a transaction without a block is given to the node again.
const RESEND_AFTER: Duration = Duration::from_secs(5);

/// The time after which a transaction without a block gets higher fees, if the market asks for more.
const REPRICE_AFTER: Duration = Duration::from_secs(20);

/// The time for which the chain must show that another transaction used the nonce, before that is believed: one whose
/// hash the node knows, and one that is only missed.
const DISPLACED_FOR: Duration = Duration::from_secs(60);
const MISSED_FOR: Duration = Duration::from_secs(600);

/// The time after which a refund without an end is a problem.
const STUCK_AFTER: u64 = 300;

/// The knowledge of a refund that is followed.
struct Following {
    since: Instant,
    /// The last time that its transaction was given to the node.
    sent: Option<Instant>,
    /// The time since which another transaction has used its nonce.
    displaced: Option<Instant>,
}

/// The outcome of one look at a refund.
enum Look {
    Open,
    Ended(RefundEnd),
}

impl RefundQueue {
    /// Follows a refund until the ledger has its end, or cannot be written.
    pub(super) async fn follow(&self, books: &RefundBooks, mut refund: OpenRefund) {
        let mut following = Following { since: Instant::now(), sent: None, displaced: None };
        loop {
            // Its transaction may be another one since the last look.
            self.state.lock().under_way = Some(UnderWay::of(&refund));
            let looked = match self.wallet().await {
                Ok(wallet) => self.look(books, &wallet, &mut refund, &mut following).await,
                Err(error) => Err(error.to_string()),
            };
            let problem = match looked {
                Ok(Look::Ended(end)) => {
                    self.end(books, refund, end).await;
                    let mut state = self.state.lock();
                    (state.under_way, state.stuck) = (None, None);
                    return;
                }
                Ok(Look::Open) => None,
                Err(problem) => Some(problem),
            };
            // An operator may have ended it.
            if problem.is_some() && self.has_ended(books, &refund).await {
                let mut state = self.state.lock();
                (state.under_way, state.stuck) = (None, None);
                return;
            }
            self.report(books, &refund, problem);
            let pause = if following.since.elapsed() < Duration::from_secs(60) { LOOK } else { LATE_LOOK };
            tokio::time::sleep(pause).await;
        }
    }

    /// True if the ledger has the end of a refund.
    async fn has_ended(&self, books: &RefundBooks, refund: &OpenRefund) -> bool {
        let is_it = |open: &OpenRefund| (&open.payment_id, open.nonce) == (&refund.payment_id, refund.nonce);
        books.ledger().open_refunds().await.is_ok_and(|open| !open.iter().any(is_it))
    }

    /// Says that a refund has had no end for long, or cannot be followed.
    fn report(&self, books: &RefundBooks, refund: &OpenRefund, problem: Option<String>) {
        let is_late = books.now().0.saturating_sub(refund.begun_at.0) > STUCK_AFTER;
        let stuck = (is_late || problem.is_some()).then(|| {
            let reason = problem.unwrap_or_else(|| "its transaction is in no block that is deep enough".to_owned());
            (refund.payment_id.clone(), reason)
        });
        let mut state = self.state.lock();
        if let Some((payment, reason)) = &stuck
            && state.stuck != stuck
        {
            tracing::warn!(%payment, %reason, "a refund has no end yet");
        }
        state.stuck = stuck;
    }

    /// Looks at a refund once, and helps its transaction into a block.
    async fn look(
        &self,
        books: &RefundBooks,
        wallet: &TokenWallet,
        refund: &mut OpenRefund,
        following: &mut Following,
    ) -> Result<Look, String> {
        if !wallet.address().to_string().eq_ignore_ascii_case(&refund.sender) {
            return Err(format!(
                "the wallet {} sent it, and [refunds] names the key of {}: name the key of the former until it has an end",
                refund.sender,
                wallet.address()
            ));
        }
        let transfer = transfer(refund).ok_or("its addresses cannot be read")?;
        let hashes: Vec<B256> = refund.transactions.iter().filter_map(|stored| stored.hash().parse().ok()).collect();
        let outcome = wallet.outcome(&transfer, refund.nonce, &hashes).await.map_err(|error| error.to_string())?;
        if !matches!(outcome, TransferOutcome::Displaced { .. }) {
            following.displaced = None;
        }
        match outcome {
            TransferOutcome::Waiting => {
                self.help(books, wallet, refund, &transfer, following).await.map(|()| Look::Open)
            }
            TransferOutcome::Confirming { .. } | TransferOutcome::Unclear => Ok(Look::Open),
            TransferOutcome::Paid { hash, fee, .. } => {
                Ok(Look::Ended(RefundEnd::Paid { transaction: hash.to_string(), fee: Amount(fee) }))
            }
            TransferOutcome::Reverted { hash, fee, .. } => {
                let reason = format!("the token reverted transaction {hash}");
                Ok(Look::Ended(RefundEnd::Failed { reason, transaction: Some((hash.to_string(), Amount(fee))) }))
            }
            TransferOutcome::Unproven { hash, .. } => Err(format!(
                "transaction {hash} succeeded, and the token's logs do not show the transfer: look whether the payer has the \
                 money; if not, pay it by hand and end the debt with `coinslot owed settle {payment} --by TX`, or have it \
                 owed again with `--not-paid`",
                payment = refund.payment_id
            )),
            TransferOutcome::Displaced { by } => {
                let since = *following.displaced.get_or_insert_with(Instant::now);
                let long_enough = paced(if by.is_some() { DISPLACED_FOR } else { MISSED_FOR });
                let by = by.map_or_else(|| "another transaction".to_owned(), |hash| format!("transaction {hash}"));
                if since.elapsed() < long_enough {
                    return Err(format!("{by} has used the nonce of its transaction: nothing else may use the key"));
                }
                let reason = format!("{by} has used the nonce of its transaction");
                Ok(Look::Ended(RefundEnd::Failed { reason, transaction: None }))
            }
        }
    }

    /// Gives a transaction that waits to the node again, and one that waits for long with higher fees.
    async fn help(
        &self,
        books: &RefundBooks,
        wallet: &TokenWallet,
        refund: &mut OpenRefund,
        transfer: &TokenTransfer,
        following: &mut Following,
    ) -> Result<(), String> {
        if following.sent.is_some_and(|sent: Instant| sent.elapsed() < paced(RESEND_AFTER)) {
            return Ok(());
        }
        following.sent = Some(Instant::now());
        let newest = refund.transactions.last().ok_or("it has no transaction")?;
        let mut problem = None;
        if books.now().0.saturating_sub(newest.signed_at().0) >= paced(REPRICE_AFTER).as_secs() {
            let signed = SignedTransfer {
                nonce: refund.nonce,
                hash: newest.hash().parse().map_err(|_| "its transaction cannot be read")?,
                raw: Bytes::copy_from_slice(newest.raw()),
            };
            match wallet.reprice(&signed, transfer).await {
                Ok(None) => {}
                Ok(Some(dearer)) => {
                    let dearer =
                        SignedRefund { nonce: dearer.nonce, hash: dearer.hash.to_string(), raw: dearer.raw.to_vec() };
                    let stored = books.ledger().store_refund(refund, dearer, books.now()).await;
                    let stored = stored.map_err(|error| error.to_string())?;
                    tracing::info!(payment = %refund.payment_id, transaction = stored.hash(),
                        "the transaction of a refund is sent with higher fees");
                    refund.transactions.push(stored);
                }
                Err(error) => problem = Some(error.to_string()),
            }
        }
        let newest = refund.transactions.last().ok_or("it has no transaction")?;
        let refused = send(wallet, newest).await;
        problem.or(refused).map_or(Ok(()), Err)
    }

    /// Writes the end of a refund down. An end that cannot be written is found again.
    async fn end(&self, books: &RefundBooks, refund: OpenRefund, end: RefundEnd) {
        let (payment, author) = (refund.payment_id.clone(), refund.ordered_by);
        let amount = books.units.shown(&refund.network, &refund.asset, refund.amount);
        let after = match &end {
            RefundEnd::Paid { transaction, .. } => {
                format!("{amount} paid back to {} by transaction {transaction}", refund.payer)
            }
            RefundEnd::Failed { reason, .. } => format!("owed again, because the refund failed: {reason}"),
        };
        let before = Some(format!("refund by {}", author.as_str()));
        let who = match author {
            RefundAuthor::Policy => Author::Policy,
            RefundAuthor::Operator => Author::Host,
        };
        let change = books.audit.change(who, ChangeKind::Refund, &*payment, before, Some(after));
        if let Err(error) = books.ledger().end_refund(refund, end.clone(), change, books.now()).await {
            tracing::error!(%payment, %error, "the end of a refund could not be written: it is looked up again");
            return tokio::time::sleep(LATE_LOOK).await;
        }
        if let RefundEnd::Paid { fee, .. } | RefundEnd::Failed { transaction: Some((_, fee)), .. } = &end {
            let mut state = self.state.lock();
            state.gas_charged = state.gas_charged.saturating_add(fee.0);
        }
        match end {
            RefundEnd::Paid { transaction, .. } => {
                tracing::info!(%payment, %transaction, "the money of an owed answer went back to its payer");
            }
            RefundEnd::Failed { reason, .. } => {
                tracing::warn!(%payment, %reason, "a refund failed: the answer is owed again");
            }
        }
    }
}

/// The transfer of a refund. None if its addresses cannot be read.
pub(super) fn transfer(refund: &OpenRefund) -> Option<TokenTransfer> {
    Some(TokenTransfer { token: refund.asset.parse().ok()?, to: refund.payer.parse().ok()?, amount: refund.amount.0 })
}

/// Gives a stored transaction to the node. The reason if the node does not take it; it is given to it again.
async fn send(wallet: &TokenWallet, stored: &StoredTransaction) -> Option<String> {
    let refused = wallet.broadcast(&Bytes::copy_from_slice(stored.raw())).await.err()?;
    tracing::debug!(transaction = stored.hash(), %refused, "a node did not take the transaction of a refund");
    // What used the nonce is found by its receipt.
    (refused != coinslot_evm::BroadcastError::NonceUsed).then(|| refused.to_string())
}
