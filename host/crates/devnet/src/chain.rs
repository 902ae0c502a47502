//! The chain: its blocks, the pool of transactions, and mining. It is synchronous; `node` adds the lock and the miner.
//!
//! A block is first assembled on a view of the state, which changes nothing, and then appended. The pending block is an
//! assembled block that is not appended.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Header, ReceiptEnvelope, Transaction as _, TxEnvelope, proofs};
use alloy::primitives::{B256, U256, keccak256};
use alloy::sol_types::SolValue as _;
use revm::state::EvmState;

use super::block::{Block, header};
use super::clock::Clock;
use super::execute::{self, BLOCK_GAS_LIMIT, BlockContext, BlockExecutor};
use super::fees;
use super::pool::TxPool;
use super::rejection::TxRejection;
use super::spec::KEPT_BLOCKS;
use super::state::{ChainState, StateView};

/// Most snapshots that are kept. A new one then replaces the oldest.
const MAX_SNAPSHOTS: usize = 256;

/// The whole chain.
#[derive(Debug)]
pub(super) struct DevnetChain {
    pub(super) state: ChainState,
    pub(super) clock: Clock,
    pub(super) pool: TxPool,
    /// The newest blocks, oldest first; never empty.
    blocks: VecDeque<Block>,
    /// Block numbers by hash, and hashes by number, of the kept blocks.
    numbers: HashMap<B256, u64>,
    hashes: HashMap<u64, B256>,
    /// Block number and index of each mined transaction in a kept block.
    mined: HashMap<B256, (u64, usize)>,
    snapshots: BTreeMap<u64, ChainSnapshot>,
    next_snapshot: u64,
}

/// A block that is not part of the chain, and the changes that appending it makes.
#[derive(Debug)]
pub(super) struct AssembledBlock {
    pub(super) block: Block,
    changes: Vec<EvmState>,
    /// Pooled transactions that can no longer be mined.
    invalid: Vec<(B256, TxRejection)>,
}

/// A point to which the chain can be reverted.
#[derive(Clone, Copy, Debug)]
struct ChainSnapshot {
    block: u64,
    version: u64,
    clock: Clock,
}

