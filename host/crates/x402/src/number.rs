//! Integers as x402 writes them.

use alloy_primitives::U256;

/// Parses a 256-bit unsigned integer as x402 writes it: decimal digits without sign, separator, white space or leading
/// zero. `None` for any other text, and from 2^256 on.
pub(crate) fn uint256(digits: &str) -> Option<U256> {
    let bytes = digits.as_bytes();
    let canonical = match bytes {
        [] => false,
        [b'0'] => true,
        [first, ..] => *first != b'0' && bytes.iter().all(u8::is_ascii_digit),
    };
    // 2^256 has 78 digits: a longer text is refused without a look at its digits.
    if !canonical || bytes.len() > 78 {
        return None;
    }
    let ten = U256::from(10);
    bytes.iter().try_fold(U256::ZERO, |sum, digit| sum.checked_mul(ten)?.checked_add(U256::from(*digit - b'0')))
}
