//! The one sale that payments and answers are compared with: a cent of USDC on Base Sepolia.

use std::sync::Arc;

use alloy::primitives::{Address, U256, address};
use coinslot_x402::exact::{Domain, ExpectedTerms};
use coinslot_x402::price::{Amount, Asset, Price};
use coinslot_x402::{Flow, Network, UnixTime, Versions};

/// The time of every rule.
pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const SELLER: Address = address!("0x5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e");
pub(crate) const AMOUNT: u64 = 10_000;
pub(crate) const TIMEOUT: u64 = 60;
pub(crate) const CHAIN: u64 = 84_532;

/// USDC on Base Sepolia.
pub(crate) fn asset() -> Asset {
    Asset::known(&Network::eip155(CHAIN), None).expect("a network of the table")
}

/// The price of the sale.
pub(crate) fn price() -> Price {
    Price {
        amount: Amount(U256::from(AMOUNT)),
        asset: Arc::new(asset()),
        pay_to: SELLER.to_string().into(),
        max_timeout_seconds: TIMEOUT,
        flow: Flow::Authorization,
        quote: None,
        versions: Versions::Both,
    }
}

/// The terms of the sale.
pub(crate) fn terms() -> ExpectedTerms {
    ExpectedTerms { pay_to: SELLER, amount: U256::from(AMOUNT), max_timeout_seconds: TIMEOUT, skew_seconds: 30 }
}

/// The EIP-712 domain of a token of the table.
pub(crate) fn domain(asset: &Asset) -> Domain {
    let names = asset.eip712.as_ref().expect("tokens of the table have a domain");
    let chain = asset.network.chain_id().expect("networks of the table are EVM chains");
    let token = asset.address.parse().expect("tokens of the table have an address");
    Domain::new(&names.name, &names.version, chain, token)
}
