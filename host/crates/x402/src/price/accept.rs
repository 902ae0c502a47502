//! An asset that a server takes.

use std::sync::Arc;

use super::{Amount, Asset};
use crate::Versions;

/// An asset that the operator takes, and its receiver.
#[derive(Clone, Debug)]
pub struct Accept {
    pub asset: Arc<Asset>,
    /// Checksummed address of the receiver, see [`super::evm_receiver`].
    pub pay_to: Arc<str>,
    /// `maxTimeoutSeconds`: the longest validity of a client's authorisation.
    pub max_timeout_seconds: u64,
    /// While more than this amount is claimed and not settled, payments are settled before the guest runs.
    pub max_unsettled: Amount,
    /// The versions of the protocol that the asset's facilitator understands.
    pub versions: Versions,
}
