//! Shows an amount of the chain's own currency to people.

use std::fmt;

use alloy::primitives::U256;
use alloy::primitives::utils::format_ether;

/// An amount in wei that is shown exactly and in ether: `0.31 ether`. The currency is called ether on every chain, as
/// the keys of the configuration call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ether(pub U256);

impl fmt::Display for Ether {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format_ether(self.0);
        write!(f, "{} ether", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_has_the_digits_that_count_and_a_unit() {
        for (wei, shown) in [
            (0_u64, "0 ether"),
            (1, "0.000000000000000001 ether"),
            (7_425_194_280_000_000, "0.00742519428 ether"),
            (310_000_000_000_000_000, "0.31 ether"),
            (10_000_000_000_000_000_000, "10 ether"),
        ] {
            assert_eq!(Ether(U256::from(wei)).to_string(), shown);
        }
    }
}
