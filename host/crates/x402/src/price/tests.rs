use std::str::FromStr;
use std::sync::Arc;

use alloy_primitives::{Address, U256};
use proptest::prelude::*;
use serde_json::json;

use super::asset::KNOWN;
use super::*;
use crate::bazaar::Bazaar;
use crate::{Flow, Network, Object, Version, Versions};

fn usdc() -> Asset {
    Asset::known(&Network::eip155(8453), None).expect("in the table")
}

fn amount(text: &str) -> Result<Amount, AmountError> {
    Amount::of(&Decimal::parse(text)?, &usdc())
}

fn price(chain_id: u64, units: u64) -> Price {
    let asset = Asset::known(&Network::eip155(chain_id), None).expect("in the table");
    Price {
        amount: Amount(U256::from(units)),
        asset: Arc::new(asset),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        max_timeout_seconds: 60,
        flow: Flow::Authorization,
        quote: None,
        versions: Versions::Both,
    }
}

#[test]
fn decimals_become_atomic_units_exactly() {
    for (text, atomic) in [
        ("0.01", 10_000),
        ("$0.01", 10_000),
        ("0.01 USDC", 10_000),
        ("0.01 usdc", 10_000),
        ("$0.01 USD", 10_000),
        ("1", 1_000_000),
        ("1.0", 1_000_000),
        ("00.010", 10_000),
        ("0.000001", 1),
        ("0.0000010", 1),
        ("0.00000100000000000000000000", 1),
        ("1000000", 1_000_000_000_000_u64),
    ] {
        assert_eq!(amount(text), Ok(Amount(U256::from(atomic))), "{text}");
    }
}

#[test]
fn texts_other_than_plain_amounts_are_refused() {
    for text in [
        "",
        " ",
        "$",
        ".",
        ".5",
        "5.",
        "1.2.3",
        "1,000",
        "1_000",
        "1e-3",
        "1E3",
        "+1",
        "-1",
        "-0.01",
        "0x10",
        "$ 1",
        "$$1",
        "1$",
        " 1",
        "1 ",
        "\t1",
        "1\n",
        "0.01USDC",
        "0.01  USDC",
        "0.01 USDC ",
        "0.01 US DC",
        "0.01 1USD",
        "0.01 $",
        "0.01 US\u{20ae}",
        "\u{20ac}1",
        "\u{661}",
        "NaN",
        "inf",
        "free",
        "0.01 ABCDEFGHIJKLMNOPQ",
    ] {
        assert_eq!(amount(text), Err(AmountError::Syntax(text.to_owned())), "{text:?}");
    }
}

#[test]
fn nothing_is_rounded_and_nothing_is_free_by_rounding() {
    assert!(matches!(amount("0.0000001"), Err(AmountError::TooFine { decimals: 6, .. })));
    assert!(matches!(amount("0.0100001"), Err(AmountError::TooFine { .. })));
    for zero in ["0", "0.0", "000", "$0.000000", "0.00000000000"] {
        assert!(matches!(amount(zero), Err(AmountError::Zero(_))), "{zero}");
    }
}

#[test]
fn an_amount_of_another_asset_is_not_converted() {
    assert_eq!(amount("1 EURC"), Err(AmountError::UnknownSymbol("EURC".to_owned())));
}

#[test]
fn amounts_have_at_most_256_bits() {
    let most = "115792089237316195423570985008687907853269984665640564039457584007913129.639935";
    assert_eq!(amount(most), Ok(Amount(U256::MAX)));
    let more = "115792089237316195423570985008687907853269984665640564039457584007913129.639936";
    assert!(matches!(amount(more), Err(AmountError::TooLarge(_))));
    assert!(matches!(amount(&"9".repeat(100_000)), Err(AmountError::TooLarge(_))));
    let long = amount(&format!("x{}", "9".repeat(100_000))).expect_err("not an amount");
    assert!(long.to_string().len() < 200);
}

