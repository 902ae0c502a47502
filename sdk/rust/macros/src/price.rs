//! Checks prices by the rules of `coinslot:plugin/manifest.amount`.

/// Most digits of an amount, on both sides of the dot together. It is far more than any asset can represent, and few
/// enough to catch a typing error at compile time.
const MAX_DIGITS: usize = 60;
/// Longest symbol of an asset.
const MAX_SYMBOL: usize = 16;

/// Checks an amount. The error is a sentence that says what to write instead.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let (number, symbol) = match text.split_once(' ') {
        Some((number, symbol)) => (number, Some(symbol)),
        None => (text, None),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) {
        return Err(format!(
            "{text:?} is not an amount: write digits, and a dot and more digits if you need them, as in \"0.01\""
        ));
    }
    if let Some(symbol) = symbol {
        let known =
            !symbol.is_empty() && symbol.len() <= MAX_SYMBOL && symbol.bytes().all(|b| b.is_ascii_alphanumeric());
        if !known {
            return Err(format!("after the amount comes one space and an asset's symbol, as in \"{number} USDC\""));
        }
    }
    if whole.len() + fraction.map_or(0, str::len) > MAX_DIGITS {
        return Err(format!("an amount has at most {MAX_DIGITS} digits"));
    }
    if number.bytes().all(|b| b == b'0' || b == b'.') {
        return Err("zero is not a price: write `free` if the endpoint costs nothing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn an_amount_is_digits_with_at_most_one_dot_and_a_symbol() {
        for good in ["1", "0.01", "10.50", "0.01 USDC", "0.000000000000000001"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".5",
            "5.",
            "-1",
            "+1",
            "1e3",
            "1,000",
            "0x1",
            " 1",
            "1 ",
            "0.01  USDC",
            "0.01 $",
            "1.2.3",
            "0",
            "0.00",
            "0 USDC",
            "\u{0661}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"1".repeat(61)).is_err());
    }
}
