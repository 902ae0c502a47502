//! Knows the block explorers of networks.

use coinslot_x402::Network;

/// Explorers of EVM chains whose pages are `/tx/HASH` and `/address/ADDRESS`, by the chain's id.
const OF_CHAINS: [(u64, &str); 20] = [
    (1, "https://etherscan.io"),
    (10, "https://optimistic.etherscan.io"),
    (56, "https://bscscan.com"),
    (97, "https://testnet.bscscan.com"),
    (100, "https://gnosisscan.io"),
    (137, "https://polygonscan.com"),
    (1_329, "https://seiscan.io"),
    (8_453, "https://basescan.org"),
    (42_161, "https://arbiscan.io"),
    (42_220, "https://celoscan.io"),
    (43_113, "https://testnet.snowscan.xyz"),
    (43_114, "https://snowscan.xyz"),
    (59_144, "https://lineascan.build"),
    (80_002, "https://amoy.polygonscan.com"),
    (84_532, "https://sepolia.basescan.org"),
    (421_614, "https://sepolia.arbiscan.io"),
    (480, "https://worldscan.org"),
    (4_801, "https://sepolia.worldscan.org"),
    (11_155_111, "https://sepolia.etherscan.io"),
    (11_155_420, "https://sepolia-optimism.etherscan.io"),
];

/// The page of a transaction or an address. None where no explorer is known, or the text is none.
pub(super) fn link(network: &str, kind: &str, text: &str) -> Option<String> {
    if text.is_empty() || text.len() > 100 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let network = Network::parse(network).ok()?;
    let chain = network.chain_id()?;
    let (_, explorer) = OF_CHAINS.into_iter().find(|(id, _)| *id == chain)?;
    Some(format!("{explorer}/{kind}/{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hash_on_a_known_network_is_linked() {
        let hash = format!("0x{}", "ab".repeat(32));
        assert_eq!(link("eip155:8453", "tx", &hash), Some(format!("https://basescan.org/tx/{hash}")));
        for (network, text) in [("eip155:8453", "0x/../../x"), ("eip155:8453", ""), ("eip155:7", &*hash), ("x", &hash)]
        {
            assert_eq!(link(network, "tx", text), None, "{network} {text}");
        }
    }
}
