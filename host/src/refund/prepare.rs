//! Prepares a refund: looks the payment up, checks the budget and the wallet, and signs the transfer. Nothing is sent.

use std::collections::HashSet;
use std::path::Path;

use alloy::primitives::{Address, B256};
use coinslot_evm::{TokenTransfer, TokenWallet, TransferError};
use coinslot_ledger::reports::{LedgerReader, PaymentRow};
use coinslot_ledger::{
    BudgetedAsset, Change, DAY, Ledger, PaymentState, RefundAuthor, RefundBudget, RefundOrder, SignedRefund,
};
use coinslot_x402::UnixTime;
use coinslot_x402::price::{Amount, Asset, Decimal};

use super::error::RefundError;
use crate::operate::units::Units;

/// The difference between the chain's clock and ours that is allowed for, in seconds.
pub(super) const CLOCK_SKEW: u64 = 600;

/// A refund that is ready to begin.
#[derive(Debug)]
pub(crate) struct PreparedRefund {
    pub(crate) row: PaymentRow,
    pub(super) budget: Budget,
    pub(super) signed: SignedRefund,
}

/// A budget, in the words of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pub(super) counted: RefundBudget,
    /// `USD`, or the symbol of the asset.
    unit: String,
}

/// An owed payment, and what the ledger knows of refunds by the wallet.
struct Found {
    row: PaymentRow,
    /// The first nonce that no refund has had.
    least_nonce: u64,
    /// The transactions that were signed for refunds of other payments of its payer.
    others: HashSet<B256>,
}

impl PreparedRefund {
    /// The hash of the transaction that is signed.
    pub(super) fn transaction(&self) -> &str {
        &self.signed.hash
    }

    /// The order for the ledger.
    pub(super) fn order(&self, sender: Address, ordered_by: RefundAuthor, change: Change) -> RefundOrder {
        RefundOrder {
            payment_id: self.row.payment_id.clone(),
            ordered_by,
            sender: sender.to_string(),
            budget: self.budget.counted.clone(),
            signed: self.signed.clone(),
            change,
        }
    }
}

impl Budget {
    /// The budget that an asset belongs to: of all assets of `units` that are the same money, on real or on test
    /// networks.
    pub(super) fn of(asset: &Asset, budgets: &[Decimal], units: &Units) -> Result<Self, RefundError> {
        let no_budget = || RefundError::NoBudget { symbol: asset.symbol.clone() };
        let budget = budget_of(asset, budgets).ok_or_else(no_budget)?;
        let counting = Asset { decimals: RefundBudget::DECIMALS, ..asset.clone() };
        let limit = Amount::of(budget, &counting).map_err(|_| no_budget())?;
        let is_same = |other: &Asset| other.testnet == asset.testnet && budget_of(other, budgets) == Some(budget);
        let same = units.assets().into_iter().filter(is_same);
        let mut assets: Vec<BudgetedAsset> = same.map(|other| budgeted(&other)).collect();
        let own = budgeted(asset);
        if !assets.contains(&own) {
            assets.push(own);
        }
        let counted = RefundBudget { limit, window: std::time::Duration::from_secs(DAY), assets };
        Ok(Self { counted, unit: budget.symbol.clone().unwrap_or_else(|| "USD".to_owned()) })
    }

    /// Fails if a refund of so much would exceed the budget.
    pub(super) fn check(&self, spent: Amount, wanted: Amount) -> Result<(), RefundError> {
        if spent.0.saturating_add(wanted.0) <= self.counted.limit.0 {
            Ok(())
        } else {
            Err(self.exceeded(spent, wanted))
        }
    }

    /// The error of a refund that would exceed the budget.
    pub(super) fn exceeded(&self, spent: Amount, wanted: Amount) -> RefundError {
        let [wanted, spent, limit] = [wanted, spent, self.counted.limit].map(|amount| self.written(amount));
        RefundError::OverBudget { wanted, spent, limit }
    }

    /// The sum of it and its limit, in decimal units.
    pub(super) fn shown(&self, spent: Amount) -> (String, String) {
        (self.written(spent), self.written(self.counted.limit))
    }

