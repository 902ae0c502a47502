//! What a metered request cost.

use std::fmt;

/// Why a charge was not taken; the sentence is the host's. The charge is what it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeError(pub(crate) String);

/// Sets what will be taken for the request being handled, for an endpoint with `up_to = ".."`: an
/// amount such as `"0.02"` or an [`Amount`](crate::Amount), at most what the payer authorised.
///
/// The last call counts. Without a call nothing is taken.
pub fn charge(amount: impl AsRef<str>) -> Result<(), ChargeError> {
    #[cfg(target_family = "wasm")]
    return crate::component::charge(amount.as_ref()).map_err(ChargeError);
    #[cfg(not(target_family = "wasm"))]
    return crate::testing::charge(amount.as_ref());
}

impl fmt::Display for ChargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the charge was not taken: {}", self.0)
    }
}

impl std::error::Error for ChargeError {}
