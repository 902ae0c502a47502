//! Holds amounts of money as decimal text: never a float, never rounded.

use std::borrow::Cow;
use std::fmt;

/// An amount: decimal digits, optionally a dot and more digits, optionally one space and an asset's symbol. `"0.01"` is
/// a cent, `"0.01 USDC"` is a cent's worth of that asset.
///
/// The conversions from text do not check it, so that a `quote` function may return a `String`. Text that is no amount
/// is then the plugin's fault, and the caller pays nothing. [`Amount::parse`] checks.
///
/// ```
/// # use coinslot_sdk::Amount;
/// assert_eq!(Amount::micros(2_500_000).as_str(), "2.5");
/// assert!(Amount::parse("0.01 USDC").is_ok() && Amount::parse("a lot").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount(Cow<'static, str>);

/// The error of [`Amount::parse`]: the text is no amount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAmount;

/// Longest amount, in bytes: the host's limit.
const MAX_BYTES: usize = 80;

impl Amount {
    /// Zero: the quote of a request that is free, and the charge for work not done.
    pub const ZERO: Self = Self(Cow::Borrowed("0"));

    /// An amount in millionths of a US dollar: `Amount::micros(10_000)` is a cent.
    pub fn micros(micros: u64) -> Self {
        let (whole, fraction) = (micros / 1_000_000, micros % 1_000_000);
        match fraction {
            0 => Self(whole.to_string().into()),
            _ => Self(format!("{whole}.{fraction:06}").trim_end_matches('0').to_owned().into()),
        }
    }

    /// Checks text and makes it an amount. Zero is an amount.
    pub fn parse(text: &str) -> Result<Self, BadAmount> {
        let (number, symbol) = text.split_once(' ').unwrap_or((text, "USD"));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let named = !symbol.is_empty() && symbol.bytes().all(|b| b.is_ascii_graphic());
        match digits(whole) && digits(fraction) && named && text.len() <= MAX_BYTES {
            true => Ok(Self(text.to_owned().into())),
            false => Err(BadAmount),
        }
    }

    /// Makes an amount of text that the attribute has checked.
    #[doc(hidden)]
    pub const fn declared(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// True for zero, in whatever digits.
    pub fn is_zero(&self) -> bool {
        let number = self.0.split(' ').next().unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| matches!(byte, b'0' | b'.'))
    }

    /// True if this is more of the same unit. Amounts of two units cannot be compared.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn exceeds(&self, other: &str) -> bool {
        let (number, unit) = parts(&self.0);
        let (limit, other_unit) = parts(other);
        unit == other_unit && number > limit
    }

    /// The text of the amount.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The number of an amount, in a form whose order is that of numbers, and its unit.
#[cfg(not(target_family = "wasm"))]
fn parts(amount: &str) -> ((usize, &str, &str), &str) {
    let (number, unit) = amount.split_once(' ').unwrap_or((amount, ""));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    ((whole.len(), whole, fraction), unit)
}

impl From<String> for Amount {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Amount {
    fn from(text: &str) -> Self {
        Self(text.to_owned().into())
    }
}

impl AsRef<str> for Amount {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for BadAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an amount: write digits, and a dot and more digits if needed, as in \"0.01\"")
    }
}

impl std::error::Error for BadAmount {}

#[cfg(test)]
mod tests {
    use super::Amount;

    #[test]
    fn micros_are_written_without_loss() {
        for (micros, text) in [
            (0, "0"),
            (1, "0.000001"),
            (10_000, "0.01"),
            (1_000_000, "1"),
            (2_500_000, "2.5"),
            (u64::MAX, "18446744073709.551615"),
        ] {
            assert_eq!(Amount::micros(micros).as_str(), text);
            assert!(Amount::parse(text).is_ok());
        }
    }

    const TABLE: &str = include_str!("../../../tests/fixtures/amounts.txt");

    #[test]
    fn amounts_of_one_unit_are_compared_as_numbers() {
        for (amount, limit, is_more) in [
            ("0.5", "0.50", false),
            ("0.51", "0.5", true),
            ("0.45", "0.5", false),
            ("10", "9.99", true),
            ("007", "7.0", false),
            ("1 USDC", "0.5 USDC", true),
            ("1 EURC", "0.5", false),
        ] {
            assert_eq!(Amount::from(amount).exceeds(limit), is_more, "{amount} {limit}");
        }
    }

    #[test]
    fn the_shared_table_holds() {
        let mut cases = 0;
        for line in TABLE.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (verdict, text) = line.split_once(' ').expect("a verdict and a text");
            assert_eq!(Amount::parse(text).is_ok(), verdict == "valid", "{line}");
            cases += 1;
        }
        assert!(cases > 25, "{cases} cases");
    }
}
