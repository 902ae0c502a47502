//! Amounts of money, as people write them and as tokens count them.

use std::fmt;

use alloy_primitives::U256;

use super::Asset;
use crate::uint256;

/// An amount of one asset, in its smallest unit (atomic units).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub U256);

/// A decimal amount as a plugin or a person wrote it: digits, perhaps a dot, perhaps a symbol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// Digits, with or without a dot: `0.01`, `1.50`, `007`.
    pub digits: String,
    /// `USDC`, upper case; `None` for US dollars, in any asset that is worth dollars.
    pub symbol: Option<String>,
}

/// The reason why an amount cannot be charged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("`{0}` is not an amount: write digits with an optional dot, for example `0.01` or `0.01 USDC`")]
    Syntax(String),
    #[error("`{amount}` is finer than the smallest unit of {symbol}, which has {decimals} decimals")]
    TooFine { amount: String, symbol: String, decimals: u8 },
    #[error("`{0}` is zero: a free endpoint is declared `free`")]
    Zero(String),
    #[error("`{0}` is larger than any token")]
    TooLarge(String),
    #[error("no configured asset is called `{0}`")]
    UnknownSymbol(String),
}

/// The start of a text from outside, short enough for a message.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Splits a decimal into its whole and its fractional digits; the fraction is empty without a dot.
fn split(digits: &str) -> Option<(&str, &str)> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match digits.split_once('.') {
        None => is_number(digits).then_some((digits, "")),
        Some((whole, fraction)) => (is_number(whole) && is_number(fraction)).then_some((whole, fraction)),
    }
}

impl Decimal {
    /// Parses `^\$?\d+(\.\d+)?( SYMBOL)?$` and nothing else: no sign, exponent, separator or leading dot. The symbol
    /// `USD` reads as none.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let refused = || AmountError::Syntax(excerpt(text));
        let (digits, symbol) = match text.split_once(' ') {
            None => (text, None),
            Some((digits, symbol)) => (digits, Some(symbol)),
        };
        let digits = digits.strip_prefix('$').unwrap_or(digits);
        split(digits).ok_or_else(refused)?;
        let is_symbol = |symbol: &str| {
            symbol.len() <= 16
                && symbol.starts_with(|c: char| c.is_ascii_alphabetic())
                && symbol.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
        };
        let symbol = match symbol {
            Some(symbol) if !is_symbol(symbol) => return Err(refused()),
            Some(symbol) => Some(symbol.to_ascii_uppercase()).filter(|s| s != "USD"),
            None => None,
        };
        Ok(Self { digits: digits.to_owned(), symbol })
    }

    /// True if this is the larger amount of the same money. False for amounts of different money.
    pub fn is_above(&self, other: &Self) -> bool {
        let (Some((whole, fraction)), Some((other_whole, other_fraction))) =
            (split(&self.digits), split(&other.digits))
        else {
            return false;
        };
        let (whole, other_whole) = (whole.trim_start_matches('0'), other_whole.trim_start_matches('0'));
        let (fraction, other_fraction) = (fraction.trim_end_matches('0'), other_fraction.trim_end_matches('0'));
        let is_larger = (whole.len(), whole, fraction) > (other_whole.len(), other_whole, other_fraction);
        self.symbol == other.symbol && is_larger
    }

    /// True if the amount may be one of this asset: the asset that it names, or for US dollars every asset that is one.
    pub fn may_be_in(&self, asset: &Asset) -> bool {
        match &self.symbol {
            Some(symbol) => *symbol == asset.symbol,
            None => asset.dollar,
        }
    }
}

impl Amount {
    /// Converts a decimal exactly: an amount that is finer than the smallest unit is an error and is never rounded.
    /// Trailing zeros do not make it finer.
    ///
    /// Fails with [`AmountError::UnknownSymbol`] if the decimal names another asset.
    pub fn of(decimal: &Decimal, asset: &Asset) -> Result<Self, AmountError> {
        if let Some(symbol) = &decimal.symbol
            && *symbol != asset.symbol
        {
            return Err(AmountError::UnknownSymbol(symbol.clone()));
        }
        let text = &decimal.digits;
        let (whole, fraction) = split(text).ok_or_else(|| AmountError::Syntax(excerpt(text)))?;
        let fraction = fraction.trim_end_matches('0');
        let decimals = usize::from(asset.decimals);
        let Some(padding) = decimals.checked_sub(fraction.len()) else {
            return Err(AmountError::TooFine {
                amount: excerpt(text),
                symbol: asset.symbol.clone(),
                decimals: asset.decimals,
            });
        };
        let atomic = format!("{whole}{fraction}{}", "0".repeat(padding));
        match atomic.trim_start_matches('0') {
            "" => Err(AmountError::Zero(excerpt(text))),
            digits => uint256(digits).map(Self).ok_or_else(|| AmountError::TooLarge(excerpt(text))),
        }
    }

    /// Parses atomic units as they are on the wire: canonical decimal digits below 2^256. Zero is allowed.
    pub fn parse_atomic(digits: &str) -> Result<Self, AmountError> {
        uint256(digits).map(Self).ok_or_else(|| {
            let canonical =
                !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
            if canonical { AmountError::TooLarge(excerpt(digits)) } else { AmountError::Syntax(excerpt(digits)) }
        })
    }

    /// Writes the amount in decimal units, without trailing zeros: 10000 of an asset with 6 decimals is `0.01`.
    pub fn decimal(self, decimals: u8) -> String {
        let decimals = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0.to_string(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }
}

impl fmt::Display for Amount {
    /// Atomic units, as on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