#[test]
fn atomic_units_are_canonical() {
    let max = U256::MAX.to_string();
    for text in ["0", "1", "10000", &max] {
        assert_eq!(Amount::parse_atomic(text).expect(text).to_string(), text);
    }
    for text in ["", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "1e4", "0x1", "\u{661}"] {
        assert_eq!(Amount::parse_atomic(text), Err(AmountError::Syntax(text.to_owned())), "{text:?}");
    }
    let beyond = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    assert!(matches!(Amount::parse_atomic(beyond), Err(AmountError::TooLarge(_))));
}

#[test]
fn amounts_are_shown_without_needless_zeros() {
    for (atomic, decimals, shown) in [
        (10_000, 6, "0.01"),
        (1, 6, "0.000001"),
        (1_000_000, 6, "1"),
        (1_500_000, 6, "1.5"),
        (0, 6, "0"),
        (0, 0, "0"),
        (42, 0, "42"),
        (10, 1, "1"),
        (1, 18, "0.000000000000000001"),
    ] {
        assert_eq!(Amount(U256::from(atomic)).decimal(decimals), shown);
    }
    assert!(Amount(U256::MAX).decimal(255).starts_with("0.000"));
}

/// True if a text is a canonical 256-bit number, told by another implementation.
fn is_canonical(text: &str) -> bool {
    U256::from_str_radix(text, 10).is_ok_and(|number| number.to_string() == text)
}

proptest! {
    #[test]
    fn an_atomic_amount_is_accepted_iff_it_is_canonical(
        text in prop_oneof!["[0-9]{0,80}", "[0-9+\\-. e_x]{0,12}", ".{0,8}", "0{0,3}[0-9]{1,5}"]
    ) {
        match Amount::parse_atomic(&text) {
            Ok(amount) => {
                prop_assert!(is_canonical(&text));
                prop_assert_eq!(amount.to_string(), text);
            }
            Err(_) => prop_assert!(!is_canonical(&text)),
        }
    }

    #[test]
    fn every_atomic_amount_round_trips(bytes: [u8; 32], shift in 0_usize..256) {
        let number = U256::from_be_bytes(bytes) >> shift;
        let text = Amount(number).to_string();
        prop_assert_eq!(Amount::parse_atomic(&text), Ok(Amount(number)));
    }

    #[test]
    fn every_amount_round_trips_through_its_decimal(bytes: [u8; 32], shift in 0_usize..256, decimals: u8) {
        let number = U256::from_be_bytes(bytes) >> shift;
        prop_assume!(!number.is_zero());
        let asset = Asset { decimals, ..usdc() };
        let decimal = Decimal::parse(&Amount(number).decimal(decimals)).expect("a decimal");
        prop_assert_eq!(Amount::of(&decimal, &asset), Ok(Amount(number)));
    }

    #[test]
    fn whatever_the_text_is_parsing_answers(text in ".{0,200}") {
        let _ = amount(&text);
        let _ = evm_receiver(&text);
    }
}

#[test]
fn known_tokens_have_right_addresses_and_unique_names() {
    for (index, row) in KNOWN.iter().enumerate() {
        let address = Address::from_str(row.address).expect(row.address);
        assert_eq!(address.to_checksum(None), row.address);
        assert_eq!(row.symbol, row.symbol.to_ascii_uppercase());
        for other in &KNOWN[..index] {
            let same_chain = row.chain_id == other.chain_id;
            assert!(!(same_chain && row.symbol == other.symbol), "{}", row.chain_id);
            assert!(!same_chain || row.testnet == other.testnet, "{}", row.chain_id);
        }
    }
}

