//! Signs transfers, and replacements for those that wait for a block.

use alloy::consensus::TxEnvelope;
use alloy::eips::eip2718::Decodable2718;
use alloy::primitives::{Bytes, TxKind, U256};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall;

use super::error::TransferError;
use super::{SignedTransfer, TokenTransfer, TokenWallet};
use crate::abi::IEip3009::transferCall;
use crate::fees::TxFees;
use crate::transaction::Transaction;

/// The most gas that a transfer is given: a plain token takes less than a tenth of it.
const MAX_GAS: u64 = 500_000;

impl TokenWallet {
    /// Signs a transfer for a nonce, at the fees of the moment, after a simulation of the transaction as it would be
    /// sent. It sends nothing and keeps nothing.
    pub async fn sign(&self, transfer: &TokenTransfer, nonce: u64) -> Result<SignedTransfer, TransferError> {
        let (market, limit) = (self.fees.now().await?, self.max_fee_per_gas);
        if market.base > limit {
            return Err(TransferError::FeeAboveLimit { needed: market.base, limit });
        }
        let fees = market.tx_fees(limit);
        let held = self.balances(transfer.token).await?;
        if held.token < transfer.amount {
            return Err(TransferError::TokenBalance { have: held.token, need: transfer.amount });
        }
        let data = transfer.data();
        let request = TransactionRequest::default().from(self.address()).to(transfer.token).input(data.clone().into());
        let needed = self.chain.estimate(request.clone()).await?;
        if needed > MAX_GAS {
            let problem = format!("it takes {needed} gas, more than the {MAX_GAS} that a transfer may take");
            return Err(TransferError::Reverts(problem));
        }
        // A quarter more: the state may change until the transaction runs, and unused gas costs nothing.
        let gas = needed.saturating_add(needed / 4).min(MAX_GAS);
        let transaction = Transaction { to: transfer.token, data, gas, fees };
        check_gas_balance(held.native, &transaction)?;
        let answer = self.chain.run(fees.priced(request.gas_limit(gas))).await?;
        if !says_yes(&answer) {
            return Err(TransferError::Reverts("its `transfer` returns false".to_owned()));
        }
        self.signed(&transaction, nonce)
    }

    /// Signs a replacement for the newest transaction of a transfer: with the same nonce and call, and with both fees
    /// an eighth higher or today's if these are higher, so that every node takes it. None while the newest pays today's
    /// fees: a node that forgot it is given the same bytes again.
    ///
    /// On an error the newest transaction stays what it is, and may still get into a block.
    pub async fn reprice(
        &self,
        newest: &SignedTransfer,
        transfer: &TokenTransfer,
    ) -> Result<Option<SignedTransfer>, TransferError> {
        let sent = self.decode(newest, transfer).ok_or(TransferError::WrongTransaction)?;
        let (market, limit) = (self.fees.now().await?, self.max_fee_per_gas);
        if sent.fees.covers(market) {
            return Ok(None);
        }
        let raised = sent.fees.raised(market.tx_fees(limit), limit);
        let fees = raised.ok_or_else(|| {
            let needed = sent.fees.raised(market.tx_fees(u128::MAX), u128::MAX);
            TransferError::FeeAboveLimit { needed: needed.map_or(u128::MAX, |fees| fees.max_fee), limit }
        })?;
        let replacement = Transaction { fees, ..sent };
        check_gas_balance(self.chain.balance(self.address()).await?, &replacement)?;
        self.signed(&replacement, newest.nonce).map(Some)
    }

    fn signed(&self, transaction: &Transaction, nonce: u64) -> Result<SignedTransfer, TransferError> {
        let signed = transaction.sign(&self.key, self.chain_id(), nonce);
        let signed = signed.map_err(|error| TransferError::Signing(error.to_string()))?;
        Ok(SignedTransfer { nonce, hash: signed.hash, raw: signed.raw })
    }

    /// Reads the bytes of a signed transfer. None if they are anything else than this very transfer, signed by this
    /// wallet for this nonce on this chain.
    fn decode(&self, signed: &SignedTransfer, transfer: &TokenTransfer) -> Option<Transaction> {
        let TxEnvelope::Eip1559(envelope) = TxEnvelope::decode_2718_exact(&signed.raw).ok()? else { return None };
        let signer = envelope.signature().recover_address_from_prehash(&envelope.signature_hash()).ok()?;
        let tx = envelope.tx();
        let is_ours = signer == self.address()
            && *envelope.hash() == signed.hash
            && (tx.chain_id, tx.nonce) == (self.chain_id(), signed.nonce)
            && (tx.to, tx.value) == (TxKind::Call(transfer.token), U256::ZERO)
            && tx.access_list.is_empty()
            && tx.input == transfer.data();
        is_ours.then(|| Transaction {
            to: transfer.token,
            data: tx.input.clone(),
            gas: tx.gas_limit,
            fees: TxFees { max_fee: tx.max_fee_per_gas, tip: tx.max_priority_fee_per_gas },
        })
    }
}

impl TokenTransfer {
    /// The data of the call that makes it.
    fn data(&self) -> Bytes {
        transferCall { to: self.to, value: self.amount }.abi_encode().into()
    }
}

fn check_gas_balance(have: U256, transaction: &Transaction) -> Result<(), TransferError> {
    let need = transaction.max_cost();
    if have < need { Err(TransferError::GasBalance { have, need }) } else { Ok(()) }
}

/// The meaning of what `transfer` returned. Tokens of before ERC-20 was final return nothing.
fn says_yes(answer: &[u8]) -> bool {
    answer.is_empty() || U256::try_from_be_slice(answer) == Some(U256::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_agrees_by_true_or_by_nothing() {
        let word = |last: u8| U256::from(last).to_be_bytes::<32>().to_vec();
        for (answer, expected) in [
            (word(1), true),
            (Vec::new(), true),
            (word(0), false),
            (word(2), false),
            (vec![1; 33], false),
            (vec![0], false),
        ] {
            assert_eq!(says_yes(&answer), expected, "{answer:?}");
        }
    }
}
