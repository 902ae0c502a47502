//! The values of keys: durations and sizes with their units, amounts by their exact digits, lists.

use std::time::Duration;

use alloy::primitives::U256;
use coinslot_base::units::{SIZES, shown_duration, shown_size};
use toml::de::DeValue;
use url::Url;

/// A value that can be read, or refused with what it should be.
pub(super) trait FromToml: Sized {
    /// The error continues the path of the key: it says what is wrong, and what to write instead.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String>;
}

/// A value with a least and a most.
pub(super) trait Ranged: FromToml + PartialOrd {
    /// The value as it would be written into the file.
    fn shown(&self) -> String;
}

/// A size in bytes, written with a unit: `512B`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByteSize(pub(super) u64);

/// An amount of money: a number or a text, kept as it was written and never turned into a float.
pub(super) struct AmountText(pub(super) String);

/// A value of `wasi:config`, as the text that a plugin reads.
pub(super) struct Scalar(pub(super) String);

/// One text, or a list of texts.
pub(super) struct OneOrMore(pub(super) Vec<String>);

/// A value as it stands in the file, short enough for a message.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("`{}`", text.chars().take(100).collect::<String>()),
        DeValue::Integer(number) => format!("`{number}`"),
        DeValue::Float(number) => format!("`{number}`"),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(time) => format!("`{time}`"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

impl ByteSize {
    /// Digits, perhaps a space, and a unit.
    fn parse(text: &str) -> Option<Self> {
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let (_, size) = SIZES.iter().find(|(name, _)| *name == unit.trim_start())?;
        digits.parse::<u64>().ok()?.checked_mul(*size).map(Self)
    }

    /// The size on this machine.
    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The size of something that is in memory.
    pub(super) fn of(bytes: usize) -> Self {
        Self(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// `0.05` with 18 decimals: five hundredths of 10^18, without a sign, an exponent, or rounding.
fn decimal(text: &str, decimals: u8) -> Option<U256> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || text.ends_with('.') || !digits(whole) || !digits(part) || part.len() > usize::from(decimals)
    {
        return None;
    }
    format!("{whole}{part:0<width$}", width = usize::from(decimals)).parse().ok()
}

/// Wei of an amount in ether, with or without the word: `0.05`, `0.05 ether`.
pub fn parse_ether(text: &str) -> Result<U256, String> {
    decimal(text.strip_suffix(" ether").unwrap_or(text), 18).ok_or_else(|| {
        format!("`{text}` is not a decimal number of ether with at most 18 digits after the point, such as 0.05")
    })
}

/// Wei of a price for a unit of gas in gwei, with or without the word: `50`, `0.1 gwei`. Above zero.
pub fn parse_gas_price(text: &str) -> Result<u128, String> {
    decimal(text.strip_suffix(" gwei").unwrap_or(text), 9)
        .and_then(|wei| u64::try_from(wei).ok())
        .filter(|wei| *wei > 0)
        .map(u128::from)
        .ok_or_else(|| {
            format!(
                "`{text}` is not a decimal number of gwei above 0 with at most 9 digits after the point, such as 50"
            )
        })
}

/// A duration with its unit: `30s`, `250ms`, `1h 30m`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let advice =
        || format!("`{text}` is not a duration: write a number and its unit (ms, s, m, h, d), such as \"30s\"");
    humantime::parse_duration(text).map_err(|_| advice())
}

impl FromToml for String {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().map(ToOwned::to_owned).ok_or_else(|| format!("{} is not a text: put it in quotes", found(value)))
    }
}

impl FromToml for Url {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let text = String::from_toml(value)?;
        Self::parse(&text).map_err(|error| not_a_url(&text, error))
    }
}

/// Refuses a text as a URL. One without a scheme is shown with it. The message gets into logs, pages and webhooks, so that
/// of the text only the host is in it: users and paths hold keys of nodes.
pub(super) fn not_a_url(text: &str, error: url::ParseError) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let cut = if host.len() < rest.len() { "/.." } else { "" };
    let host = host.rsplit('@').next().unwrap_or_default();
    let text = if scheme.is_empty() { format!("{host}{cut}") } else { format!("{scheme}://{host}{cut}") };
    match error {
        url::ParseError::RelativeUrlWithoutBase => format!("`{text}` is not a URL: write \"https://{text}\""),
        _ => format!("`{text}` is not a URL: {error}"),
    }
}

