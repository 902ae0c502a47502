//! Signs the transactions of our own keys.

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};

use crate::fees::TxFees;
use crate::key::{Key, KeyError};

/// The content of a transaction but for its nonce.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) to: Address,
    pub(super) data: Bytes,
    pub(super) gas: u64,
    pub(super) fees: TxFees,
}

/// A signed transaction. Giving it to a node again is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignedTx {
    pub(super) hash: B256,
    pub(super) raw: Bytes,
}

impl Transaction {
    /// The most that it can cost, in wei.
    pub(super) fn max_cost(&self) -> U256 {
        self.fees.max_cost(self.gas)
    }

    /// Signs it for one nonce of the key on one chain.
    pub(super) fn sign(&self, key: &Key, chain_id: u64, nonce: u64) -> Result<SignedTx, KeyError> {
        let unsigned = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.fees.max_fee,
            max_priority_fee_per_gas: self.fees.tip,
            to: TxKind::Call(self.to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: self.data.clone(),
        };
        let signature = key.sign(unsigned.signature_hash())?;
        let envelope = TxEnvelope::from(unsigned.into_signed(signature));
        Ok(SignedTx { hash: *envelope.tx_hash(), raw: envelope.encoded_2718().into() })
    }
}
