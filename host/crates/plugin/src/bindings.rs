//! The types and traits of `coinslot:plugin`, generated from `wit/`.
//!
//! Only the project's own interfaces are generated here; `wasi:http` comes from `wasmtime-wasi-http`, so that there is
//! one set of its types. Both imports are synchronous on purpose: an asynchronous host function would hold the store
//! of a guest of WASI 0.3 and stall its other tasks.

#[allow(
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../../wit",
        world: "coinslot:plugin/narrow-quoting",
        imports: {
            "coinslot:plugin/payment.current": store,
            "coinslot:plugin/usage.charge": store,
        },
        exports: { default: async },
    });
}

pub(crate) use generated::NarrowQuoting;
pub(crate) use generated::coinslot::plugin::{payment, usage};
pub(crate) use generated::exports::coinslot::plugin::{manifest, quote};

/// True for a text in the notation of `manifest.amount` in `wit/plugin.wit`, in at most 80 bytes.
pub(crate) fn is_amount(text: &str) -> bool {
    let (number, symbol) = match text.split_once(' ') {
        Some((number, symbol)) => (number, Some(symbol)),
        None => (text, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let number = match number.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(number),
    };
    let symbol = symbol.is_none_or(|symbol| !symbol.is_empty() && symbol.bytes().all(|b| b.is_ascii_graphic()));
    text.len() <= 80 && number && symbol
}

#[cfg(test)]
mod tests {
    use super::is_amount;

    const TABLE: &str = include_str!("../../../../tests/fixtures/amounts.txt");

    #[test]
    fn the_shared_table_of_amounts_holds() {
        let mut cases = 0;
        for line in TABLE.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (verdict, text) = line.split_once(' ').expect("a verdict and a text");
            assert_eq!(is_amount(text), verdict == "valid", "{line}");
            cases += 1;
        }
        assert!(cases > 25, "{cases} cases");
    }
}
