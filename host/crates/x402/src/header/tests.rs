use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::identifier;

fn v2_payment() -> Value {
    json!({
        "x402Version": 2,
        "accepted": {"scheme": "exact", "network": "eip155:84532", "amount": "10000"},
        "payload": {"signature": "0x00", "authorization": {}}
    })
}

fn v1_payment() -> Value {
    json!({"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": {}})
}

fn base64(document: &Value) -> String {
    STANDARD.encode(document.to_string())
}

fn decode_v2(document: &str) -> Result<PaymentPayload, HeaderError> {
    decode(Version::V2, STANDARD.encode(document).as_bytes())
}

#[track_caller]
fn check_not_payload(document: &str, expected: &str) {
    let error = decode_v2(document).expect_err(document);
    assert_eq!(error, HeaderError::NotPayload(expected.to_owned()));
}

#[test]
fn what_is_encoded_is_padded_standard_base64() {
    // Every remainder by three, so that all paddings occur.
    for text in ["", "a", "ab", "abc", "\u{20ac}\u{20ac}?>"] {
        let document = json!({ "description": text });
        let encoded = encode(&document);
        assert_eq!(encoded.len() % 4, 0);
        assert_eq!(STANDARD.decode(&encoded).expect("standard"), document.to_string().as_bytes());
    }
}

#[test]
fn each_version_is_read_from_its_own_header() {
    let (v1, v2) = (base64(&v1_payment()), base64(&v2_payment()));
    let read = |signatures: &[&str], legacy: &[&str]| {
        let legacy = legacy.iter().map(|value| value.as_bytes());
        payment(signatures.iter().map(|value| value.as_bytes()), legacy, [].into_iter())
    };
    assert_eq!(read(&[], &[]), Ok(None));
    assert!(matches!(read(&[&v2], &[]), Ok(Some(PaymentPayload::V2(_)))));
    assert!(matches!(read(&[], &[&v1]), Ok(Some(PaymentPayload::V1(_)))));
    let found = |found: &str| Err(HeaderError::Version { found: found.to_owned() });
    assert_eq!(read(&[&v1], &[]), found("1"));
    assert_eq!(read(&[], &[&v2]), found("2"));
}