    fn written(&self, amount: Amount) -> String {
        format!("{} {}", amount.decimal(RefundBudget::DECIMALS), self.unit)
    }
}

/// The budget that an asset belongs to: the one that names it, before that of all US dollars.
pub(super) fn budget_of<'b>(asset: &Asset, budgets: &'b [Decimal]) -> Option<&'b Decimal> {
    let fits = |budget: &&Decimal| budget.may_be_in(asset);
    budgets.iter().filter(fits).find(|budget| budget.symbol.is_some()).or_else(|| budgets.iter().find(fits))
}

fn budgeted(asset: &Asset) -> BudgetedAsset {
    BudgetedAsset {
        network: asset.network.clone(),
        asset: asset.address.to_ascii_lowercase(),
        decimals: asset.decimals,
    }
}

/// Prepares the refund of a payment by this wallet.
pub(super) async fn prepare(
    file: &Path,
    ledger: &dyn Ledger,
    units: &Units,
    budgets: &[Decimal],
    wallet: &TokenWallet,
    payment: &str,
    now: UnixTime,
) -> Result<PreparedRefund, RefundError> {
    let Found { row, least_nonce, others } = find(file, payment, wallet.address()).await?;
    let unknown = || RefundError::UnknownAsset { asset: row.asset.clone(), network: row.network.clone() };
    let asset = units.asset(&row.network, &row.asset).ok_or_else(unknown)?;
    let budget = Budget::of(&asset, budgets, units)?;
    let wanted = RefundBudget::counted(row.amount, asset.decimals).ok_or_else(unknown)?;
    budget.check(ledger.refunds_spent(budget.counted.clone(), now).await?, wanted)?;
    let (Ok(token), Ok(to)) = (row.asset.parse(), row.payer.parse()) else { return Err(unknown()) };
    let transfer = TokenTransfer { token, to, amount: row.amount.0 };
    let of_wallet = |error: TransferError| match error {
        TransferError::NodeBehind { .. } => RefundError::NodeBehind { network: row.network.clone() },
        error => RefundError::Wallet { wallet: wallet.address().to_string(), error },
    };
    let nonce = wallet.next_nonce(least_nonce).await.map_err(of_wallet)?;
    // Two ways for the payer to have the money already: a refund after the backup that was restored, and an attempt that
    // counts as failed because a node did not show its transaction. Nonces do not tell: another refund since then makes
    // them those of the ledger again.
    let since = row.created_at.0.saturating_sub(CLOCK_SKEW);
    let sent = wallet.transfers_to(token, to, since).await.map_err(|error| RefundError::Node(error.to_string()))?;
    let same = sent.into_iter().find(|(hash, amount)| *amount == transfer.amount && !others.contains(hash));
    if let Some((transaction, _)) = same {
        return Err(RefundError::PaidBefore { transaction });
    }
    let signed = wallet.sign(&transfer, nonce).await.map_err(of_wallet)?;
    let signed = SignedRefund { nonce, hash: signed.hash.to_string(), raw: signed.raw.to_vec() };
    Ok(PreparedRefund { row, budget, signed })
}

/// Looks the payment up, which must be owed.
async fn find(file: &Path, payment: &str, wallet: Address) -> Result<Found, RefundError> {
    let (file, payment) = (file.to_owned(), payment.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        let failed = |error: coinslot_ledger::reports::ReportError| RefundError::Ledger(error.to_string());
        let reader = LedgerReader::open(&file).map_err(failed)?;
        let row = reader.payment(&payment).map_err(failed)?.ok_or(RefundError::NoPayment)?;
        if row.state != PaymentState::Owed {
            return Err(RefundError::NotOwed { state: row.state });
        }
        let last = reader.last_refund_nonce(&row.network, &wallet.to_string()).map_err(failed)?;
        let others = reader.refund_transactions_beside(&row).map_err(failed)?;
        Ok(Found {
            least_nonce: last.map_or(0, |last| last.saturating_add(1)),
            others: others.iter().filter_map(|hash| hash.parse().ok()).collect(),
            row,
        })
    });
    found.await.map_err(|error| RefundError::Ledger(error.to_string()))?
}
