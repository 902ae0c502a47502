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
    /// The node checked the transaction, and did not take it.
    Rejected,
    /// Anything else. It may be an error of a gateway after it has passed the transaction on, and proves nothing.
    Other,
}

/// Words of a node that checked a transaction and found something wrong with it, or had no room for it.
const REJECTED: &[&str] = &[
    "underpriced",
    "fee cap less than block base fee",
    "max fee per gas less than block base fee",
    "priority fee per gas higher than max fee",
    "feetoolow",
    "exceeds the configured cap",
    "intrinsic gas",
    "floor data gas",
    "exceeds block gas limit",
    "gas limit exceeded",
    "gaslimitexceeded",
    "gas limit too high",
    "transaction gas limit",
    "txpool is full",
    "transaction pool is full",
    "oversized data",
    "nonce too high",
    "invalid sender",
    "invalid signature",
    "invalid chain id",
    "sender not an eoa",
    "sender is not an eoa",
    "senderiscontract",
    "transaction type not supported",
];

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
        } else if says(REJECTED) {
            Self::Rejected
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_a_check_prove_that_a_transaction_was_not_taken() {
        for (text, expected) in [
            ("already known", NodeRefusal::Known),
            ("nonce too low: next nonce 7, tx nonce 6", NodeRefusal::NonceTaken),
            ("replacement transaction underpriced", NodeRefusal::NonceTaken),
            ("insufficient funds for gas * price + value", NodeRefusal::Funds),
            ("transaction underpriced: tip needed 1, tip permitted 0", NodeRefusal::Rejected),
            ("intrinsic gas too low: have 20000, want 21000", NodeRefusal::Rejected),
            // A gateway says these, perhaps after a node behind it has taken the transaction.
            ("internal error", NodeRefusal::Other),
            ("request timed out", NodeRefusal::Other),
            ("limit exceeded", NodeRefusal::Other),
            ("", NodeRefusal::Other),
        ] {
            assert_eq!(NodeRefusal::of(text), expected, "{text}");
        }
    }
}
