//! What an endpoint costs, in atomic units of named assets: never a float, never rounded.
//!
//! `Amount` counts, `Asset` names the token, `Price` says how much of it goes to whom, `Offer` is
//! the non-empty list of prices that one payment may choose from. No I/O.

mod challenge;

use std::sync::Arc;

use alloy::primitives::U256;

use crate::x402::{Network, v1, v2};

pub use challenge::{Challenge, Resource, TooLarge};

/// An amount of one asset in its smallest unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub U256);

/// A token that endpoints can be paid in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Where it lives.
    pub network: Network,
    /// Its contract (checksummed) or mint.
    pub address: String,
    /// `USDC` and the like, upper case.
    pub symbol: String,
    /// How many decimal digits its smallest unit stands behind the dot.
    pub decimals: u8,
    /// The token's EIP-712 domain as its contract has it; `exact` by EIP-3009 needs it.
    pub eip712: Option<Eip712>,
    /// Worth nothing: payments in it are never revenue.
    pub testnet: bool,
}

/// `name` and `version` of a token's EIP-712 domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eip712 {
    pub name: String,
    pub version: String,
}

/// An amount of an asset, to a receiver, payable for so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub amount: Amount,
    pub asset: Arc<Asset>,
    /// Checksummed address of the receiver.
    pub pay_to: Arc<str>,
    /// `maxTimeoutSeconds`.
    pub max_timeout_seconds: u64,
}

/// The ways to pay for one thing, the preferred first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    prices: Vec<Price>,
}

/// A decimal amount as a plugin or a person wrote it: digits, perhaps a dot, perhaps a symbol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// `0.01`, canonical notation not required.
    pub digits: String,
    /// `USDC`, upper case; none means US dollars in the first asset.
    pub symbol: Option<String>,
}

/// Why an amount cannot be charged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error(
        "`{0}` is not an amount: write digits with an optional dot, for example `0.01` or `0.01 USDC`"
    )]
    Syntax(String),
    #[error(
        "`{amount}` is finer than the smallest unit of {symbol}, which has {decimals} decimals"
    )]
    TooFine {
        amount: String,
        symbol: String,
        decimals: u8,
    },
    #[error("`{0}` is zero: a free endpoint is declared `free`")]
    Zero(String),
    #[error("`{0}` is larger than any token")]
    TooLarge(String),
    #[error("no configured asset is called `{0}`")]
    UnknownSymbol(String),
}

impl Decimal {
    /// `^\$?\d+(\.\d+)?( SYMBOL)?$`, nothing else: no sign, exponent, separator or leading dot. `USD`
    /// as a symbol means none.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let _ = text;
        todo!("price room")
    }
}

impl Amount {
    /// Exact: what is finer than the smallest unit is an error, not a rounding.
    pub fn of(decimal: &Decimal, asset: &Asset) -> Result<Self, AmountError> {
        let _ = (decimal, asset);
        todo!("price room")
    }

    /// Atomic units as on the wire: canonical decimal digits below 2^256.
    pub fn parse_atomic(digits: &str) -> Result<Self, AmountError> {
        let _ = digits;
        todo!("price room")
    }

    /// Decimal units, without trailing zeros: 10000 of a 6-decimal asset is `0.01`.
    pub fn decimal(self, decimals: u8) -> String {
        let _ = decimals;
        todo!("price room")
    }
}

impl std::fmt::Display for Amount {
    /// Atomic units, as on the wire.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Asset {
    /// The default asset of a network, or the one with this symbol, from the table of assets that
    /// stock clients pay (reference table of @x402 2.27) plus the testnets that they do not.
    pub fn known(network: &Network, symbol: Option<&str>) -> Option<Self> {
        let _ = (network, symbol);
        todo!("price room")
    }
}

impl Price {
    /// One entry of `accepts` in version 2, scheme `exact`.
    pub fn requirements(&self) -> v2::PaymentRequirements {
        todo!("price room")
    }

    /// One entry of `accepts` in version 1, if version 1 has a name for the network.
    pub fn requirements_v1(
        &self,
        resource: &str,
        description: &str,
        mime_type: &str,
    ) -> Option<v1::PaymentRequirements> {
        let _ = (resource, description, mime_type);
        todo!("price room")
    }
}

impl Offer {
    /// None if there is no price, or if two prices share a network and an asset.
    pub fn new(prices: Vec<Price>) -> Option<Self> {
        let _ = prices;
        todo!("price room")
    }

    /// The prices, at least one.
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }
}
