//! Charges for metered requests.

use std::fmt;

use crate::{imports, registry};

/// A charge that was not taken, with the reason. The charge stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeError(String);

/// Sets the amount that the caller pays for the request being handled, for an endpoint with `up_to = ".."`.
///
/// The amount is text such as `"0.02"` or an [`Amount`](crate::Amount), and at most what the payer authorised. The last
/// call counts. Without a call the caller pays nothing.
///
/// A charge that is refused is an error, and leaves the charge as it was. With `?` the request fails: the caller pays
/// nothing, and the operator reads the reason. A plugin without an endpoint with `up_to` cannot charge at all. In a test
/// no other endpoint can, and none can charge more than it declares; a host may find that only when it settles.
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
    if !registry::is_metered() {
        // A host that knows amounts but no prices would take the charge, and never look at it.
        return Err(ChargeError("no endpoint of this plugin is metered: declare a price with `up_to`".to_owned()));
    }
    imports::charge(amount.as_ref()).map_err(ChargeError)
}

impl fmt::Display for ChargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the charge was not taken: {}", self.0)
    }
}

impl std::error::Error for ChargeError {}
