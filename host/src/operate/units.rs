//! Writes amounts in decimal units of their assets.

use coinslot_x402::Network;
use coinslot_x402::price::{Amount, Asset};

use crate::config::Config;

/// The assets whose amounts can be written in decimals: those that stock clients pay, and those of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    configured: Vec<Asset>,
}

/// One amount, written for people and for programs.
#[derive(Clone, Debug)]
pub(crate) struct WrittenAmount {
    /// The asset's symbol, if the asset is known.
    pub(crate) symbol: Option<String>,
    /// Decimal units, if the asset is known.
    pub(crate) decimal: Option<String>,
    /// Atomic units.
    pub(crate) atomic: String,
}

impl Units {
    pub(crate) fn of(config: Option<&Config>) -> Self {
        let accepts = config.into_iter().flat_map(|config| &config.payment.accepts);
        Self { configured: accepts.map(|entry| (*entry.accept.asset).clone()).collect() }
    }

    /// The assets of the configuration.
    pub(crate) fn assets(&self) -> Vec<Asset> {
        self.configured.clone()
    }

    /// The asset at an address, if it is known. A configured asset goes before one of the table.
    pub(crate) fn asset(&self, network: &Network, address: &str) -> Option<Asset> {
        let is_it = |asset: &&Asset| asset.network == *network && asset.address.eq_ignore_ascii_case(address);
        self.configured.iter().find(is_it).cloned().or_else(|| Asset::at(network, address))
    }

    /// Writes an amount for people: `0.01 USDC`, or `10000 units of 0x..` of an asset whose decimals are not known.
    pub(crate) fn shown(&self, network: &Network, address: &str, amount: Amount) -> String {
        match self.asset(network, address) {
            Some(asset) => format!("{} {}", amount.decimal(asset.decimals), asset.symbol),
            None => format!("{amount} units of {address}"),
        }
    }

    /// Writes an amount for programs.
    pub(crate) fn written(&self, network: &Network, address: &str, amount: Amount) -> WrittenAmount {
        let asset = self.asset(network, address);
        WrittenAmount {
            decimal: asset.as_ref().map(|asset| amount.decimal(asset.decimals)),
            symbol: asset.map(|asset| asset.symbol),
            atomic: amount.to_string(),
        }
    }
}

/// A network for people: `eip155:84532 (test)`.
pub(crate) fn network_label(network: &Network, testnet: bool) -> String {
    if testnet { format!("{network} (test)") } else { network.to_string() }
}
