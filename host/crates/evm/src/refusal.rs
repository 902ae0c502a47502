//! Classifies a node's refusal of a transaction by its text: JSON-RPC has no codes for it.

/// The meaning of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeRefusal {
    /// The node has this very transaction already.
    Known,
    /// Another transaction has the nonce.
    NonceTaken,
    /// The account cannot pay for it.
    Funds,
    /// Anything else.
    Other,
}

impl NodeRefusal {
    /// Reads the texts of geth, reth, Nethermind, Erigon and anvil.
    pub(super) fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let says = |signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
        if says(&["already known", "already imported", "alreadyknown"]) {
            Self::Known
        } else if says(&["nonce too low", "oldnonce", "replacement transaction underpriced", "nonce is too low"]) {
            Self::NonceTaken
        } else if says(&["insufficient funds", "insufficientfunds", "insufficient balance"]) {
            Self::Funds
        } else {
            Self::Other
        }
    }
}
