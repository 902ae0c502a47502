//! Classifies a node's refusal of a transaction by its text: JSON-RPC has no codes for it.

/// The meaning of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeRefusal {
    /// The node has this very transaction already.
    Known,
    /// A transaction in a block has the nonce.
    NonceUsed,
    /// A transaction that waits for a block has the nonce, and this one does not pay enough to replace it.
    Outbid,
    /// The account cannot pay for it.
    Funds,
    /// The node checked the transaction, and its fees are below the base fee or below the least that the node takes.
    FeeTooLow,
    /// The node checked the transaction, and did not take it for another reason.
    Rejected,
    /// Anything else. It may be an error of a gateway after it has passed the transaction on, and proves nothing.
    Other,
}

/// Words of a node that checked a transaction and found its fees too low.
const FEE_TOO_LOW: &[&str] =
    &["underpriced", "fee cap less than block base fee", "max fee per gas less than block base fee", "feetoolow"];

/// Words of a node that checked a transaction and found something else wrong with it, or had no room for it.
const REJECTED: &[&str] = &[
    "priority fee per gas higher than max fee",
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
        } else if says(&["nonce too low", "oldnonce", "nonce is too low"]) {
            Self::NonceUsed
        } else if says(&["replacement transaction underpriced"]) {
            Self::Outbid
        } else if says(&["insufficient funds", "insufficientfunds", "insufficient balance"]) {
            Self::Funds
        } else if says(FEE_TOO_LOW) {
            Self::FeeTooLow
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
            ("nonce too low: next nonce 7, tx nonce 6", NodeRefusal::NonceUsed),
            ("replacement transaction underpriced", NodeRefusal::Outbid),
            ("insufficient funds for gas * price + value", NodeRefusal::Funds),
            ("transaction underpriced: tip needed 1, tip permitted 0", NodeRefusal::FeeTooLow),
            ("max fee per gas less than block base fee: 1 < 2", NodeRefusal::FeeTooLow),
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