#[test]
fn the_table_has_the_default_asset_of_the_usual_networks() {
    let known = |chain_id, symbol| Asset::known(&Network::eip155(chain_id), symbol);
    let domain = |asset: &Asset| asset.eip712.clone().map(|d| (d.name, d.version));
    let named = |name: &str| Some((name.to_owned(), "2".to_owned()));

    let base = known(8453, None).expect("Base");
    assert_eq!(base.address, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
    assert_eq!((domain(&base), base.decimals, base.testnet), (named("USD Coin"), 6, false));
    let sepolia = known(84532, Some("usdc")).expect("Base Sepolia");
    assert_eq!(sepolia.address, "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
    assert_eq!((domain(&sepolia), sepolia.decimals, sepolia.testnet), (named("USDC"), 6, true));

    assert_eq!(known(8453, Some("USD")), Some(base));
    assert_eq!(known(42220, None).map(|a| a.symbol), Some("USDC".to_owned()));
    assert_eq!(known(42220, Some("usdt")).map(|a| a.symbol), Some("USDT".to_owned()));
    assert_eq!(known(8453, Some("DAI")), None);
    assert_eq!(known(31337, None), None);
    let solana = Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").expect("CAIP-2");
    assert_eq!(Asset::known(&solana, None), None);
}

#[test]
fn testnets_are_marked_and_only_they() {
    let testnets = [84532, 421_614, 2201, 181_228, 51, 11_142_220, 1328, 5_042_002, 10143, 43113, 80002];
    for row in KNOWN {
        assert_eq!(row.testnet, testnets.contains(&row.chain_id), "{}", row.chain_id);
    }
}

#[test]
fn a_price_is_asked_in_version_2_as_clients_read_it() {
    let written = serde_json::to_string(&price(84532, 10_000).requirements()).expect("plain");
    let expected = json!({
        "scheme": "exact",
        "network": "eip155:84532",
        "amount": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2"}
    });
    assert_eq!(written, expected.to_string());
}

#[test]
fn a_price_is_asked_in_version_1_where_it_has_a_name_and_without_nulls() {
    let entry = price(84532, 10_000).requirements_v1("https://a.example/x", "", "");
    let written = serde_json::to_string(&entry.expect("base-sepolia")).expect("plain");
    let expected = json!({
        "scheme": "exact",
        "network": "base-sepolia",
        "maxAmountRequired": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "resource": "https://a.example/x",
        "description": "",
        "mimeType": "",
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2"}
    });
    assert_eq!(written, expected.to_string());
    assert_eq!(price(42161, 1).requirements_v1("https://a.example/x", "", ""), None);

    let plain = Asset { eip712: None, ..usdc() };
    let price = Price { asset: Arc::new(plain), ..price(8453, 1) };
    let written = serde_json::to_string(&price.requirements_v1("https://a.example/x", "", ""));
    assert!(!written.expect("plain").contains("extra"));
}

#[test]
fn an_offer_is_neither_empty_nor_free_nor_ambiguous() {
    assert_eq!(Offer::new(Vec::new()), None);
    assert_eq!(Offer::new(vec![price(8453, 0)]), None);
    assert_eq!(Offer::new(vec![price(8453, 1), price(84532, 0)]), None);
    assert_eq!(Offer::new(vec![price(8453, 1), price(8453, 2)]), None);

    let shouted = Asset { address: usdc().address.to_ascii_lowercase(), ..usdc() };
    let same = Price { asset: Arc::new(shouted), ..price(8453, 2) };
    assert_eq!(Offer::new(vec![price(8453, 1), same]), None);

    let prices = vec![price(84532, 1), price(8453, 1)];
    let offer = Offer::new(prices.clone()).expect("two networks");
    assert_eq!(offer.prices(), prices);
    assert_eq!(offer.requirements().len(), 2);
}

#[test]
fn version_1_is_offered_one_price_for_each_network_it_can_name() {
    let celo = |symbol| Asset::known(&Network::eip155(42220), Some(symbol)).expect("in the table");
    let eurc =
        Asset { address: "0x60a3E35Cc302bFA44Cb288Bc5a4F316Fdb1adb42".to_owned(), symbol: "EURC".to_owned(), ..usdc() };
    let offer = Offer::new(vec![
        Price { asset: Arc::new(celo("USDT")), ..price(8453, 1) },
        price(8453, 2),
        Price { asset: Arc::new(eurc), ..price(8453, 3) },
        price(84532, 4),
    ]);
    let entries = offer.expect("distinct").requirements_v1("https://a.example/x", "", "");
    let asked: Vec<_> =
        entries.iter().map(|entry| (entry.network.as_str(), entry.max_amount_required.as_str())).collect();
    assert_eq!(asked, [("base", "2"), ("base-sepolia", "4")]);
}

#[test]
fn a_version_that_cannot_be_settled_is_not_offered() {
    let resource =
        Resource { description: String::new(), summary: String::new(), mime_type: String::new(), bazaar: None };
    let challenge = |versions| {
        let offer = Offer::new(vec![Price { versions, ..price(8453, 1) }]).expect("one price");
        let challenge = Challenge::new(&offer, "https://a.example/x", &resource, "Payment required").expect("it fits");
        let body: serde_json::Value = serde_json::from_slice(&challenge.body).expect("JSON");
        (challenge.header(&ChallengeSecret::new([0; 16])), body)
    };
    let (header, body) = challenge(Versions::Only(Version::V2));
    assert!(header.is_some());
    assert_eq!((body.get("accepts"), body.get("x402Version")), (None, None));
    assert_eq!(body["error"], "Payment required");
    assert!(body["message"].as_str().is_some_and(|message| message.contains("version 2")), "{body}");
    let (header, body) = challenge(Versions::Only(Version::V1));
    assert_eq!(header, None);
    assert_eq!(body["accepts"][0]["network"], "base");
}

#[test]
fn a_challenge_describes_what_is_sold_as_far_as_the_header_goes() {
    let resource = |description: &str| Resource {
        description: description.to_owned(),
        summary: "One line".to_owned(),
        mime_type: "text/plain".to_owned(),
        bazaar: None,
    };
    let offer = Offer::new(vec![price(8453, 1)]).expect("one price");
    let said = |resource: &Resource, url: &str| {
        let challenge = Challenge::new(&offer, url, resource, "Payment required").expect("it fits");
        let header = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            challenge.header(&ChallengeSecret::new([0; 16])).expect("version 2 is taken"),
        );
        let document: serde_json::Value = serde_json::from_slice(&header.expect("Base64")).expect("JSON");
        document["resource"]["description"].as_str().map(ToOwned::to_owned)
    };
    let short = "It says more.";
    assert_eq!(said(&resource(short), "https://a.example/x").as_deref(), Some(short));
    let long = "x".repeat(4_000);
    assert_eq!(said(&resource(&long), "https://a.example/x").as_deref(), Some("One line"));
    let fits = |url: &String| Challenge::new(&offer, url, &resource(short), "Payment required").is_ok();
    let mut urls = (1..3_000).rev().map(|length| format!("https://a.example/{}", "x".repeat(length)));
    let longest = urls.find(fits).expect("some URL fits");
    assert_eq!(said(&resource(short), &longest), None);
}

/// The document in the header of a challenge for this endpoint.
fn document(resource: &Resource, url: &str, params: &[(String, String)]) -> serde_json::Value {
    let (offer, own) = (Offer::new(vec![price(8453, 1)]).expect("one price"), Object::new());
    let challenge = Challenge::with_extensions(&offer, url, resource, "Payment required", &own, params);
    let header = challenge.expect("it fits").header(&ChallengeSecret::new([0; 16])).expect("version 2 is taken");
    assert!(header.len() <= 3520, "{}", header.len());
    let json = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, header).expect("Base64");
    serde_json::from_slice(&json).expect("JSON")
}

