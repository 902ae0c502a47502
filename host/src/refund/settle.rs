//! Ends debts by what an operator says and the chain shows: that a debt was paid by hand, or that a refund that is under way
//! was not made.
//!
//! The operator's word alone ends nothing. A transaction counts if it moved the payment's asset to the payer, in a block
//! that is deep enough and not older than the payment, and if what it moved has not ended other debts. A refund counts as
//! not made if none of its transactions can move money any more.

use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use coinslot_evm::{Chain, ChainSettings, MovedMoney, MovedToken, TransferOutcome, default_confirmations};
use coinslot_ledger::reports::{LedgerReader, PaymentRow};
use coinslot_ledger::{
    Author, ChangeKind, DebtEnded, Ledger, OpenRefund, PaidByHand, PaymentState, RefundAuthor, RefundEnd,
};
use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;

use super::error::SettleError;
use super::follow::transfer;
use super::prepare::CLOCK_SKEW;
use super::queue::RefundQueue;
use super::{Refunds, paced};
use crate::config::Config;
use crate::operate::Audit;
use crate::operate::units::Units;

/// The time from the beginning of a refund in whose transaction the chain shows no transfer, after which it may be called
/// not made: the operator has to look at the payer's balance meanwhile, and a token may move money late.
const UNPROVEN_FOR: Duration = Duration::from_secs(3_600);

/// The word of an operator about a debt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DebtClaim {
    /// This transaction paid it.
    PaidBy(String),
    /// Its refund was not made.
    NotPaid,
}

/// The books and the nodes by which debts are ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DebtDesk<'d> {
    pub(crate) config: &'d Config,
    pub(crate) ledger: &'d dyn Ledger,
    pub(crate) audit: &'d Audit,
    /// None: the configuration has no `[refunds]`.
    pub(crate) refunds: Option<&'d Refunds>,
    pub(crate) now: UnixTime,
}

/// A debt that was ended, or would be.
#[derive(Clone, Debug)]
pub(crate) struct SettledDebt {
    pub(crate) row: PaymentRow,
    /// [`PaymentState::Refunded`] or [`PaymentState::Owed`].
    pub(crate) state: PaymentState,
    /// The transaction that paid it.
    pub(crate) transaction: Option<String>,
}

/// A refund that is under way and moves nothing any more, with its end.
type OverAttempt = (OpenRefund, RefundEnd);

