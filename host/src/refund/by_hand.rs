//! Looks up whether a transaction paid a debt by hand: what it moved to the payer, from whom, and after what.
//!
//! The chain's blocks say what came first, not clocks: a transaction counts in a block above that of the payment's own
//! settlement. Where that block is not known, it counts in a block of a time at which the payment could not be settled
//! any more. What counts is what the payer received less what it sent in the same transaction.

use alloy::primitives::{Address, B256, U256};
use coinslot_evm::{CallError, Chain, ChainSettings, MovedMoney, MovedToken, default_confirmations};
use coinslot_ledger::reports::PaymentRow;
use coinslot_x402::UnixTime;
use coinslot_x402::price::Amount;

use super::error::SettleError;
use crate::config::PaymentConfig;
use crate::operate::time;
use crate::operate::units::Units;

/// The money that a transaction moved to the payer.
pub(super) struct ByHand {
    pub(super) transaction: B256,
    /// The account that paid: one that the operator has to vouch for, before all others.
    pub(super) sender: Address,
    /// True if nobody but the configuration's own accounts paid.
    pub(super) is_sender_known: bool,
    /// The amount that the payer received, less the amount that it sent.
    pub(super) moved: U256,
}

/// The configuration, as far as debts are looked up by it.
pub(super) struct Books<'b> {
    pub(super) config: &'b PaymentConfig,
    pub(super) units: Units,
    /// The accounts that the configuration names.
    pub(super) wallets: &'b [Address],
}

impl Books<'_> {
    /// Looks up what a transaction moved to the payer, and checks it against the debt.
    pub(super) async fn look_up(&self, row: &PaymentRow, transaction: &str) -> Result<ByHand, SettleError> {
        let written = || SettleError::NotAHash { written: coinslot_base::text::printable(transaction).to_string() };
        let hash: B256 = transaction.parse().map_err(|_| written())?;
        let no_node = || SettleError::NoNode { network: row.network.clone() };
        let chain_id = row.network.chain_id().ok_or_else(no_node)?;
        let (Ok(token), Ok(payer)) = (row.asset.parse::<Address>(), row.payer.parse::<Address>()) else {
            return Err(no_node());
        };
        let (node, confirmations) = self.config.node_of(&row.network).ok_or_else(no_node)?;
        let chain = Chain::connect(node, chain_id, ChainSettings::default()).await;
        let chain = chain.map_err(|error| SettleError::Node(error.to_string()))?;
        let confirmations = confirmations.unwrap_or_else(|| default_confirmations(chain_id));
        let (block, at, transfers) = match chain.moved_by(hash, token, confirmations).await.map_err(silent)? {
            MovedMoney::Missing => {
                return Err(SettleError::Unknown { transaction: hash, network: row.network.clone() });
            }
            MovedMoney::Waiting | MovedMoney::Shallow => return Err(SettleError::NotDeep { transaction: hash }),
            MovedMoney::Reverted => return Err(SettleError::Reverted { transaction: hash }),
            MovedMoney::Moved { block, at, transfers } => (block, UnixTime(at), transfers),
        };
        let by_hand = self.sum(row, hash, payer, &transfers)?;
        follows(&chain, row, hash, (block, at)).await?;
        Ok(by_hand)
    }

    /// Sums up what the transfers left with the payer, which must be enough.
    fn sum(
        &self,
        row: &PaymentRow,
        transaction: B256,
        payer: Address,
        transfers: &[MovedToken],
    ) -> Result<ByHand, SettleError> {
        let received: Vec<&MovedToken> = transfers.iter().filter(|one| one.to == payer && one.from != payer).collect();
        let Some(first) = received.first() else {
            return Err(match transfers.first() {
                None => SettleError::OtherAsset { transaction, asset: row.asset.clone() },
                Some(other) => {
                    SettleError::OtherReceiver { transaction, receiver: other.to.to_string(), payer: row.payer.clone() }
                }
            });
        };
        let sent = transfers.iter().filter(|one| one.from == payer && one.to != payer);
        let sum = |amount: U256, one: &MovedToken| amount.saturating_add(one.amount);
        let sent = sent.fold(U256::ZERO, sum);
        let paid = received.iter().fold(U256::ZERO, |amount, one| sum(amount, one));
        let moved = paid.saturating_sub(sent);
        let shown = |amount| self.units.shown(&row.network, &row.asset, amount);
        let owed = shown(row.amount);
        if paid < row.amount.0 {
            return Err(SettleError::TooLittle { transaction, moved: shown(Amount(paid)), owed });
        }
        if moved < row.amount.0 {
            let (paid, sent) = (shown(Amount(paid)), shown(Amount(sent)));
            return Err(SettleError::SentBack { transaction, paid, sent, owed });
        }
        let is_known = |one: &&&MovedToken| {
            self.wallets.contains(&one.from) || row.pay_to.parse::<Address>().is_ok_and(|receiver| receiver == one.from)
        };
        let unknown = received.iter().find(|one| !is_known(one));
        let sender = unknown.unwrap_or(first).from;
        Ok(ByHand { transaction, sender, is_sender_known: unknown.is_none(), moved })
    }
}

/// Fails unless a transaction in this block, of this time, comes after the payment.
async fn follows(
    chain: &Chain,
    row: &PaymentRow,
    transaction: B256,
    (block, at): (u64, UnixTime),
) -> Result<(), SettleError> {
    let settlement = row.transaction.as_ref().and_then(|hash| hash.parse::<B256>().ok());
    let settled_in = match settlement {
        Some(hash) => chain.block_of(hash).await.map_err(silent)?,
        None => None,
    };
    match settled_in {
        Some(settled) if block > settled => Ok(()),
        Some(settled) => Err(SettleError::Older { transaction, block, settled }),
        // The chain refuses an authorisation in blocks of this time and later.
        None if at > row.valid_before => Ok(()),
        None => Err(SettleError::Unplaced {
            transaction,
            settlement: settlement.map_or_else(|| "no transaction".to_owned(), |hash| format!("transaction {hash}")),
            after: time::shown(row.valid_before),
        }),
    }
}

fn silent(error: CallError) -> SettleError {
    SettleError::Node(error.to_string())
}
