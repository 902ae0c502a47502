//! Charges for metered requests.

use std::fmt;

use crate::imports;

/// A charge that the host did not take, with the host's sentence. The charge stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeError(String);

/// Sets the amount that the caller pays for the request being handled, for an endpoint with `up_to = ".."`.
///
/// The amount is text such as `"0.02"` or an [`Amount`](crate::Amount), and at most what the payer authorised. The last
/// call counts. Without a call the caller pays nothing.
///
/// ```
/// # use coinslot_sdk::{Amount, Text, endpoint, testing, usage};
/// #[endpoint(post, "/shout", up_to = "0.05", summary = "Shouts, for a tenth of a cent per letter")]
/// async fn shout(text: coinslot_sdk::Bytes) -> Text {
///     usage::charge(Amount::micros(1_000 * text.len() as u64)).expect("at most 50 letters");
///     Text(String::from_utf8_lossy(&text).to_uppercase())
/// }
/// # fn main() { assert_eq!(testing::post("/shout").body("hey").send().charged(), Some("0.003")); }
/// ```
pub fn charge(amount: impl AsRef<str>) -> Result<(), ChargeError> {
    imports::charge(amount.as_ref()).map_err(ChargeError)
}

impl fmt::Display for ChargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the charge was not taken: {}", self.0)
    }
}

impl std::error::Error for ChargeError {}
