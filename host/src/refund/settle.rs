//! Ends debts by what an operator says and the chain shows: that a debt was paid by hand, or that a refund that is under way
//! was not made.
//!
//! The operator's word alone ends nothing. A transaction counts if it moved the payment's asset to the payer, after the
//! payment and in a block that is deep enough, and if what it moved has not ended other debts: see [`super::by_hand`]. A
//! refund counts as not made if none of its transactions can move money any more.

use std::time::Duration;

use alloy::primitives::{Address, B256};
use coinslot_evm::TransferOutcome;
use coinslot_ledger::reports::{LedgerReader, PaymentRow};
use coinslot_ledger::{
    Author, Change, ChangeKind, DebtEnded, Ledger, OpenRefund, PaidByHand, PaymentState, RefundAuthor, RefundEnd,
};
use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;

use super::by_hand::Books;
use super::error::SettleError;
use super::follow::transfer;
use super::queue::RefundQueue;
use super::{Refunds, paced};
use crate::config::Config;
use crate::operate::units::Units;

/// The time from the beginning of a refund in whose transaction the chain shows no transfer, after which it may be called
/// not made: the operator has to look at the payer's balance meanwhile, and a token may move money late.
const UNPROVEN_FOR: Duration = Duration::from_secs(3_600);

/// The word of an operator about a debt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DebtClaim {
    /// This transaction paid it. `sender_is_mine`: whoever sent it, paid for the operator.
    PaidBy { transaction: String, sender_is_mine: bool },
    /// Its refund was not made.
    NotPaid,
}

/// The books and the nodes by which debts are ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DebtDesk<'d> {
    pub(crate) config: &'d Config,
    pub(crate) ledger: &'d dyn Ledger,
    /// None: the configuration has no `[refunds]`.
    pub(crate) refunds: Option<&'d Refunds>,
    /// The accounts that the configuration names.
    pub(crate) wallets: &'d [Address],
    pub(crate) now: UnixTime,
}

/// A debt that was ended, or would be.
#[derive(Clone, Debug)]
pub(crate) struct SettledDebt {
    pub(crate) row: PaymentRow,
    /// [`PaymentState::Refunded`] or [`PaymentState::Owed`].
    pub(crate) state: PaymentState,
    /// The transfer that paid it.
    pub(crate) paid: Option<HandPayment>,
}

/// A transfer that paid a debt by hand.
#[derive(Clone, Debug)]
pub(crate) struct HandPayment {
    pub(crate) transaction: String,
    pub(crate) sender: String,
    /// The amount that it left with the payer.
    pub(crate) moved: Amount,
}

/// A refund that is under way and moves nothing any more, with its end.
type OverAttempt = (OpenRefund, RefundEnd);

