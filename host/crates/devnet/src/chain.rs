//! The chain itself: blocks, the pool, and mining. Synchronous; whoever holds it decides when.
//!
//! A block is first assembled on a view of the state, which changes nothing, and then appended: the
//! pending block is an assembled one that nobody appended.
//! Its header is complete but for the state root, which is zero: no proofs are served from this chain.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use alloy::consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy::consensus::transaction::Recovered;
use alloy::consensus::{
    BlockBody, Eip658Value, Header, Receipt, ReceiptEnvelope, Transaction as _, TxEnvelope, proofs,
};
use alloy::eips::eip4895::Withdrawals;
use alloy::eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy::primitives::{Address, B256, Bloom, Bytes, TxKind, U256, keccak256};
use alloy::rpc::types::{Log, TransactionReceipt};
use alloy::sol_types::SolValue as _;
use revm::context::result::ExecutionResult;
use revm::state::EvmState;

use super::clock::Clock;
use super::execute::{self, BLOCK_GAS_LIMIT, BlockContext, BlockExecutor, FEE_RECIPIENT};
use super::fees;
use super::pool::TxPool;
use super::rejection::TxRejection;
use super::state::{ChainState, StateView};
use super::{CLIENT_VERSION_PREFIX, KEPT_BLOCKS};

/// Snapshots kept; the oldest is forgotten for a new one.
const MAX_SNAPSHOTS: usize = 256;

#[derive(Debug)]
pub(super) struct DevnetChain {
    pub(super) state: ChainState,
    pub(super) clock: Clock,
    pub(super) pool: TxPool,
    blocks: VecDeque<Block>,
    numbers: HashMap<B256, u64>,
    hashes: HashMap<u64, B256>,
    places: HashMap<B256, (u64, usize)>,
    snapshots: BTreeMap<u64, ChainSnapshot>,
    next_snapshot: u64,
}

/// A block with everything that is asked about it.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) header: Header,
    pub(super) hash: B256,
    /// Bytes of the block's RLP.
    pub(super) size: usize,
    pub(super) transactions: Vec<Recovered<TxEnvelope>>,
    pub(super) receipts: Vec<TransactionReceipt>,
    /// The state after it.
    pub(super) version: u64,
}

/// A block that is not part of the chain (yet), and what appending it changes.
#[derive(Debug)]
pub(super) struct AssembledBlock {
    pub(super) block: Block,
    changes: Vec<EvmState>,
    invalid: Vec<(B256, TxRejection)>,
}

#[derive(Clone, Copy, Debug)]
struct ChainSnapshot {
    block: u64,
    version: u64,
    clock: Clock,
}

impl DevnetChain {
    /// A chain of one block, whose state is `state`.
    pub(super) fn new(state: ChainState) -> Self {
        let clock = Clock::default();
        let version = state.version();
        let header = header(Header {
            timestamp: clock.timestamp(0),
            base_fee_per_gas: Some(fees::MIN_BASE_FEE),
            transactions_root: proofs::calculate_transaction_root::<TxEnvelope>(&[]),
            receipts_root: proofs::calculate_receipt_root::<ReceiptEnvelope>(&[]),
            ..Header::default()
        });
        let mut chain = Self {
            state,
            clock,
            pool: TxPool::default(),
            blocks: VecDeque::new(),
            numbers: HashMap::new(),
            hashes: HashMap::new(),
            places: HashMap::new(),
            snapshots: BTreeMap::new(),
            next_snapshot: 1,
        };
        chain.push(Block::new(header, Vec::new(), &[], version));
        chain
    }

    pub(super) fn head(&self) -> &Block {
        self.blocks.back().expect("the chain starts with a block, and going back keeps one")
    }

    /// None for a block that is not yet, or no longer, there.
    pub(super) fn block(&self, number: u64) -> Option<&Block> {
        let index = number.checked_sub(self.oldest())?;
        self.blocks.get(usize::try_from(index).ok()?)
    }

