//! Checks addresses that money is sent to.

use std::str::FromStr;

use alloy_primitives::Address;

/// The reason why an address cannot receive money. Money sent to such an address would be lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiverError {
    #[error("`{0}` is not an address: write `0x` and 40 hexadecimal digits")]
    Syntax(String),
    #[error("`{found}` has a wrong checksum, so at least one character of it is wrong: copy the address again")]
    Checksum { found: String },
    #[error("the zero address has no owner: money sent there is lost")]
    Zero,
}

/// Returns the checksummed form of an address. An address in lower case or in upper case has no checksum and is
/// accepted; one in mixed case must be right by EIP-55.
pub fn evm_receiver(text: &str) -> Result<String, ReceiverError> {
    let digits = text
        .strip_prefix("0x")
        .filter(|digits| digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or_else(|| ReceiverError::Syntax(text.chars().take(64).collect()))?;
    let address = Address::from_str(digits).map_err(|_| ReceiverError::Syntax(text.chars().take(64).collect()))?;
    if address.is_zero() {
        return Err(ReceiverError::Zero);
    }
    let checksummed = address.to_checksum(None);
    let has_lower = digits.bytes().any(|b| b.is_ascii_lowercase());
    let has_upper = digits.bytes().any(|b| b.is_ascii_uppercase());
    if has_lower && has_upper && text != checksummed {
        return Err(ReceiverError::Checksum { found: text.to_owned() });
    }
    Ok(checksummed)
}
