//! A block: its header, transactions and receipts.
//!
//! The header is complete but for the state root, which is zero: this chain serves no proofs.

use alloy::consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy::consensus::transaction::Recovered;
use alloy::consensus::{
    BlockBody, Eip658Value, Header, Receipt, ReceiptEnvelope, Transaction as _, TxEnvelope, proofs,
};
use alloy::eips::eip4895::Withdrawals;
use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy::primitives::{Address, B256, Bloom, Bytes, TxKind};
use alloy::rpc::types::{Log, TransactionReceipt};
use revm::context::result::ExecutionResult;

use super::execute::{BLOCK_GAS_LIMIT, FEE_RECIPIENT};
use super::fees;
use super::spec::CLIENT_VERSION_PREFIX;

/// A block with its transactions and their receipts.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) header: Header,
    pub(super) hash: B256,
    /// Length of the block's RLP, in bytes.
    pub(super) size: usize,
    pub(super) transactions: Vec<Recovered<TxEnvelope>>,
    pub(super) receipts: Vec<TransactionReceipt>,
    /// The version of the state after this block.
    pub(super) version: u64,
}

impl Block {
    pub(super) fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or(fees::MIN_BASE_FEE)
    }

    /// Completes `header` from the results of the transactions, which are in their order.
    pub(super) fn new(
        mut header: Header,
        transactions: Vec<Recovered<TxEnvelope>>,
        results: &[ExecutionResult],
        version: u64,
    ) -> Self {
        let bare: Vec<TxEnvelope> = transactions.iter().map(|tx| tx.inner().clone()).collect();
        let receipts = consensus_receipts(&bare, results);
        header.gas_used = results.iter().map(ExecutionResult::tx_gas_used).sum();
        header.logs_bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        header.transactions_root = proofs::calculate_transaction_root(&bare);
        header.receipts_root = proofs::calculate_receipt_root(&receipts);
        let hash = header.hash_slow();
        let body = BlockBody { transactions: bare, ommers: Vec::new(), withdrawals: Some(Withdrawals::default()) };
        let size = alloy::consensus::Block::<TxEnvelope>::rlp_length_for(&header, &body);
        let receipts = served_receipts(&header, hash, &transactions, receipts, results);
        Self { header, hash, size, transactions, receipts, version }
    }
}

/// Fills in the header fields that are the same in every block.
pub(super) fn header(varying: Header) -> Header {
    Header {
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: FEE_RECIPIENT,
        gas_limit: BLOCK_GAS_LIMIT,
        extra_data: Bytes::from_static(CLIENT_VERSION_PREFIX.as_bytes()),
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..varying
    }
}

/// The receipts as consensus hashes them.
fn consensus_receipts(transactions: &[TxEnvelope], results: &[ExecutionResult]) -> Vec<ReceiptEnvelope> {
    let mut cumulative_gas_used = 0;
    let receipt = |(tx, result): (&TxEnvelope, &ExecutionResult)| {
        cumulative_gas_used += result.tx_gas_used();
        // The logs of a failed transaction are reverted with it.
        let logs = if result.is_success() { result.logs().to_vec() } else { Vec::new() };
        let status = Eip658Value::Eip658(result.is_success());
        let receipt = Receipt { status, cumulative_gas_used, logs };
        ReceiptEnvelope::from_typed(tx.tx_type(), receipt.with_bloom())
    };
    transactions.iter().zip(results).map(receipt).collect()
}

/// The receipts as JSON-RPC returns them.
fn served_receipts(
    header: &Header,
    hash: B256,
    transactions: &[Recovered<TxEnvelope>],
    receipts: Vec<ReceiptEnvelope>,
    results: &[ExecutionResult],
) -> Vec<TransactionReceipt> {
    let mut log_index = 0;
    let mut served = Vec::with_capacity(receipts.len());
    for (index, ((tx, receipt), result)) in (0..).zip(transactions.iter().zip(receipts).zip(results)) {
        let inner = receipt.map_logs(|log| {
            log_index += 1;
            Log {
                inner: log,
                block_hash: Some(hash),
                block_number: Some(header.number),
                block_timestamp: Some(header.timestamp),
                transaction_hash: Some(*tx.tx_hash()),
                transaction_index: Some(index),
                log_index: Some(log_index - 1),
                removed: false,
            }
        });
        served.push(TransactionReceipt {
            inner,
            transaction_hash: *tx.tx_hash(),
            transaction_index: Some(index),
            block_hash: Some(hash),
            block_number: Some(header.number),
            gas_used: result.tx_gas_used(),
            effective_gas_price: tx.effective_gas_price(header.base_fee_per_gas),
            blob_gas_used: None,
            blob_gas_price: None,
            from: tx.signer(),
            to: tx.to(),
            contract_address: created(tx),
        });
    }
    served
}

/// The address of the contract that the transaction creates. Clients show it for a failed creation too.
fn created(tx: &Recovered<TxEnvelope>) -> Option<Address> {
    matches!(tx.kind(), TxKind::Create).then(|| tx.signer().create(tx.nonce()))
}