impl DevnetChain {
    /// Makes a chain of one block, whose state is `state`.
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
            mined: HashMap::new(),
            snapshots: BTreeMap::new(),
            next_snapshot: 1,
        };
        chain.push(Block::new(header, Vec::new(), &[], version));
        chain
    }

    pub(super) fn head(&self) -> &Block {
        self.blocks.back().expect("the chain starts with a block, and reverting keeps one")
    }

    /// The block with this number; none if it is not mined yet or no longer kept.
    pub(super) fn block(&self, number: u64) -> Option<&Block> {
        let index = number.checked_sub(self.oldest())?;
        self.blocks.get(usize::try_from(index).ok()?)
    }

    pub(super) fn block_by_hash(&self, hash: B256) -> Option<&Block> {
        self.block(*self.numbers.get(&hash)?)
    }

    /// The block of a mined transaction, and the transaction's index in it.
    pub(super) fn place_of(&self, transaction: B256) -> Option<(&Block, usize)> {
        let (number, index) = *self.mined.get(&transaction)?;
        Some((self.block(number)?, index))
    }

    /// The number of the oldest kept block.
    pub(super) fn oldest(&self) -> u64 {
        self.blocks.front().map_or(0, |block| block.header.number)
    }

    /// The newest state, including edits by dev methods.
    pub(super) fn newest(&self) -> StateView<'_> {
        self.state.view(self.state.version(), &self.hashes)
    }

    /// The state after `block`; for the head, the newest state.
    pub(super) fn state_after(&self, block: &Block) -> StateView<'_> {
        if block.hash == self.head().hash {
            return self.newest();
        }
        self.state.view(block.version, &self.hashes)
    }

    /// The context of a transaction that would be mined now.
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

    /// The context of a call as of `block`. For the head it is the next block, because the head may be an hour old when
    /// blocks are mined on demand; for an older block it is that block itself.
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

    /// Adds a transaction to the pool. On an error the pool is unchanged.
    pub(super) fn admit(&mut self, tx: Recovered<TxEnvelope>) -> Result<B256, TxRejection> {
        let hash = *tx.tx_hash();
        if self.mined.contains_key(&hash) {
            return Err(TxRejection::AlreadyKnown);
        }
        let next = self.newest().nonce(tx.signer());
        if tx.nonce() < next {
            return Err(TxRejection::NonceTooLow { next, tx: tx.nonce() });
        }
        // Checked before the pool, so that a transaction without funds takes none of its slots.
        execute::check(self.newest(), self.next_context(), &tx)?;
        self.pool.add(tx, next)?;
        Ok(hash)
    }

    /// Assembles a block of at most `max_transactions` pooled transactions, in the order of their arrival.
    pub(super) fn assemble(&self, max_transactions: usize) -> AssembledBlock {
        let context = self.next_context();
        let mut executor = BlockExecutor::new(self.newest(), context);
        let (mut done, mut changes, mut invalid) = (Vec::new(), Vec::new(), Vec::new());
        let mut skipped = HashSet::new();
        let mut gas_used = 0;
        while done.len() < max_transactions {
            let Some(tx) = self.pool.first(|sender| executor.nonce(sender), context.base_fee, &skipped) else { break };
            // It may fit the next block, so it stays in the pool. Later transactions of its sender wait with it.
            if tx.gas_limit() > BLOCK_GAS_LIMIT - gas_used {
                skipped.insert(*tx.tx_hash());
                continue;
            }
            match executor.execute(tx) {
                Ok((result, change)) => {
                    gas_used += result.tx_gas_used();
                    changes.push(change);
                    done.push((tx.clone(), result));
                }
                // Removed only when the block is mined: the pending block is assembled and thrown away.
                Err(rejection) => {
                    skipped.insert(*tx.tx_hash());
                    invalid.push((*tx.tx_hash(), rejection));
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

    /// Mines one block of at most `max_transactions` pooled transactions, and returns their number.
    pub(super) fn mine(&mut self, max_transactions: usize) -> usize {
        let AssembledBlock { block, changes, invalid } = self.assemble(max_transactions);
        self.state.commit(changes);
        self.clock.block_was_mined();
        for tx in &block.transactions {
            self.pool.remove(*tx.tx_hash());
        }
        for (hash, rejection) in invalid {
            tracing::debug!(%hash, %rejection, "dropped a transaction that can no longer be mined");
            self.pool.remove(hash);
        }
        let mined = block.transactions.len();
        self.push(block);
        // A dev method, or an authorisation of EIP-7702, may have raised a nonce past pooled transactions.
        let newest = self.state.view(self.state.version(), &self.hashes);
        self.pool.remove_stale(|sender| newest.nonce(sender));
        mined
    }

    /// Mines a block per transaction, until no pooled transaction can be mined.
    pub(super) fn mine_each(&mut self) {
        let base_fee = |chain: &Self| chain.next_context().base_fee;
        while self.pool.first(|sender| self.newest().nonce(sender), base_fee(self), &HashSet::new()).is_some() {
            self.mine(1);
        }
    }

    /// Takes a snapshot. Its number reverts the chain to it, once.
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

    /// Reverts to a snapshot, and forgets it, the later ones, and the pool. Returns false, and changes nothing, if the
    /// snapshot is unknown or older than the kept history.
    pub(super) fn revert_to(&mut self, id: u64) -> bool {
        let Some(then) = self.snapshots.get(&id).copied() else { return false };
        // The state is the last that can refuse: on a refusal nothing has changed yet.
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

    /// Appends a block, and forgets the oldest one above the limit.
    fn push(&mut self, block: Block) {
        let number = block.header.number;
        self.numbers.insert(block.hash, number);
        self.hashes.insert(number, block.hash);
        self.mined.extend(block.transactions.iter().enumerate().map(|(index, tx)| (*tx.tx_hash(), (number, index))));
        self.blocks.push_back(block);
        if self.blocks.len() > KEPT_BLOCKS
            && let Some(gone) = self.blocks.pop_front()
        {
            self.forget(&gone);
            self.state.forget_before(gone.version);
        }
    }

    /// Removes a block from the indexes.
    fn forget(&mut self, gone: &Block) {
        self.numbers.remove(&gone.hash);
        self.hashes.remove(&gone.header.number);
        for tx in &gone.transactions {
            self.mined.remove(tx.tx_hash());
        }
    }
}