    pub(super) fn block_by_hash(&self, hash: B256) -> Option<&Block> {
        self.block(*self.numbers.get(&hash)?)
    }

    /// A mined transaction's block, and its index in it.
    pub(super) fn place_of(&self, transaction: B256) -> Option<(&Block, usize)> {
        let (number, index) = *self.places.get(&transaction)?;
        Some((self.block(number)?, index))
    }

    /// The number of the oldest block still kept.
    pub(super) fn oldest(&self) -> u64 {
        self.blocks.front().map_or(0, |block| block.header.number)
    }

    /// The newest state, dev methods' edits included.
    pub(super) fn newest(&self) -> StateView<'_> {
        self.state.view(self.state.version(), &self.hashes)
    }

    /// The state after `block`; for the head, the newest.
    pub(super) fn state_after(&self, block: &Block) -> StateView<'_> {
        if block.hash == self.head().hash {
            return self.newest();
        }
        self.state.view(block.version, &self.hashes)
    }

    /// What a transaction would see if it were mined now.
    pub(super) fn next_context(&self) -> BlockContext {
        let head = self.head();
        let number = head.header.number + 1;
        BlockContext {
            number,
            timestamp: self.clock.timestamp(head.header.timestamp),
            base_fee: fees::next_base_fee(head.header.gas_used, head.base_fee()),
            randomness: keccak256((head.hash, U256::from(number)).abi_encode()),
        }
    }

    /// What a call sees as of `block`: for the head the next block, because the head may be an hour old
    /// when blocks come on demand; for an older one that block itself.
    pub(super) fn context_for(&self, block: &Block) -> BlockContext {
        if block.hash == self.head().hash {
            return self.next_context();
        }
        BlockContext {
            number: block.header.number,
            timestamp: block.header.timestamp,
            base_fee: block.base_fee(),
            randomness: block.header.mix_hash,
        }
    }

    /// Takes a transaction into the pool. On error the pool is as before.
    pub(super) fn admit(&mut self, tx: Recovered<TxEnvelope>) -> Result<B256, TxRejection> {
        let hash = *tx.tx_hash();
        if self.places.contains_key(&hash) {
            return Err(TxRejection::AlreadyKnown);
        }
        let next = self.newest().nonce(tx.signer());
        if tx.nonce() < next {
            return Err(TxRejection::NonceTooLow { next, tx: tx.nonce() });
        }
        execute::check(self.newest(), self.next_context(), &tx)?;
        self.pool.add(tx, next)?;
        Ok(hash)
    }

    /// A block of what waits, at most `most` transactions, in the order of arrival.
    pub(super) fn assemble(&self, most: usize) -> AssembledBlock {
        let context = self.next_context();
        let mut run = BlockExecutor::new(self.newest(), context);
        let (mut done, mut changes, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
        let mut passed = HashSet::new();
        let mut gas_used = 0;
        while done.len() < most {
            let Some(tx) = self.pool.first(|sender| run.nonce(sender), context.base_fee, &passed) else { break };
            if tx.gas_limit() > BLOCK_GAS_LIMIT - gas_used {
                passed.insert(*tx.tx_hash());
                continue;
            }
            match run.transaction(tx) {
                Ok((result, change)) => {
                    gas_used += result.tx_gas_used();
                    changes.push(change);
                    done.push((tx.clone(), result));
                }
                Err(refusal) => {
                    passed.insert(*tx.tx_hash());
                    invalid.push((*tx.tx_hash(), refusal));
                }
            }
        }
        let head = self.head();
        let header = header(Header {
            parent_hash: head.hash,
            number: context.number,
            timestamp: context.timestamp,
            base_fee_per_gas: Some(context.base_fee),
            mix_hash: context.randomness,
            ..Header::default()
        });
        let (transactions, results): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let block = Block::new(header, transactions, &results, self.state.version() + 1);
        AssembledBlock { block, changes, invalid }
    }

    /// Mines one block of what waits, at most `most` transactions; returns how many it has.
    pub(super) fn mine(&mut self, most: usize) -> usize {
        let AssembledBlock { block, changes, invalid } = self.assemble(most);
        self.state.commit(changes);
        self.clock.block_was_mined();
        for tx in &block.transactions {
            self.pool.remove(*tx.tx_hash());
        }
        for (hash, refusal) in invalid {
            tracing::debug!(%hash, %refusal, "dropped a transaction that can no longer be mined");
            self.pool.remove(hash);
        }
        let mined = block.transactions.len();
        self.push(block);
        let newest = self.state.view(self.state.version(), &self.hashes);
        self.pool.remove_stale(|sender| newest.nonce(sender));
        mined
    }

    /// A block per transaction, until none can be mined.
    pub(super) fn mine_each(&mut self) {
        let base_fee = |chain: &Self| chain.next_context().base_fee;
        while self.pool.first(|sender| self.newest().nonce(sender), base_fee(self), &HashSet::new()).is_some() {
            self.mine(1);
        }
    }

    /// Remembers now; the number takes the chain back to it, once.
    pub(super) fn snapshot(&mut self) -> u64 {
        if self.snapshots.len() >= MAX_SNAPSHOTS {
            self.snapshots.pop_first();
        }
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        let now = ChainSnapshot { block: self.head().header.number, version: self.state.version(), clock: self.clock };
        self.snapshots.insert(id, now);
        id
    }

    /// Goes back, and forgets this snapshot, the later ones, and the pool. False, and nothing changed, when
    /// it is unknown or too old.
    pub(super) fn revert_to(&mut self, id: u64) -> bool {
        let Some(then) = self.snapshots.get(&id).copied() else { return false };
        if then.block < self.oldest() || !self.state.revert_to(then.version) {
            return false;
        }
        self.snapshots.split_off(&id);
        while self.head().header.number > then.block {
            if let Some(gone) = self.blocks.pop_back() {
                self.forget(&gone);
            }
        }
        self.clock = then.clock;
        self.pool.clear();
        true
    }

    fn push(&mut self, block: Block) {
        let number = block.header.number;
        self.numbers.insert(block.hash, number);
        self.hashes.insert(number, block.hash);
        self.places.extend(block.transactions.iter().enumerate().map(|(index, tx)| (*tx.tx_hash(), (number, index))));
        self.blocks.push_back(block);
        if self.blocks.len() > KEPT_BLOCKS
            && let Some(gone) = self.blocks.pop_front()
        {
            self.forget(&gone);
            self.state.forget_before(gone.version);
        }
    }

    fn forget(&mut self, gone: &Block) {
        self.numbers.remove(&gone.hash);
        self.hashes.remove(&gone.header.number);
        for tx in &gone.transactions {
            self.places.remove(tx.tx_hash());
        }
    }
}

impl Block {
    pub(super) fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.unwrap_or(fees::MIN_BASE_FEE)
    }

    /// Completes `header` from what the transactions did, in their order.
    fn new(
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

/// The fields that are the same in every block.
fn header(varying: Header) -> Header {
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

fn consensus_receipts(transactions: &[TxEnvelope], results: &[ExecutionResult]) -> Vec<ReceiptEnvelope> {
    let mut cumulative_gas_used = 0;
    let receipt = |(tx, result): (&TxEnvelope, &ExecutionResult)| {
        cumulative_gas_used += result.tx_gas_used();
        // What a failed transaction logged has not happened.
        let logs = if result.is_success() { result.logs().to_vec() } else { Vec::new() };
        let status = Eip658Value::Eip658(result.is_success());
        let receipt = Receipt { status, cumulative_gas_used, logs };
        ReceiptEnvelope::from_typed(tx.tx_type(), receipt.with_bloom())
    };
    transactions.iter().zip(results).map(receipt).collect()
}

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

/// Where the transaction puts a contract; clients show it for a failed creation too.
fn created(tx: &Recovered<TxEnvelope>) -> Option<Address> {
    matches!(tx.kind(), TxKind::Create).then(|| tx.signer().create(tx.nonce()))
}
