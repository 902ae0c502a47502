//! Checks prices by the rules of `coinslot:plugin/manifest.amount`.

/// Longest amount, in bytes: the host's limit.
const MAX_BYTES: usize = 80;

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
    if let Some(symbol) = symbol
        // The host takes `$` for a symbol, but no asset has one without a letter.
        && !(symbol.bytes().all(|b| b.is_ascii_graphic()) && symbol.bytes().any(|b| b.is_ascii_alphanumeric()))
    {
        return Err(format!("after the amount comes one space and an asset's symbol, as in \"{number} USDC\""));
    }
    if text.len() > MAX_BYTES {
        return Err(format!("an amount has at most {MAX_BYTES} characters"));
    }
    if number.bytes().all(|b| b == b'0' || b == b'.') {
        return Err("zero is not a price: write `free` if the endpoint costs nothing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    const TABLE: &str = include_str!("../../../../tests/fixtures/amounts.txt");

    #[test]
    fn the_shared_table_holds_and_zero_is_no_price() {
        let (mut prices, mut zeros) = (0, 0);
        for line in TABLE.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (verdict, text) = line.split_once(' ').expect("a verdict and a text");
            let is_zero = verdict == "valid" && text.bytes().all(|b| b == b'0' || b == b'.');
            assert_eq!(check(text).is_ok(), verdict == "valid" && !is_zero, "{line}");
            (prices, zeros) = (prices + usize::from(check(text).is_ok()), zeros + usize::from(is_zero));
        }
        assert!(prices > 5 && zeros == 2, "{prices} prices and {zeros} zeros");
        assert!(check("0.00").expect_err("zero").contains("write `free`"));
    }
}