#[test]
fn a_challenge_declares_as_much_for_facilitators_as_fits() {
    let form = |bytes: usize| json!({ "info": { "input": {} }, "schema": "x".repeat(bytes) });
    let least = json!({ "info": { "input": {} } });
    let resource = |description: usize, forms: &[usize]| Resource {
        description: "d".repeat(description),
        summary: "One line".to_owned(),
        mime_type: "text/plain".to_owned(),
        bazaar: Some(Arc::new(Bazaar::new(
            forms.iter().map(|&bytes| form(bytes)).chain([least.clone()]).collect(),
            Some(Object::from_iter([("input".to_owned(), json!({}))])),
        ))),
    };
    let url = "https://a.example/x";
    let said = |resource: &Resource, url: &str| {
        let document = document(resource, url, &[]);
        let described = document["resource"]["description"].as_str().map_or(0, str::len);
        let declared = document["extensions"]["bazaar"].clone();
        (described, declared)
    };
    assert_eq!(said(&resource(10, &[900, 300]), url), (10, form(900)));
    assert_eq!(said(&resource(10, &[9_000, 300]), url), (10, form(300)), "the next shorter form");
    assert_eq!(said(&resource(1_500, &[9_000, 900]), url), (8, form(900)), "the summary makes room for what goes in");
    assert_eq!(said(&resource(1_000, &[9_000, 8_000]), url), (1_000, least.clone()), "it would make no room");
    assert_eq!(said(&resource(2_200, &[9_000]), url), (8, least.clone()), "it makes room for the least");
    // `document` fails if the challenge does not fit.
    let lengths = (1_000..2_400).step_by(20);
    let urls = lengths.map(|length| format!("{url}{}", "x".repeat(length)));
    let gone = urls.map(|url| said(&resource(10, &[900]), &url)).find(|(_, declared)| declared.is_null());
    assert!(gone.is_some(), "all of it goes before the URL does");
    // Each length of a form, to the byte: what is declared is the form or the next one, and the challenge fits.
    for bytes in 1_200..2_000 {
        let (_, declared) = said(&resource(8, &[bytes]), url);
        assert!(declared == form(bytes) || declared == least, "{bytes}");
    }
    let params = [("who".to_owned(), "Ada \"L\"".to_owned())];
    let declared = document(&resource(10, &[10]), url, &params);
    assert_eq!(declared["extensions"]["bazaar"]["info"]["input"]["pathParams"], json!({ "who": "Ada \"L\"" }));
    let offer = Offer::new(vec![price(8453, 1)]).expect("one price");
    let challenge = Challenge::new(&offer, url, &resource(1, &[1]), "Payment required").expect("it fits");
    let legacy: serde_json::Value = serde_json::from_slice(&challenge.body).expect("JSON");
    assert_eq!(legacy["accepts"][0]["outputSchema"], json!({ "input": {} }));
}

