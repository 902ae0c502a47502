//! Accounts, storage and code, with their history: each value is kept with the version that wrote it, so that reading
//! as of an older block, and reverting to a snapshot, cost a search instead of a copy.
//!
//! Invariant: versions only grow; a [`StateView`] of one version is unchanged by later writes. History older
//! than the floor is forgotten, the newest value at or below it excepted.

use std::collections::HashMap;
use std::convert::Infallible;

use alloy::primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::DatabaseRef;
use revm::state::{AccountInfo, Bytecode, EvmState};

/// Every account, storage slot and code, from the newest version back to the floor.
#[derive(Debug, Default)]
pub(super) struct ChainState {
    accounts: HashMap<Address, VersionedValues<Option<StoredAccount>>>,
    storage: HashMap<(Address, U256), VersionedValues<U256>>,
    codes: HashMap<B256, Bytecode>,
    version: u64,
    /// The oldest version that can be read.
    floor: u64,
}

/// The state as of one version, and the hashes of the blocks before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct StateView<'a> {
    state: &'a ChainState,
    version: u64,
    hash_of: &'a HashMap<u64, B256>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoredAccount {
    nonce: u64,
    balance: U256,
    code_hash: B256,
}

/// Values in the order of the versions that wrote them.
#[derive(Debug)]
struct VersionedValues<T>(Vec<(u64, T)>);

impl ChainState {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn view<'a>(&'a self, version: u64, hash_of: &'a HashMap<u64, B256>) -> StateView<'a> {
        StateView { state: self, version, hash_of }
    }

    /// Writes the changes of transactions, as one new version.
    pub(super) fn commit(&mut self, changes: impl IntoIterator<Item = EvmState>) {
        self.version += 1;
        for (address, account) in changes.into_iter().flatten() {
            if !account.is_touched() {
                continue;
            }
            // Since EIP-6780 only a contract of the same transaction can be destroyed, so none of
            // its storage was ever written here. An empty account does not exist (EIP-161).
            if account.is_selfdestructed() || account.is_empty() {
                self.put_account(address, None);
                continue;
            }
            let AccountInfo { balance, nonce, code_hash, code, .. } = account.info;
            if let Some(code) = code.filter(|code| !code.is_empty()) {
                self.codes.entry(code_hash).or_insert(code);
            }
            self.put_account(address, Some(StoredAccount { nonce, balance, code_hash }));
            for (slot, value) in account.storage {
                if value.is_changed() {
                    self.put_storage(address, slot, value.present_value);
                }
            }
        }
    }

    pub(super) fn set_balance(&mut self, address: Address, balance: U256) {
        self.edit(address, |account| account.balance = balance);
    }

    pub(super) fn set_nonce(&mut self, address: Address, nonce: u64) {
        self.edit(address, |account| account.nonce = nonce);
    }

    pub(super) fn set_code(&mut self, address: Address, code: Bytecode) {
        let code_hash = code.hash_slow();
        self.codes.insert(code_hash, code);
        self.edit(address, |account| account.code_hash = code_hash);
    }

    pub(super) fn set_storage(&mut self, address: Address, slot: U256, value: U256) {
        self.version += 1;
        self.put_storage(address, slot, value);
    }

    /// Forgets everything written after `version`. Returns false, and changes nothing, if that version is below the
    /// floor or in the future.
    pub(super) fn revert_to(&mut self, version: u64) -> bool {
        if version < self.floor || version > self.version {
            return false;
        }
        // Codes stay: they are found by their hash, and no account names a later one any more.
        self.accounts.retain(|_, versions| versions.cut(version));
        self.storage.retain(|_, versions| versions.cut(version));
        self.version = version;
        true
    }

    /// Raises the floor to `version`. Older values are pruned one by one, when their account or slot is next written.
    pub(super) fn forget_before(&mut self, version: u64) {
        self.floor = version;
    }

    fn edit(&mut self, address: Address, change: impl FnOnce(&mut StoredAccount)) {
        let mut account = self.account(address, self.version).unwrap_or(StoredAccount::NONE);
        change(&mut account);
        self.version += 1;
        self.put_account(address, (account != StoredAccount::NONE).then_some(account));
    }

    fn account(&self, address: Address, version: u64) -> Option<StoredAccount> {
        self.accounts.get(&address)?.at(version).copied().flatten()
    }

    fn put_account(&mut self, address: Address, account: Option<StoredAccount>) {
        self.accounts.entry(address).or_insert(VersionedValues(Vec::new())).put(self.version, account, self.floor);
    }

    fn put_storage(&mut self, address: Address, slot: U256, value: U256) {
        self.storage.entry((address, slot)).or_insert(VersionedValues(Vec::new())).put(self.version, value, self.floor);
    }
}

impl StateView<'_> {
    pub(super) fn nonce(&self, address: Address) -> u64 {
        self.state.account(address, self.version).map_or(0, |account| account.nonce)
    }

    pub(super) fn balance(&self, address: Address) -> U256 {
        self.state.account(address, self.version).map_or(U256::ZERO, |account| account.balance)
    }

    pub(super) fn code(&self, address: Address) -> Bytecode {
        let account = self.state.account(address, self.version);
        account.and_then(|account| self.state.codes.get(&account.code_hash).cloned()).unwrap_or_default()
    }

    pub(super) fn storage(&self, address: Address, slot: U256) -> U256 {
        self.state.storage.get(&(address, slot)).and_then(|value| value.at(self.version)).copied().unwrap_or_default()
    }
}

impl DatabaseRef for StateView<'_> {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.state.account(address, self.version).map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            code: Some(self.code(address)),
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.state.codes.get(&code_hash).cloned().unwrap_or_default())
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        Ok(self.storage(address, slot))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        Ok(self.hash_of.get(&number).copied().unwrap_or_default())
    }
}

impl StoredAccount {
    const NONE: Self = Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY };
}

impl<T> VersionedValues<T> {
    /// The value as of a version.
    fn at(&self, version: u64) -> Option<&T> {
        let after = self.0.partition_point(|(written, _)| *written <= version);
        self.0[..after].last().map(|(_, value)| value)
    }

    /// Writes a value, and prunes the values that no read from the floor on needs.
    fn put(&mut self, version: u64, value: T, floor: u64) {
        match self.0.last_mut() {
            Some(last) if last.0 == version => last.1 = value,
            _ => self.0.push((version, value)),
        }
        // The newest value at or below the floor stays: it is what a read as of the floor finds.
        let readable = self.0.partition_point(|(written, _)| *written <= floor);
        self.0.drain(..readable.saturating_sub(1));
    }

    /// Forgets the values written after `version`, and returns whether any are left.
    fn cut(&mut self, version: u64) -> bool {
        self.0.retain(|(written, _)| *written <= version);
        !self.0.is_empty()
    }
}
