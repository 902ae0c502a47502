//! The chain's fixed facts: its id, its addresses, its name and its history.

use alloy::primitives::{Address, address};

/// Base Sepolia's chain id.
pub const CHAIN_ID: u64 = 84532;

/// The address of Base Sepolia's USDC, and of the stand-in here.
pub const USDC: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");

/// The address of Multicall3 on most chains, and of its stand-in here.
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// The start of `web3_clientVersion` of every embedded chain.
pub const CLIENT_VERSION_PREFIX: &str = "coinslot-devnet/";

/// The number of newest blocks that are kept: nine hours at Base's two seconds per block. At about one receipt per
/// block they take tens of megabytes.
pub const KEPT_BLOCKS: usize = 16_384;