impl DebtDesk<'_> {
    /// Ends a debt, if the chain agrees with its operator. A dry run changes nothing.
    pub(crate) async fn settle(
        &self,
        payment: &str,
        claim: &DebtClaim,
        who: Author,
        dry_run: bool,
    ) -> Result<SettledDebt, SettleError> {
        let row = self.find(payment).await?;
        match claim {
            DebtClaim::PaidBy { transaction, sender_is_mine } => {
                self.paid(row, (transaction, *sender_is_mine), who, dry_run).await
            }
            DebtClaim::NotPaid => self.not_paid(row, who, dry_run).await,
        }
    }

    async fn find(&self, payment: &str) -> Result<PaymentRow, SettleError> {
        let (file, payment) = (self.config.state.ledger(), payment.to_owned());
        let read = tokio::task::spawn_blocking(move || LedgerReader::open(&file)?.payment(&payment)).await;
        let read = read.map_err(|error| SettleError::Ledger(error.to_string()))?;
        read.map_err(|error| SettleError::Ledger(error.to_string()))?.ok_or(SettleError::NoPayment)
    }

    /// Ends a debt that a transaction paid.
    async fn paid(
        &self,
        row: PaymentRow,
        (transaction, sender_is_mine): (&str, bool),
        who: Author,
        dry_run: bool,
    ) -> Result<SettledDebt, SettleError> {
        let instead_of = match row.state {
            PaymentState::Owed => None,
            PaymentState::Refunding => Some(self.over_attempt(&row).await?),
            state => return Err(SettleError::NotOwed { state }),
        };
        let units = Units::of(Some(self.config));
        let books = Books { config: &self.config.payment, units, wallets: self.wallets };
        let by_hand = books.look_up(&row, transaction).await?;
        let shown = |amount| self.shown(&row, amount);
        let paid = HandPayment {
            transaction: by_hand.transaction.to_string(),
            sender: by_hand.sender.to_string(),
            moved: Amount(by_hand.moved),
        };
        if !by_hand.is_sender_known && !sender_is_mine {
            let HandPayment { sender, moved, .. } = paid;
            return Err(SettleError::ForeignSender { transaction: by_hand.transaction, moved: shown(moved), sender });
        }
        self.end(&row, &paid, instead_of, who, dry_run).await?;
        Ok(SettledDebt { row, state: PaymentState::Refunded, paid: Some(paid) })
    }

    /// Has the ledger end a debt.
    async fn end(
        &self,
        row: &PaymentRow,
        HandPayment { transaction, sender, moved }: &HandPayment,
        instead_of: Option<OverAttempt>,
        who: Author,
        dry_run: bool,
    ) -> Result<(), SettleError> {
        let shown = |amount| self.shown(row, amount);
        let before = if instead_of.is_some() { "refunding" } else { "owed" };
        let after = format!(
            "{} paid back to {} by hand: {} from {sender}, by transaction {transaction}",
            shown(row.amount),
            row.payer,
            shown(*moved)
        );
        let paid = PaidByHand {
            payment_id: row.payment_id.clone(),
            transaction: transaction.clone(),
            sender: sender.clone(),
            moved: *moved,
            dry_run,
            instead_of,
            change: self.change(who, row, before, after),
        };
        match self.ledger.end_debt(paid, self.now).await? {
            DebtEnded::Ended => {}
            DebtEnded::NotOwed(None) => return Err(SettleError::NoPayment),
            DebtEnded::NotOwed(Some(state)) => return Err(SettleError::NotOwed { state }),
            DebtEnded::Counted { by, counted, owed } => {
                let (moved, counted, owed) = (shown(*moved), shown(counted), shown(owed));
                return Err(SettleError::Counted { transaction: transaction.clone(), by, moved, counted, owed });
            }
            DebtEnded::SignedFor { payment_id } => {
                return Err(SettleError::SignedFor { transaction: transaction.clone(), payment_id });
            }
        }
        if !dry_run {
            tracing::info!(payment = %row.payment_id, transaction, sender,
                "an operator has paid an owed answer back by hand");
        }
        Ok(())
    }

    /// The line of the audit log about a debt.
    fn change(&self, who: Author, row: &PaymentRow, before: &str, after: String) -> Change {
        let subject = row.payment_id.clone();
        Change {
            at: self.now,
            who,
            kind: ChangeKind::Refund,
            subject,
            before: Some(before.to_owned()),
            after: Some(after),
        }
    }

    /// Ends a refund that was not made: its answer is owed again.
    async fn not_paid(&self, row: PaymentRow, who: Author, dry_run: bool) -> Result<SettledDebt, SettleError> {
        match row.state {
            PaymentState::Refunding => {}
            PaymentState::Owed => return Err(SettleError::NothingUnderWay),
            state => return Err(SettleError::NotOwed { state }),
        }
        let (refund, end) = self.over_attempt(&row).await?;
        // Nothing used up the nonce but the refund itself: what is not proven needs its time.
        if let RefundEnd::Failed { transaction: Some(_), .. } = &end {
            let passed = self.now.0.saturating_sub(refund.begun_at.0);
            let wait = paced(UNPROVEN_FOR).as_secs().saturating_sub(passed);
            if wait > 0 {
                return Err(SettleError::TooEarly { minutes: wait.div_ceil(60) });
            }
        }
        if !dry_run {
            let author = match refund.ordered_by {
                RefundAuthor::Operator => "refund by operator",
                RefundAuthor::Policy => "refund by policy",
            };
            let reason = match &end {
                RefundEnd::Failed { reason, .. } => reason.clone(),
                RefundEnd::Paid { .. } => String::new(),
            };
            let after = format!("owed again, because the refund was not made: {reason}");
            let change = self.change(who, &row, author, after);
            self.ledger.end_refund(refund, end, change, self.now).await?;
            tracing::warn!(payment = %row.payment_id, %reason, "an operator says that a refund was not made: owed again");
        }
        Ok(SettledDebt { row, state: PaymentState::Owed, paid: None })
    }

    /// The refund of a payment that is under way, if it moves nothing any more.
    async fn over_attempt(&self, row: &PaymentRow) -> Result<OverAttempt, SettleError> {
        let open = self.ledger.open_refunds().await?;
        let refund = open.into_iter().find(|refund| refund.payment_id == row.payment_id);
        let refund = refund.ok_or(SettleError::NothingUnderWay)?;
        let queue = self.refunds.and_then(|refunds| refunds.queue_on(&row.network));
        let queue = queue.ok_or_else(|| SettleError::NoWallet { wallet: refund.sender.clone() })?;
        over(queue, refund).await
    }

    fn shown(&self, row: &PaymentRow, amount: Amount) -> String {
        Units::of(Some(self.config)).shown(&row.network, &row.asset, amount)
    }
}

/// Looks up that no transaction of a refund moves money any more.
async fn over(queue: &RefundQueue, refund: OpenRefund) -> Result<OverAttempt, SettleError> {
    let wallet = queue.wallet().await.map_err(|error| SettleError::Node(error.to_string()))?;
    if !wallet.address().to_string().eq_ignore_ascii_case(&refund.sender) {
        return Err(SettleError::NoWallet { wallet: refund.sender });
    }
    let transfer = transfer(&refund).ok_or_else(|| SettleError::NoWallet { wallet: refund.sender.clone() })?;
    let hashes: Vec<B256> = refund.transactions.iter().filter_map(|stored| stored.hash().parse().ok()).collect();
    let outcome = wallet.outcome(&transfer, refund.nonce, &hashes).await;
    let outcome = outcome.map_err(|error| SettleError::Node(error.to_string()))?;
    let (reason, transaction) = match outcome {
        TransferOutcome::Unproven { hash, fee, .. } => (
            format!("transaction {hash} succeeded without a transfer, and an operator has looked"),
            Some((hash.to_string(), Amount(fee))),
        ),
        TransferOutcome::Displaced { by: Some(by) } => {
            (format!("transaction {by} has used the nonce of its transaction"), None)
        }
        TransferOutcome::Waiting => {
            return Err(SettleError::MayStillBeMade { nonce: refund.nonce, wallet: refund.sender });
        }
        TransferOutcome::Paid { .. }
        | TransferOutcome::Reverted { .. }
        | TransferOutcome::Confirming { .. }
        | TransferOutcome::Displaced { by: None }
        | TransferOutcome::Unclear => return Err(SettleError::Undecided),
    };
    Ok((refund, RefundEnd::Failed { reason, transaction }))
}
