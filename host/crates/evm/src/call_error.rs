//! The error of a call to a node.

/// The reason for which a call has no result. Only the first kind says anything about a payment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The code at the address reverted, ran out of the gas it was given, or is not there.
    #[error("{0}")]
    Reverted(String),
    /// The node answered with an error of its own.
    #[error("the node refused: {0}")]
    Refused(String),
    /// No answer, or none that makes sense.
    #[error("no answer from the node: {0}")]
    Unreachable(String),
}
