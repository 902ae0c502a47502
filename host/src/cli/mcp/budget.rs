//! Limits the payments to one server, in all or in a period.

use alloy::primitives::U256;
use coinslot_x402::price::{Amount, Decimal};

use crate::cli::Failure;

/// The decimals in which dollars are counted here: no token has more.
const DECIMALS: u8 = 18;

/// A sum of dollars, as 10^-18 of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dollars(pub(super) U256);

/// The time in which a budget may be spent. Days and months are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Period {
    Forever,
    Day,
    Month,
}

/// The most that is paid in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) most: Dollars,
    pub(super) period: Period,
}

impl Budget {
    /// Reads `1.00`, `1.00/day` or `20/month`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let (amount, period) = match text.split_once('/') {
            None => (text, Period::Forever),
            Some((amount, "day")) => (amount, Period::Day),
            Some((amount, "month")) => (amount, Period::Month),
            Some((_, other)) => {
                return Err(Failure::usage(format!("--budget: `/{other}` is neither `/day` nor `/month`")));
            }
        };
        let wrong = |why: &str| Failure::usage(format!("--budget: `{amount}` {why}"));
        let decimal = Decimal::parse(amount).map_err(|error| Failure::usage(format!("--budget: {error}")))?;
        if decimal.symbol.is_some() {
            return Err(wrong("names a token: a budget is in US dollars"));
        }
        let (whole, fraction) = decimal.digits.split_once('.').unwrap_or((&decimal.digits, ""));
        if fraction.len() > usize::from(DECIMALS) {
            return Err(wrong("is finer than any token"));
        }
        let units = format!("{whole}{fraction}{}", "0".repeat(usize::from(DECIMALS) - fraction.len()));
        let most = U256::from_str_radix(&units, 10).map_err(|_| wrong("is larger than any token"))?;
        Ok(Self { most: Dollars(most), period })
    }
}

impl Dollars {
    /// The sum of an amount of a dollar token. None if it is larger than any sum.
    pub(super) fn of(amount: Amount, decimals: u8) -> Option<Self> {
        let scale = U256::from(10).checked_pow(U256::from(DECIMALS.checked_sub(decimals)?))?;
        amount.0.checked_mul(scale).map(Self)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The rest of this after another sum.
    pub(super) fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl std::fmt::Display for Dollars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&Amount(self.0).decimal(DECIMALS))
    }
}

impl Period {
    /// True if a day, as in `2026-11-30`, is in the period of this day.
    pub(super) fn contains(self, day: &str, today: &str) -> bool {
        match self {
            Self::Forever => true,
            Self::Day => day == today,
            // Of `2026-11-30` the year and the month.
            Self::Month => day.get(..7) == today.get(..7),
        }
    }

    /// As in "0.40 of 1 dollars are spent today".
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Forever => "in all",
            Self::Day => "today",
            Self::Month => "this month",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_dollars_in_a_period() {
        for (text, most, period) in [
            ("1.00", "1", Period::Forever),
            ("$0.000001/day", "0.000001", Period::Day),
            ("20/month", "20", Period::Month),
            ("0", "0", Period::Forever),
        ] {
            let budget = Budget::parse(text).expect("a budget");
            assert_eq!((budget.most.to_string().as_str(), budget.period), (most, period), "{text}");
        }
        for text in ["", "1/year", "1 USDC", "-1", "1e3", "0.0000000000000000001"] {
            assert_eq!(Budget::parse(text).expect_err(text).code, 2, "{text}");
        }
    }

    #[test]
    fn amounts_of_tokens_are_dollars_whatever_their_decimals() {
        let cent = Dollars::of(Amount(U256::from(10_000)), 6).expect("a sum");
        assert_eq!(cent.to_string(), "0.01");
        assert_eq!(Dollars::of(Amount(U256::from(10_000_000_000_000_000_u64)), 18), Some(cent));
        assert_eq!(Dollars::of(Amount(U256::MAX), 6), None);
        assert!(
            Period::Month.contains("2026-11-01", "2026-11-30") && !Period::Month.contains("2025-11-01", "2026-11-30")
        );
        assert!(
            !Period::Day.contains("2026-11-01", "2026-11-30") && Period::Forever.contains("2026-11-01", "2026-11-30")
        );
    }
}