#[test]
fn receivers_are_checksummed_and_typing_errors_are_caught() {
    let right = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let upper = format!("0x{}", right[2..].to_ascii_uppercase());
    for text in [right, &right.to_ascii_lowercase(), &upper] {
        assert_eq!(evm_receiver(text).as_deref(), Ok(right));
    }
    let digits_only = "0x1111111111111111111111111111111111111111";
    assert_eq!(evm_receiver(digits_only).as_deref(), Ok(digits_only));

    let wrong = "0x209693bc6afc0C5328bA36FaF03C514EF312287C";
    let error = evm_receiver(wrong).expect_err("one letter in the wrong case");
    assert_eq!(error, ReceiverError::Checksum { found: wrong.to_owned() });
    assert!(!error.to_string().contains(right), "it would be copied, and one of its digits may be wrong");

    let zero = "0x0000000000000000000000000000000000000000";
    assert_eq!(evm_receiver(zero), Err(ReceiverError::Zero));
    for text in [
        "",
        "0x",
        &right[2..],
        &right[..41],
        &format!("{right}0"),
        &format!(" {right}"),
        "0X209693bc6afc0c5328ba36faf03c514ef312287c",
        "0x209693Bc6afc0C5328bA36FaF03C514EF312287G",
        "vitalik.eth",
        "0x0x9693bc6afc0c5328ba36faf03c514ef312287c",
    ] {
        assert!(matches!(evm_receiver(text), Err(ReceiverError::Syntax(_))), "{text}");
    }
}

#[test]
fn an_amount_is_above_another_of_the_same_money() {
    let decimal = |text: &str| Decimal::parse(text).expect("an amount");
    for (one, other, is_above) in [
        ("0.06", "0.05", true),
        ("0.05", "0.050", false),
        ("10", "9", true),
        ("009.5", "9.45", true),
        ("0.5", "0.45", true),
        ("1", "1.0", false),
        ("2 EURC", "1", false),
        ("2 EURC", "1 EURC", true),
    ] {
        assert_eq!(decimal(one).is_above(&decimal(other)), is_above, "{one} {other}");
    }
}
