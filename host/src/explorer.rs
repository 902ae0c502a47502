//! Finds the page of a transaction or an address at a block explorer, by the table of chains that alloy has.

use alloy_chains::Chain;
use coinslot_x402::Network;

/// The address of the page of a transaction (`tx`) or an `address`. None where no explorer is known, or where the text is
/// neither.
pub(crate) fn link(network: &str, kind: &str, text: &str) -> Option<String> {
    if text.is_empty() || text.len() > 100 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let network = Network::parse(network).ok()?;
    let (_, explorer) = Chain::from_id(network.chain_id()?).etherscan_urls()?;
    explorer.starts_with("https://").then(|| format!("{}/{kind}/{text}", explorer.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hash_on_a_known_network_is_linked() {
        let hash = format!("0x{}", "ab".repeat(32));
        assert_eq!(link("eip155:8453", "tx", &hash), Some(format!("https://basescan.org/tx/{hash}")));
        // Unknown, a chain of developers, and a network that is none.
        for (network, text) in [
            ("eip155:8453", "0x/../../x"),
            ("eip155:8453", ""),
            ("eip155:4294967291", &*hash),
            ("eip155:31337", &hash),
            ("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", &hash),
            ("x", &hash),
        ] {
            assert_eq!(link(network, "tx", text), None, "{network} {text}");
        }
    }

    #[test]
    fn the_chains_of_x402_have_an_explorer() {
        for chain in [1, 10, 56, 100, 137, 480, 1_329, 8_453, 42_161, 43_113, 43_114, 84_532, 421_614, 11_155_111] {
            let found = link(&format!("eip155:{chain}"), "address", "0x12").expect("an explorer");
            assert!(found.starts_with("https://") && found.ends_with("/address/0x12"), "{found}");
            assert_eq!(found.matches("//").count(), 1, "{found}");
        }
    }
}
