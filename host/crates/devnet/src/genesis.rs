//! The genesis state: the code of our contracts, the funded accounts, and the storage of the USDC stand-in.
//!
//! The stand-in has no constructor and no minter. Its balances are written straight into the storage layout that
//! `contracts/Usdc.sol` documents, and its total supply is their sum.

use std::collections::BTreeMap;

use alloy::primitives::{Address, Bytes, U256, keccak256};
use alloy::sol_types::SolValue;
use revm::state::Bytecode;
use serde::Deserialize;

use super::spec::{MULTICALL3, USDC};
use super::state::ChainState;

/// Slot of `mapping(address => uint256) balances` in `Usdc.sol`.
const BALANCES_SLOT: U256 = U256::ZERO;
/// Slot of `totalSupply` in `Usdc.sol`.
const TOTAL_SUPPLY_SLOT: U256 = U256::ONE;

/// A compiled contract, as `contracts/build.mjs` writes it.
#[derive(Deserialize)]
struct ContractArtifact {
    creation: Bytes,
    runtime: Bytes,
}

/// Makes the genesis state; none if the balances of one account, or the total supply, overflow 256 bits.
pub(super) fn state(funded: &[(Address, U256, U256)]) -> Option<ChainState> {
    let mut accounts = BTreeMap::<Address, (U256, U256)>::new();
    let mut supply = U256::ZERO;
    for (address, wei, usdc) in funded {
        let account = accounts.entry(*address).or_default();
        account.0 = account.0.checked_add(*wei)?;
        account.1 = account.1.checked_add(*usdc)?;
        supply = supply.checked_add(*usdc)?;
    }
    let mut state = ChainState::default();
    state.set_code(USDC, Bytecode::new_legacy(usdc().runtime));
    state.set_code(MULTICALL3, Bytecode::new_legacy(multicall3_runtime_code()));
    state.set_storage(USDC, TOTAL_SUPPLY_SLOT, supply);
    for (address, (wei, usdc)) in accounts {
        state.set_balance(address, wei);
        state.set_storage(USDC, balance_slot(address), usdc);
    }
    Some(state)
}

/// The creation code of `contracts/Wallet1271.sol`, an ERC-1271 wallet of `owner`.
pub fn wallet1271_creation_code(owner: Address) -> Bytes {
    [&wallet1271().creation[..], &owner.abi_encode()].concat().into()
}

/// The wallet's runtime code. Its owner belongs into storage slot 0, where the constructor would write it.
pub fn wallet1271_runtime_code() -> Bytes {
    wallet1271().runtime
}

/// The runtime code of `contracts/Multicall3.sol`, which has no constructor, for chains without a contract at
/// [`MULTICALL3`].
pub fn multicall3_runtime_code() -> Bytes {
    let artifact: ContractArtifact = serde_json::from_str(include_str!("../contracts/Multicall3.json"))
        .expect("the checked-in artifact is what build.mjs writes");
    artifact.runtime
}

/// The storage slot of `balances[holder]`, by Solidity's layout of mappings.
fn balance_slot(holder: Address) -> U256 {
    keccak256((holder, BALANCES_SLOT).abi_encode()).into()
}

fn usdc() -> ContractArtifact {
    serde_json::from_str(include_str!("../contracts/Usdc.json"))
        .expect("the checked-in artifact is what build.mjs writes")
}

fn wallet1271() -> ContractArtifact {
    serde_json::from_str(include_str!("../contracts/Wallet1271.json"))
        .expect("the checked-in artifact is what build.mjs writes")
}