/// The money that a transaction moved to the payer.
struct ByHand {
    transaction: B256,
    sender: Address,
    moved: U256,
}

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
            DebtClaim::PaidBy(transaction) => self.paid(row, transaction, who, dry_run).await,
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
        transaction: &str,
        who: Author,
        dry_run: bool,
    ) -> Result<SettledDebt, SettleError> {
        let instead_of = match row.state {
            PaymentState::Owed => None,
            PaymentState::Refunding => Some(self.over_attempt(&row).await?),
            state => return Err(SettleError::NotOwed { state }),
        };
        let by_hand = self.look_up(&row, transaction).await?;
        let transaction = by_hand.transaction.to_string();
        let before = if instead_of.is_some() { "refunding" } else { "owed" };
        let paid = PaidByHand {
            payment_id: row.payment_id.clone(),
            transaction: transaction.clone(),
            sender: by_hand.sender.to_string(),
            moved: Amount(by_hand.moved),
            dry_run,
            instead_of,
        };
        let shown = |amount| self.shown(&row, amount);
        match self.ledger.end_debt(paid, self.now).await? {
            DebtEnded::Ended => {}
            DebtEnded::NotOwed(None) => return Err(SettleError::NoPayment),
            DebtEnded::NotOwed(Some(state)) => return Err(SettleError::NotOwed { state }),
            DebtEnded::Counted { by, counted, owed } => {
                let (moved, counted, owed) = (shown(Amount(by_hand.moved)), shown(counted), shown(owed));
                return Err(SettleError::Counted { transaction, by, moved, counted, owed });
            }
            DebtEnded::SignedFor { payment_id } => return Err(SettleError::SignedFor { transaction, payment_id }),
        }
        if !dry_run {
            tracing::info!(payment = %row.payment_id, %transaction, "an operator has paid an owed answer back by hand");
            let after =
                format!("{} paid back to {} by hand, by transaction {transaction}", shown(row.amount), row.payer);
            self.audit.record(who, ChangeKind::Refund, &*row.payment_id, Some(before.to_owned()), Some(after));
        }
        Ok(SettledDebt { row, state: PaymentState::Refunded, transaction: Some(transaction) })
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
            self.ledger.end_refund(refund, end, self.now).await?;
            tracing::warn!(payment = %row.payment_id, %reason, "an operator says that a refund was not made: owed again");
            let after = format!("owed again, because the refund was not made: {reason}");
            self.audit.record(who, ChangeKind::Refund, &*row.payment_id, Some(author.to_owned()), Some(after));
        }
        Ok(SettledDebt { row, state: PaymentState::Owed, transaction: None })
    }

    /// Looks up what a transaction moved to the payer, and checks it against the debt.
    async fn look_up(&self, row: &PaymentRow, transaction: &str) -> Result<ByHand, SettleError> {
        let written = || SettleError::NotAHash { written: coinslot_base::text::printable(transaction).to_string() };
        let hash: B256 = transaction.parse().map_err(|_| written())?;
        let no_node = || SettleError::NoNode { network: row.network.clone() };
        let chain_id = row.network.chain_id().ok_or_else(no_node)?;
        let (Ok(token), Ok(payer)) = (row.asset.parse::<Address>(), row.payer.parse::<Address>()) else {
            return Err(no_node());
        };
        let (node, confirmations) = self.config.payment.node_of(&row.network).ok_or_else(no_node)?;
        let chain = Chain::connect(node, chain_id, ChainSettings::default()).await;
        let chain = chain.map_err(|error| SettleError::Node(error.to_string()))?;
        let confirmations = confirmations.unwrap_or_else(|| default_confirmations(chain_id));
        let moved = chain.moved_by(hash, token, confirmations).await;
        let moved = moved.map_err(|error| SettleError::Node(error.to_string()))?;
        let (at, transfers) = match moved {
            MovedMoney::Missing => {
                return Err(SettleError::Unknown { transaction: hash, network: row.network.clone() });
            }
            MovedMoney::Waiting | MovedMoney::Shallow => return Err(SettleError::NotDeep { transaction: hash }),
            MovedMoney::Reverted => return Err(SettleError::Reverted { transaction: hash }),
            MovedMoney::Moved { at, transfers } => (at, transfers),
        };
        if at < row.created_at.0.saturating_sub(CLOCK_SKEW) {
            return Err(SettleError::Older { transaction: hash });
        }
        self.check(row, hash, payer, &transfers)
    }

    /// Sums up what the transfers gave to the payer, which must be enough.
    fn check(
        &self,
        row: &PaymentRow,
        transaction: B256,
        payer: Address,
        transfers: &[MovedToken],
    ) -> Result<ByHand, SettleError> {
        let from_others = transfers.iter().filter(|one| one.to == payer && one.from != payer);
        let moved = from_others.clone().fold(U256::ZERO, |sum, one| sum.saturating_add(one.amount));
        let Some(first) = from_others.clone().next() else {
            return Err(match transfers.first() {
                None => SettleError::OtherAsset { transaction, asset: row.asset.clone() },
                Some(other) => {
                    SettleError::OtherReceiver { transaction, receiver: other.to.to_string(), payer: row.payer.clone() }
                }
            });
        };
        if moved < row.amount.0 {
            let (moved, owed) = (self.shown(row, Amount(moved)), self.shown(row, row.amount));
            return Err(SettleError::TooLittle { transaction, moved, owed });
        }
        Ok(ByHand { transaction, sender: first.from, moved })
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