impl FromToml for bool {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("{} is neither true nor false", found(value)))
    }
}

impl FromToml for u64 {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let number = value.as_integer().and_then(|number| Self::from_str_radix(number.as_str(), number.radix()).ok());
        number.ok_or_else(|| format!("{} is not a whole number from 0 on", found(value)))
    }
}

impl Ranged for u64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl FromToml for f64 {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let number = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| format!("{} is not a number", found(value)))
    }
}

impl FromToml for Duration {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => parse_duration(text),
            DeValue::Integer(number) => Err(format!(
                "{number} has no unit: write a text with one (ms, s, m, h, d), such as \"30s\" or \"250ms\""
            )),
            _ => Err(format!("{} is not a duration: write a text such as \"30s\" or \"250ms\"", found(value))),
        }
    }
}

impl Ranged for Duration {
    fn shown(&self) -> String {
        shown_duration(*self)
    }
}

impl FromToml for ByteSize {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let advice = "write a whole number and its unit (B, KiB, MiB, GiB), such as \"64KiB\"";
        match value {
            DeValue::String(text) => Self::parse(text).ok_or_else(|| format!("`{text}` is not a size: {advice}")),
            _ => Err(format!("{} is not a size: {advice}", found(value))),
        }
    }
}

impl Ranged for ByteSize {
    fn shown(&self) -> String {
        shown_size(self.0)
    }
}

impl FromToml for AmountText {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Ok(Self(text.clone().into_owned())),
            // The digits as they stand in the file: 0.1 is no binary fraction.
            DeValue::Integer(number) if number.radix() == 10 => Ok(Self(number.as_str().to_owned())),
            DeValue::Float(number) => Ok(Self(number.as_str().to_owned())),
            _ => Err(format!("{} is not an amount: write a number or a text, such as 0.05 or \"0.05\"", found(value))),
        }
    }
}

impl FromToml for Scalar {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let text = match value {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
            }
            DeValue::Boolean(flag) => Some(flag.to_string()),
            _ => None,
        };
        text.map(Self).ok_or_else(|| format!("{} is not a text, a whole number, true or false", found(value)))
    }
}

impl FromToml for Vec<String> {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        let refused = || match value {
            DeValue::String(text) => format!("{} is not a list of texts: write [\"{text}\"]", found(value)),
            _ => format!("{} is not a list of texts", found(value)),
        };
        let list = value.as_array().ok_or_else(refused)?;
        list.iter().map(|entry| String::from_toml(entry.get_ref())).collect()
    }
}

impl FromToml for OneOrMore {
    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Ok(Self(vec![text.clone().into_owned()])),
            DeValue::Array(_) => Vec::from_toml(value).map(Self),
            _ => Err(format!("{} is neither a text nor a list of texts", found(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_one_unit_and_whole_digits() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 64 << 10), ("10 MiB", 10 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for text in ["", "10", "MiB", "1.5MiB", "-1B", "10MB", "10mib", "1K", "99999999999999999999B", "17179869184GiB"]
        {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
        for bytes in [0, 1, 1 << 10, 1536, 10 << 20, 3 << 30] {
            assert_eq!(ByteSize::parse(&ByteSize(bytes).shown()), Some(ByteSize(bytes)));
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for text in ["0s", "1ms", "1500ms", "30s", "90s", "5m", "1h", "400d"] {
            assert_eq!(shown_duration(parse_duration(text).expect(text)), text);
        }
        for text in ["", "30", "s", "-1s", "1 fortnight"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ether_and_gwei_are_exact_or_refused() {
        let wei = U256::from(10).pow(U256::from(16));
        for text in ["0.01", "0.010", "0.01 ether"] {
            assert_eq!(parse_ether(text), Ok(wei));
        }
        assert_eq!(parse_gas_price("0.1 gwei"), Ok(100_000_000));
        for text in ["", "1e3", "-1", "1.", ".5", "0.0000000000000000001", "1 gwei", "1ether", "inf", "1_0"] {
            assert!(parse_ether(text).is_err(), "{text}");
        }
        assert!(parse_gas_price("0").is_err() && parse_gas_price("18446744074").is_err());
    }
}