#[test]
fn two_payments_in_one_request_are_refused_whatever_they_are() {
    let (v1, v2) = (base64(&v1_payment()), base64(&v2_payment()));
    let (v1, v2) = (v1.as_bytes(), v2.as_bytes());
    type Values<'h> = &'h [&'h [u8]];
    let cases: &[(Values<'_>, Values<'_>)] = &[
        (&[v2], &[v1]),
        (&[v2, v2], &[]),
        (&[v2, b""], &[]),
        (&[], &[v1, v1]),
        (&[v2, v2], &[v1]),
        (&[v2], &[b"junk"]),
        (&[b""], &[b""]),
    ];
    for (signatures, legacy) in cases {
        let read = payment(signatures.iter().copied(), legacy.iter().copied(), [].into_iter());
        assert_eq!(read, Err(HeaderError::Ambiguous));
    }
    for separator in [",", ", "] {
        let joined = [v2, separator.as_bytes(), v2].concat();
        assert_eq!(payment([&joined[..]].into_iter(), [].into_iter(), [].into_iter()), Err(HeaderError::Ambiguous));
    }
}

#[test]
fn a_payment_of_another_protocol_is_one_too_many() {
    let v2 = base64(&v2_payment());
    let read = |signatures: &[&str], authorization: &str| {
        let signatures = signatures.iter().map(|value| value.as_bytes());
        payment(signatures, [].into_iter(), [authorization.as_bytes()].into_iter())
    };
    for authorization in
        ["Payment abc", "payment abc", "Payment", "Bearer abc, Payment abc", "Basic YTpi,PAYMENT id=\"x\""]
    {
        assert_eq!(read(&[&v2], authorization), Err(HeaderError::OtherProtocol), "{authorization}");
        assert_eq!(read(&[], authorization), Ok(None), "{authorization}");
    }
    for authorization in ["Bearer Payment", "Basic YTpi", "Payments abc", "PaymentToken abc", ""] {
        assert!(matches!(read(&[&v2], authorization), Ok(Some(_))), "{authorization}");
    }
}

#[test]
fn padding_may_be_missing_and_nothing_else() {
    let mut document = v2_payment();
    for filler in ["", "x", "xx"] {
        document["resource"] = json!({ "url": filler });
        let padded = base64(&document);
        let bare = STANDARD_NO_PAD.encode(document.to_string());
        assert!(decode(Version::V2, padded.as_bytes()).is_ok());
        assert!(decode(Version::V2, bare.as_bytes()).is_ok());
        for spoiled in [
            format!(" {padded}"),
            format!("{padded} "),
            format!("{padded}\n"),
            format!("{padded}===="),
            format!("={padded}"),
            format!("{}\r\n{}", &padded[..40], &padded[40..]),
            format!("Bearer {padded}"),
            padded.replace('e', "\u{e9}"),
        ] {
            assert_eq!(decode(Version::V2, spoiled.as_bytes()), Err(HeaderError::NotBase64), "{spoiled}");
        }
    }
}

#[test]
fn base64url_is_refused() {
    let mut document = v2_payment();
    document["resource"] = json!({"url": "???>>>"});
    let text = document.to_string();
    let url_safe = URL_SAFE.encode(&text);
    assert!(url_safe.contains(['-', '_']), "the test needs a character that differs");
    assert_eq!(decode(Version::V2, url_safe.as_bytes()), Err(HeaderError::NotBase64));
    let url_safe = URL_SAFE_NO_PAD.encode(&text);
    assert_eq!(decode(Version::V2, url_safe.as_bytes()), Err(HeaderError::NotBase64));
}

#[test]
fn raw_json_is_not_mistaken_for_joined_headers() {
    let raw = v2_payment().to_string();
    assert!(raw.contains(','));
    assert_eq!(decode(Version::V2, raw.as_bytes()), Err(HeaderError::NotBase64));
}

#[test]
fn size_is_judged_before_content() {
    let longest = vec![b'A'; MAX_PAYMENT_HEADER];
    assert!(matches!(decode(Version::V2, &longest), Err(HeaderError::NotPayload(_))));
    let longer = vec![b'!'; MAX_PAYMENT_HEADER + 1];
    let expected = HeaderError::TooLarge(MAX_PAYMENT_HEADER + 1);
    assert_eq!(decode(Version::V2, &longer), Err(expected));
}

#[test]
fn a_transaction_hash_is_recognised() {
    let hash = "1234567890abcdef1234567890ABCDEF1234567890abcdef1234567890abcdef";
    let solana = "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW";
    for value in [hash.to_owned(), format!("0x{hash}"), solana.to_owned()] {
        assert_eq!(decode(Version::V2, value.as_bytes()), Err(HeaderError::TransactionHash), "{value}");
        assert_eq!(decode(Version::V1, value.as_bytes()), Err(HeaderError::TransactionHash), "{value}");
    }
}

#[test]
fn the_shape_is_checked_and_named() {
    check_not_payload("", "it is empty");
    check_not_payload("  ", "it is empty");
    check_not_payload("[]", "it is JSON, but not an object");
    check_not_payload("\"text\"", "it is JSON, but not an object");
    check_not_payload("null", "it is JSON, but not an object");
    check_not_payload("{}", "`x402Version` is missing");
    check_not_payload(r#"{"x402Version":2}"#, "`payload` is missing");
    check_not_payload(r#"{"x402Version":2,"payload":null}"#, "`payload` is null, not an object");
    check_not_payload(r#"{"x402Version":2,"payload":{}}"#, "`accepted` is missing");
    check_not_payload(r#"{"x402Version":2,"payload":{},"accepted":[]}"#, "`accepted` is an array, not an object");
    check_not_payload(
        r#"{"x402Version":2,"payload":{},"accepted":{},"extensions":1}"#,
        "`extensions` is not an object",
    );
    check_not_payload("{} {}", "it is not JSON, from line 1 column 4 on");
    check_not_payload("{\"a\":", "it is not JSON, from line 1 column 5 on");
    check_not_payload("hello", "it is not JSON, from line 1 column 1 on");
    let not_text = STANDARD.encode([b'{', 0xff, b'}']);
    assert_eq!(decode(Version::V2, not_text.as_bytes()), Err(HeaderError::NotPayload("it is not UTF-8".to_owned())));
    let v1 = STANDARD.encode(r#"{"x402Version":1,"payload":{},"scheme":"exact","network":1}"#);
    assert_eq!(
        decode(Version::V1, v1.as_bytes()),
        Err(HeaderError::NotPayload("`network` is a number, not a string".to_owned()))
    );
}

#[test]
fn the_version_is_a_number_that_we_speak() {
    for (version, found) in [
        ("3", "3"),
        ("0", "0"),
        ("-2", "-2"),
        ("2.5", "2.5"),
        ("2.0", "2.0"),
        ("\"2\"", "as a string"),
        ("null", "as null"),
        ("[2]", "as an array"),
        ("18446744073709551616", "1.8446744073709552e+19"),
    ] {
        let error = decode_v2(&format!(r#"{{"x402Version":{version}}}"#)).expect_err(version);
        assert_eq!(error, HeaderError::Version { found: found.to_owned() });
        assert_eq!(error.reason(), Reason::InvalidX402Version);
    }
}

#[test]
fn nulls_of_optional_fields_are_absent_fields() {
    let read = decode_v2(r#"{"x402Version":2,"resource":null,"payload":{},"accepted":{},"extensions":null}"#);
    let Ok(PaymentPayload::V2(read)) = read else { panic!("{read:?}") };
    assert_eq!((read.resource, read.extensions), (None, None));
}

#[test]
fn duplicate_keys_are_refused_at_every_level() {
    let suffix = |column| format!(" at line 1 column {column}");
    for (document, key, column) in [
        (r#"{"x402Version":2,"x402Version":2}"#, "x402Version", 30),
        (r#"{"payload":{"a":1,"b":2,"a":1}}"#, "a", 27),
        (r#"{"payload":[[{"a":1,"\u0061":1}]]}"#, "a", 28),
        // A key that would break a log line is shown escaped.
        (r#"{"\n":1,"\n":1}"#, "\\n", 12),
    ] {
        check_not_payload(document, &format!("the key `{key}` occurs twice{}", suffix(column)));
    }
    let long = "k".repeat(500);
    let error = decode_v2(&format!(r#"{{"{long}":1,"{long}":1}}"#)).expect_err("twice");
    assert!(error.to_string().len() < 160, "{error}");
}

#[test]
fn depth_is_capped() {
    let nested = |depth: usize| {
        let inner = "[".repeat(depth - 2) + &"]".repeat(depth - 2);
        format!(r#"{{"x402Version":2,"accepted":{{}},"payload":{{"a":{inner}}}}}"#)
    };
    let depth = usize::from(MAX_DEPTH);
    assert!(decode_v2(&nested(depth)).is_ok());
    let error = decode_v2(&nested(depth + 1)).expect_err("too deep");
    assert!(error.to_string().contains("deeper than 32 levels"), "{error}");
    assert!(decode_v2(&"[".repeat(8_000)).is_err());
    assert!(decode_v2(&"{\"a\":".repeat(2_000)).is_err());
}

#[test]
fn refusals_never_repeat_what_the_payload_holds() {
    let secret = "s3cr3t";
    for document in [
        json!({"x402Version": secret}),
        json!({"x402Version": 2, "payload": secret}),
        json!({"x402Version": 2, "payload": {}, "accepted": secret}),
        json!({"x402Version": 2, "payload": {}, "accepted": {}, "extensions": [secret]}),
        json!([secret]),
        json!(secret),
    ] {
        let error = decode_v2(&document.to_string()).expect_err("refused").to_string();
        assert!(!error.contains(secret) && error.is_ascii(), "{error}");
    }
    let broken = format!(r#"{{"signature": {secret}}}"#);
    assert!(!decode_v2(&broken).expect_err("refused").to_string().contains(secret));
}

/// JSON of any shape, under the keys that payments have.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(2)),
        Just(json!(1)),
        ".{0,20}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("x402Version".to_owned()),
        Just("payload".to_owned()),
        Just("accepted".to_owned()),
        Just("scheme".to_owned()),
        Just("network".to_owned()),
        ".{0,5}",
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| entries.into_iter().collect::<Object>().into()),
        ]
    })
}

/// The value of a payment header: a payment, one that is cut, or anything.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(base64(&v2_payment()).into_bytes()),
        Just(base64(&v1_payment()).into_bytes()),
        any::<prop::sample::Index>().prop_map(|at| {
            let whole = base64(&v2_payment()).into_bytes();
            whole[..at.index(whole.len())].to_vec()
        }),
        any_json().prop_map(|document| base64(&document).into_bytes()),
        prop::collection::vec(any::<u8>(), 0..100),
    ]
}

fn any_authorization() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "Bearer token",
        "Basic dTpw",
        "Payment id=\"1\"",
        "payment id=\"1\"",
        "Basic dTpw, Payment id=\"1\"",
        "Paymentx y",
        "",
    ])
    .prop_map(str::to_owned)
}

/// What could stand under `payment-identifier`.
fn any_extension() -> impl Strategy<Value = Value> {
    let id = prop_oneof![
        3 => "[A-Za-z0-9_-]{14,18}".prop_map(Value::from),
        1 => "[A-Za-z0-9_-]{126,130}".prop_map(Value::from),
        2 => ".{0,40}".prop_map(Value::from),
        1 => any_json(),
    ];
    prop_oneof![4 => id.prop_map(|id| json!({ "info": { "required": false, "id": id } })), 1 => any_json()]
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_decoding_answers(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for version in [Version::V1, Version::V2] {
            let _ = decode(version, &bytes);
            let _ = decode(version, STANDARD.encode(&bytes).as_bytes());
        }
    }

    #[test]
    fn whatever_the_json_is_decoding_answers(document in any_json()) {
        for version in [Version::V1, Version::V2] {
            match decode(version, base64(&document).as_bytes()) {
                Ok(PaymentPayload::V1(read)) => prop_assert_eq!(
                    &document["payload"], &Value::from(read.payload)
                ),
                Ok(PaymentPayload::V2(read)) => prop_assert_eq!(
                    &document["payload"], &Value::from(read.payload)
                ),
                Err(error) => prop_assert!(error.to_string().len() < 300),
            }
        }
    }

    #[test]
    fn strict_reading_of_json_reads_what_lenient_reading_reads(document in any_json()) {
        let text = document.to_string();
        let Ok(lenient) = serde_json::from_str::<Value>(&text) else { return Ok(()) };
        match json::object(text.as_bytes()) {
            Ok(read) => prop_assert_eq!(Value::from(read), lenient),
            Err(error) => prop_assert_eq!(error, json::ObjectError::NotObject),
        }
    }

    #[test]
    fn base64url_is_never_accepted(filler in "[?>~]{1,40}") {
        let mut document = v2_payment();
        document["resource"] = json!({ "url": filler });
        let text = document.to_string();
        for encoded in [URL_SAFE.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            if encoded.contains(['-', '_']) {
                prop_assert_eq!(decode(Version::V2, encoded.as_bytes()), Err(HeaderError::NotBase64));
            }
        }
    }

    #[test]
    fn what_we_encode_we_decode(text in ".{0,60}") {
        let mut document = v2_payment();
        document["resource"] = json!({ "url": text });
        let read = decode(Version::V2, encode(&document).as_bytes());
        let Ok(PaymentPayload::V2(read)) = read else { return Err(TestCaseError::fail("refused")) };
        // Key order does not count in equality.
        prop_assert_eq!(serde_json::to_value(&read).expect("plain"), document);
    }

    #[test]
    fn whatever_the_headers_are_one_payment_is_read_or_none(
        signatures in prop::collection::vec(any_value(), 0..3),
        legacy in prop::collection::vec(any_value(), 0..3),
        authorizations in prop::collection::vec(any_authorization(), 0..3),
    ) {
        let found = payment(
            signatures.iter().map(Vec::as_slice),
            legacy.iter().map(Vec::as_slice),
            authorizations.iter().map(|value| value.as_bytes()),
        );
        let expected = match (signatures.as_slice(), legacy.as_slice()) {
            ([], []) => Ok(None),
            ([_], []) | ([], [_]) if authorizations.iter().any(|value| value.contains("ayment ")) => {
                Err(HeaderError::OtherProtocol)
            }
            ([value], []) => decode(Version::V2, value).map(Some),
            ([], [value]) => decode(Version::V1, value).map(Some),
            _ => Err(HeaderError::Ambiguous),
        };
        prop_assert_eq!(found, expected);
    }

    /// One byte more, less or other, of the JSON or of its Base64, in either header.
    #[test]
    fn whatever_is_done_to_a_payment_it_is_read_or_refused(
        which in any::<bool>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        how in 0..3,
        outside in any::<bool>(),
    ) {
        let edit = |mut bytes: Vec<u8>| {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
            bytes
        };
        let document = if which { v2_payment() } else { v1_payment() };
        let json = document.to_string().into_bytes();
        let (value, json) = if outside {
            (edit(STANDARD.encode(&json).into_bytes()), None)
        } else {
            let json = edit(json);
            (STANDARD.encode(&json).into_bytes(), Some(json))
        };
        for version in [Version::V1, Version::V2] {
            let read = decode(version, &value);
            prop_assert!(read.is_err() || (version == Version::V2) == which, "{:?}", read);
            if let (Ok(_), Some(json)) = (read, &json) {
                let strict = std::str::from_utf8(json).is_ok_and(|text| serde_json::from_str::<Value>(text).is_ok());
                prop_assert!(strict, "{}", String::from_utf8_lossy(json));
            }
        }
    }

    #[test]
    fn whatever_the_extension_is_it_names_a_purchase_or_not(
        extension in any_extension(),
    ) {
        let mut document = v2_payment();
        document["extensions"] = json!({ "payment-identifier": extension });
        let Ok(PaymentPayload::V2(read)) = decode(Version::V2, base64(&document).as_bytes()) else {
            return Err(TestCaseError::fail("refused"));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        match (identifier::of(&read), &extension["info"]["id"]) {
            (Ok(None), said) => prop_assert!(said.is_null()),
            (Ok(Some(id)), said) => {
                prop_assert_eq!(said, id);
                prop_assert!((16..=128).contains(&id.chars().count()) && id.chars().all(plain));
            }
            (Err(_), Value::String(said)) => {
                prop_assert!(!(16..=128).contains(&said.len()) || !said.chars().all(plain));
            }
            (Err(_), said) => prop_assert!(!said.is_null()),
        }
    }
}
