//! The depth at which a settlement counts on each chain.

/// Blocks that a transaction must be in or under before a settlement counts, where the operator names no number: 1 is
/// the transaction's own block.
///
/// A rollup's blocks come from one sequencer, which does not take them back but for a failure of its own or a
/// reorganisation of the chain below it, so that 1 is usual there (OP Stack specification, "unsafe head"; Arbitrum
/// documentation, "soft finality"). The others:
///
/// * Ethereum, Gnosis (proof of stake with slots and forks): single blocks are replaced now and then, and two in a row
///   hardly ever (ethereum.org, "Gasper"; finality takes 2 epochs, which no request can wait for). 3 is half a minute.
/// * Polygon PoS: reorganisations of many blocks are on record, the deepest of 157 in February 2023; its milestones are
///   final after some seconds (Polygon documentation, "Finality"). 16 is half a minute.
/// * BNB Smart Chain: fast finality confirms a block by the two after it (BEP-126).
/// * Avalanche C-Chain: an accepted block is final (Avalanche documentation, "Snowman consensus"), and a node may be
///   configured to serve blocks before they are accepted. One more block shows that it was.
///
/// An unknown chain gets 1.
pub const fn default_confirmations(chain_id: u64) -> u64 {
    match chain_id {
        // Ethereum, Sepolia, Hoodi; Gnosis, Chiado.
        1 | 11_155_111 | 560_048 | 100 | 10_200 => 3,
        // Polygon PoS, Amoy.
        137 | 80_002 => 16,
        // BNB Smart Chain, its testnet.
        56 | 97 => 3,
        // Avalanche C-Chain, Fuji.
        43_114 | 43_113 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_that_reorganise_need_more_than_their_own_block() {
        for chain_id in [1, 137, 43_114, 56] {
            assert!(default_confirmations(chain_id) > 1, "{chain_id}");
        }
        // Base, Base Sepolia, Optimism, Arbitrum One.
        for chain_id in [8_453, 84_532, 10, 42_161] {
            assert_eq!(default_confirmations(chain_id), 1, "{chain_id}");
        }
    }
}
