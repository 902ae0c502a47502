//! Manifests: the records that a guest's `describe` returns, checked before any of them is used.

use arbitrary::{Arbitrary, Result, Unstructured};
use coinslot_plugin::fuzzing::{Endpoint, Manifest, Price, check_manifest};
use coinslot_plugin::{DeclaredPrice, PluginInfo, is_name};
use coinslot_x402::price::Decimal;
use http::HeaderValue;

/// The longest problem, in bytes: the labels and parts of the guest's texts in it.
const PROBLEM: usize = 4_000;

/// Checks a manifest, and checks that what is accepted keeps the limits of the contract.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok((manifest, quotes)) = manifest(&mut input) else { return };
    match check_manifest(manifest.clone(), quotes) {
        Ok(info) => {
            check_info(&info, quotes);
            assert_eq!(check_manifest(manifest, quotes).as_ref(), Ok(&info));
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(|problem| crate::assert_printable(problem, PROBLEM));
        }
    }
}

fn check_info(info: &PluginInfo, quotes: bool) {
    assert!(is_name(&info.name));
    crate::assert_printable(&info.version, 64);
    assert!((1..=256).contains(&info.endpoints.len()));
    for (index, endpoint) in info.endpoints.iter().enumerate() {
        let rival = |other: &&coinslot_plugin::EndpointInfo| {
            other.method == endpoint.method && other.path.is_alike(&endpoint.path)
        };
        assert_eq!(info.endpoints[index + 1..].iter().find(rival), None, "two handlers for one request");
        crate::assert_printable(&endpoint.summary, 4 * 120);
        assert!(endpoint.description.len() <= 4 * 2_000);
        assert!(HeaderValue::from_str(&endpoint.mime_type).is_ok(), "{:?}", endpoint.mime_type);
        let schemas = [&endpoint.input_schema, &endpoint.output_schema];
        assert!(schemas.into_iter().flatten().all(serde_json::Value::is_object));
        match &endpoint.price {
            DeclaredPrice::Free => {}
            DeclaredPrice::Exact(amount) | DeclaredPrice::UpTo(amount) => check_amount(amount),
            DeclaredPrice::Quoted(amount) => {
                assert!(quotes, "quoted by a plugin that cannot");
                check_amount(amount);
            }
        }
    }
}

/// The digits of an amount are an amount to the rules of money, too; whether its symbol is one, the operator decides.
fn check_amount(amount: &str) {
    crate::assert_printable(amount, 80);
    let digits = amount.split(' ').next().unwrap_or_default();
    assert!(Decimal::parse(digits).is_ok(), "{amount:?}");
}

/// A text: mostly one that the contract allows, so that few things are wrong at a time, or none.
fn text(input: &mut Unstructured<'_>, allowed: &[&str], refused: &[&str]) -> Result<String> {
    Ok(match input.int_in_range(0..=19)? {
        19 => String::arbitrary(input)?,
        18 => (*input.choose(refused)?).to_owned(),
        17 => {
            format!("{}{}", input.choose(allowed)?, input.choose(&["/", " ", "\n", "0", "\u{202e}", "{x}", ".", "a"])?)
        }
        16 => input.choose(allowed)?.repeat(usize::from(u8::arbitrary(input)?)),
        _ => (*input.choose(allowed)?).to_owned(),
    })
}

fn pairs(input: &mut Unstructured<'_>) -> Result<Vec<(String, String)>> {
    let pair = |input: &mut Unstructured<'_>| {
        Ok((text(input, &["payment-flow", "x"], &[""])?, text(input, &["upfront", "authorization"], &[""])?))
    };
    (0..input.int_in_range(0..=2)?).map(|_| pair(input)).collect()
}

fn schema(input: &mut Unstructured<'_>) -> Result<Option<String>> {
    let allowed = ["{}", "true", "{\"type\":\"object\"}", "{\"a\":1e300}"];
    let refused = ["[", "{\"a\":", "null", "1e400", "false", "\"\\ud800\""];
    Ok(if bool::arbitrary(input)? { Some(text(input, &allowed, &refused)?) } else { None })
}

fn price(input: &mut Unstructured<'_>) -> Result<Price> {
    let refused = ["1e3", "-1", "1.", ".5", "1  USDC", "$1"];
    let amount = text(input, &["0.01", "1", "0.01 USDC", "00.10", "999999999999"], &refused)?;
    Ok(match input.int_in_range(0..=3)? {
        0 => Price::Free,
        1 => Price::Exact(amount),
        2 => Price::UpTo(amount),
        _ => Price::Quoted(amount),
    })
}

fn endpoint(input: &mut Unstructured<'_>) -> Result<Endpoint> {
    let paths = ["/", "/a", "/a/{b}", "/{c}", "/{*rest}", "/a/{b}/c", "/a/{x}"];
    Ok(Endpoint {
        method: text(input, &["GET", "POST", "PUT", "PATCH", "DELETE"], &["get", "OPTIONS", "HEAD"])?,
        path: text(input, &paths, &["/a/", "//", "/a/{b}/{b}", "/%41", "a"])?,
        price: price(input)?,
        summary: text(input, &["", "A summary", "\u{20ac}"], &["\u{85}"])?,
        description: text(input, &["", "Two\nlines", "\ttab"], &["\r"])?,
        mime_type: text(
            input,
            &["application/json", "text/plain; charset=utf-8", "a/b;"],
            &["text", "a/b;\u{e9}", "/"],
        )?,
        input_schema: schema(input)?,
        output_schema: schema(input)?,
        quote_headers: (0..input.int_in_range(0..=2)?)
            .map(|_| text(input, &["accept"], &["X"]))
            .collect::<Result<_>>()?,
        extensions: pairs(input)?,
    })
}

fn manifest(input: &mut Unstructured<'_>) -> Result<(Manifest, bool)> {
    let quotes = bool::arbitrary(input)?;
    let name = text(input, &["hello", "a-1"], &["A", "a_b", "1a"])?;
    let version = text(input, &["1.0.0", "0.1.0-alpha.1+build.5"], &["01.0.0", "1.0", "1.0.0-"])?;
    let count = match input.int_in_range(0..=31)? {
        31 => 257,
        30 => 0,
        few => 1 + few % 5,
    };
    let endpoints = (0..count).map(|_| endpoint(input)).collect::<Result<_>>()?;
    let extensions = pairs(input)?;
    Ok((Manifest { name, version, endpoints, extensions }, quotes))
}
