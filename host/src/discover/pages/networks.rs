//! Knows the names of networks for people, and what a wallet has to be told to add one.

use alloy_chains::Chain;
use coinslot_x402::Network;
use serde_json::{Value, json};

/// A network that wallets can be told to add.
struct KnownNetwork {
    chain_id: u64,
    name: &'static str,
    /// The name of the coin that pays for gas.
    coin: &'static str,
    /// A public node, as the network's own documentation names it. Empty: none is known, so a person adds the network.
    rpc: &'static str,
}

const fn known(chain_id: u64, name: &'static str, coin: &'static str, rpc: &'static str) -> KnownNetwork {
    KnownNetwork { chain_id, name, coin, rpc }
}

/// The networks of the table of assets.
#[rustfmt::skip]
const KNOWN: &[KnownNetwork] = &[
    known(8453, "Base", "ETH", "https://mainnet.base.org"),
    known(84532, "Base Sepolia", "ETH", "https://sepolia.base.org"),
    known(1, "Ethereum", "ETH", ""),
    known(137, "Polygon", "POL", "https://polygon-rpc.com"),
    known(80002, "Polygon Amoy", "POL", "https://rpc-amoy.polygon.technology"),
    known(42161, "Arbitrum One", "ETH", "https://arb1.arbitrum.io/rpc"),
    known(421_614, "Arbitrum Sepolia", "ETH", "https://sepolia-rollup.arbitrum.io/rpc"),
    known(43114, "Avalanche C-Chain", "AVAX", "https://api.avax.network/ext/bc/C/rpc"),
    known(43113, "Avalanche Fuji", "AVAX", "https://api.avax-test.network/ext/bc/C/rpc"),
    known(42220, "Celo", "CELO", "https://forno.celo.org"),
    known(11_142_220, "Celo Sepolia", "CELO", ""),
    known(1329, "Sei", "SEI", "https://evm-rpc.sei-apis.com"),
    known(1328, "Sei Testnet", "SEI", "https://evm-rpc-testnet.sei-apis.com"),
    known(14, "Flare", "FLR", "https://flare-api.flare.network/ext/C/rpc"),
    known(143, "Monad", "MON", ""),
    known(10143, "Monad Testnet", "MON", "https://testnet-rpc.monad.xyz"),
    known(50, "XDC Network", "XDC", ""),
    known(51, "XDC Apothem", "TXDC", ""),
    known(988, "Stable", "USDT0", ""),
];

/// The name of a network: `Base`, or `chain 1234`, or the identifier of one that is no EVM chain.
pub(super) fn name(network: &Network) -> String {
    let Some(chain_id) = network.chain_id() else { return network.to_string() };
    match KNOWN.iter().find(|known| known.chain_id == chain_id) {
        Some(known) => known.name.to_owned(),
        None => format!("chain {chain_id}"),
    }
}

/// The parameters by which a wallet adds this network (EIP-3085). None: a person has to add it.
pub(super) fn to_add(network: &Network) -> Option<Value> {
    let chain_id = network.chain_id()?;
    let known = KNOWN.iter().find(|known| known.chain_id == chain_id && !known.rpc.is_empty())?;
    let explorer = Chain::from_id(chain_id).etherscan_urls().map(|(_, explorer)| explorer);
    let explorers: Vec<&str> = explorer.into_iter().filter(|explorer| explorer.starts_with("https://")).collect();
    let mut chain = json!({
        "chainId": format!("{chain_id:#x}"),
        "chainName": known.name,
        "nativeCurrency": { "name": known.coin, "symbol": known.coin, "decimals": 18 },
        "rpcUrls": [known.rpc],
    });
    if !explorers.is_empty() {
        chain["blockExplorerUrls"] = json!(explorers);
    }
    Some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_is_told_nodes_with_https_alone() {
        for known in KNOWN {
            let network = Network::eip155(known.chain_id);
            assert_eq!(name(&network), known.name);
            let Some(chain) = to_add(&network) else { continue };
            assert!(chain["rpcUrls"][0].as_str().expect("a node").starts_with("https://"), "{chain}");
            assert_eq!(chain["chainId"], format!("0x{:x}", known.chain_id));
        }
        assert_eq!(name(&Network::eip155(4_294_967_291)), "chain 4294967291");
        assert_eq!(to_add(&Network::parse("solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1").expect("a network")), None);
    }
}
