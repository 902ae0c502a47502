use alloy::sol_types::{Eip712Domain, SolStruct, eip712_domain};
use alloy_primitives::{Address, B256, Bytes, U256, address, b256, keccak256};
use proptest::prelude::*;
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};

use super::domain::{DOMAIN_TYPEHASH, TRANSFER_TYPEHASH};
use super::*;
use crate::{Object, Reason, UnixTime};

alloy::sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

const NOW: UnixTime = UnixTime(1_750_000_000);
const USDC_BASE: Address = address!("833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
const USDC_BASE_SEPOLIA: Address = address!("036CbD53842c5426634e7929541eC2318f3dCF7e");
const PAY_TO: Address = address!("209693Bc6afc0C5328bA36FaF03C514EF312287C");

fn payer() -> (SecretKey, Address) {
    let key = SecretKey::from_byte_array([7; 32]).expect("below the order");
    let public = key.public_key(SECP256K1).serialize_uncompressed();
    (key, Address::from_word(keccak256(&public[1..])))
}

fn authorization() -> Authorization {
    Authorization {
        from: payer().1,
        to: PAY_TO,
        value: U256::from(10_000),
        valid_after: U256::ZERO,
        valid_before: U256::from(NOW.0 + 60),
        nonce: B256::repeat_byte(0x5a),
    }
}

fn terms() -> ExpectedTerms {
    ExpectedTerms { pay_to: PAY_TO, amount: U256::from(10_000), max_timeout_seconds: 60, skew_seconds: 0 }
}

fn base_sepolia() -> Domain {
    Domain::new("USDC", "2", 84532, USDC_BASE_SEPOLIA)
}

/// A signature over `digest`, `v` 27 or 28.
fn sign(digest: B256) -> [u8; 65] {
    let message = Message::from_digest(digest.0);
    let signature = SECP256K1.sign_ecdsa_recoverable(message, &payer().0);
    let (id, compact) = signature.serialize_compact();
    let mut bytes = [0; 65];
    bytes[..64].copy_from_slice(&compact);
    bytes[64] = u8::try_from(i32::from(id)).expect("0 or 1") + 27;
    bytes
}

fn signed(signature: &[u8]) -> SignedBy {
    let payload = ExactPayload { signature: Bytes::copy_from_slice(signature), authorization: authorization() };
    signed_by(base_sepolia().digest(&payload.authorization), &payload)
}

/// `n - s`, with the other parity: the same signature as far as plain ECDSA is concerned.
fn with_high_s(signature: [u8; 65]) -> [u8; 65] {
    let order = U256::from_be_bytes(secp256k1::constants::CURVE_ORDER);
    let s = U256::from_be_slice(&signature[32..64]);
    let mut high = signature;
    high[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
    high[64] = 27 + 28 - signature[64];
    high
}

#[test]
fn type_hashes_are_those_of_the_standards() {
    assert_eq!(TRANSFER_TYPEHASH, keccak256(TransferWithAuthorization::eip712_encode_type().as_bytes()));
    assert_eq!(
        DOMAIN_TYPEHASH,
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    );
}

#[test]
fn domain_separators_are_those_of_the_deployed_tokens() {
    assert_eq!(
        Domain::new("USD Coin", "2", 8453, USDC_BASE).separator(),
        b256!("02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f")
    );
    assert_eq!(base_sepolia().separator(), b256!("71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818"));
}

#[test]
fn the_specification_s_own_example_is_signed_by_its_payer() {
    // Scheme `exact` on EVM, the example of a PaymentPayload.
    let example = include_str!("../golden/v2_payment_payload_exact_evm.json");
    let example: Value = serde_json::from_str(example).expect("golden");
    let payload = example["payload"].as_object().expect("golden");
    let payload = ExactPayload::parse(payload).expect("golden");
    assert_eq!(payload.signature.len(), 65);
    let digest = base_sepolia().digest(&payload.authorization);
    assert_eq!(signed_by(digest, &payload), SignedBy::Payer);
}

fn any_domain() -> impl Strategy<Value = (String, String, u64, [u8; 20])> {
    (".{0,40}", ".{0,8}", any::<u64>(), any::<[u8; 20]>())
}

proptest! {
    #[test]
    fn digests_equal_another_implementation_s(
        (name, version, chain_id, contract) in any_domain(),
        from: [u8; 20], to: [u8; 20], value: [u8; 32], after: [u8; 32], before: [u8; 32], nonce: [u8; 32],
    ) {
        let authorization = Authorization {
            from: from.into(),
            to: to.into(),
            value: U256::from_be_bytes(value),
            valid_after: U256::from_be_bytes(after),
            valid_before: U256::from_be_bytes(before),
            nonce: nonce.into(),
        };
        let message = TransferWithAuthorization {
            from: authorization.from,
            to: authorization.to,
            value: authorization.value,
            validAfter: authorization.valid_after,
            validBefore: authorization.valid_before,
            nonce: authorization.nonce,
        };
        let theirs: Eip712Domain = eip712_domain! {
            name: name.clone(),
            version: version.clone(),
            chain_id: chain_id,
            verifying_contract: Address::from(contract),
        };
        let ours = Domain::new(&name, &version, chain_id, contract.into());
        prop_assert_eq!(ours.separator(), theirs.separator());
        prop_assert_eq!(ours.digest(&authorization), message.eip712_signing_hash(&theirs));
    }

    #[test]
    fn whatever_the_payload_is_parsing_answers(payload in any_payload()) {
        if let Value::Object(payload) = payload {
            let _ = ExactPayload::parse(&payload);
        }
    }

    #[test]
    fn random_signatures_are_nobody_s(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(signed(&bytes), SignedBy::PerhapsContract);
    }
}

/// Payloads with the right keys, and values that are often nearly right.
fn any_payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9]{0,80}".prop_map(Value::from),
        "(0x|0X|)[0-9a-fA-F]{0,70}".prop_map(Value::from),
        ".{0,50}".prop_map(Value::from),
    ];
    let keys = prop::sample::select(vec![
        "signature",
        "authorization",
        "from",
        "to",
        "value",
        "validAfter",
        "validBefore",
        "nonce",
    ]);
    leaf.prop_recursive(3, 32, 8, move |inner| {
        prop::collection::vec((keys.clone(), inner), 0..8)
            .prop_map(|entries| entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Object>().into())
    })
}

#[test]
fn a_plain_signature_is_the_payer_s_with_every_v_that_wallets_write() {
    let signature = sign(base_sepolia().digest(&authorization()));
    assert_eq!(signed(&signature), SignedBy::Payer);
    let mut parity = signature;
    parity[64] -= 27;
    assert_eq!(signed(&parity), SignedBy::Payer);
    assert_eq!(split_signature(&parity), split_signature(&signature));
    assert_eq!(split_signature(&signature).map(|(v, ..)| v), Some(signature[64]));
}

#[test]
fn defective_signatures_are_never_the_payer_s() {
    let good = sign(base_sepolia().digest(&authorization()));
    let with_v = |v| {
        let mut bytes = good;
        bytes[64] = v;
        bytes.to_vec()
    };
    let zero = |range: std::ops::Range<usize>| {
        let mut bytes = good;
        bytes[range].fill(0);
        bytes.to_vec()
    };
    // EIP-2098: the parity in the top bit of s.
    let mut compact = good[..64].to_vec();
    compact[32] |= (good[64] - 27) << 7;

    let vectors = [
        ("high s", with_high_s(good).to_vec()),
        ("the other v", with_v(27 + 28 - good[64])),
        ("v 2", with_v(2)),
        ("v 26", with_v(26)),
        ("v 29", with_v(29)),
        ("v 31", with_v(31)),
        ("v 255", with_v(255)),
        ("zero r", zero(0..32)),
        ("zero s", zero(32..64)),
        ("all zero", vec![0; 65]),
        ("r of all ones", [vec![0xff; 32], good[32..].to_vec()].concat()),
        ("64 bytes, EIP-2098", compact),
        ("63 bytes", good[..63].to_vec()),
        ("66 bytes", [&good[..], &[0]].concat()),
        ("empty", Vec::new()),
    ];
    for (defect, bytes) in vectors {
        assert_eq!(signed(&bytes), SignedBy::PerhapsContract, "{defect}");
    }
}

#[test]
fn a_high_s_signature_is_refused_for_its_s_alone() {
    // Plain ECDSA recovers the payer from it: without the rule it would pass here and revert on chain.
    let digest = base_sepolia().digest(&authorization());
    let high = with_high_s(sign(digest));
    let id = secp256k1::ecdsa::RecoveryId::try_from(i32::from(high[64]) - 27).expect("0 or 1");
    let signature = secp256k1::ecdsa::RecoverableSignature::from_compact(&high[..64], id).expect("in range");
    let key = signature.recover(Message::from_digest(digest.0)).expect("recovers");
    let signer = Address::from_word(keccak256(&key.serialize_uncompressed()[1..]));
    assert_eq!(signer, payer().1);
    assert_eq!(signed(&high), SignedBy::PerhapsContract);
}

#[test]
fn a_signature_holds_for_one_domain_and_one_authorization_only() {
    let authorization = authorization();
    let signature = sign(base_sepolia().digest(&authorization));
    let by = |domain: Domain, authorization: Authorization| {
        let digest = domain.digest(&authorization);
        let payload = ExactPayload { signature: signature.into(), authorization };
        signed_by(digest, &payload)
    };
    assert_eq!(by(base_sepolia(), authorization.clone()), SignedBy::Payer);

    let domains = [
        Domain::new("USDC", "2", 8453, USDC_BASE_SEPOLIA),
        Domain::new("USD Coin", "2", 84532, USDC_BASE_SEPOLIA),
        Domain::new("USDC", "1", 84532, USDC_BASE_SEPOLIA),
        Domain::new("USDC", "2", 84532, USDC_BASE),
    ];
    for domain in domains {
        assert_eq!(by(domain, authorization.clone()), SignedBy::PerhapsContract);
    }

    type Mutation = fn(&mut Authorization);
    let mutations: [Mutation; 6] = [
        |a| a.from = PAY_TO,
        |a| a.to = USDC_BASE,
        |a| a.value += U256::ONE,
        |a| a.valid_after += U256::ONE,
        |a| a.valid_before += U256::ONE,
        |a| a.nonce.0[31] ^= 1,
    ];
    for mutate in mutations {
        let mut other = authorization.clone();
        mutate(&mut other);
        assert_eq!(by(base_sepolia(), other), SignedBy::PerhapsContract);
    }
}

#[test]
fn the_window_has_sharp_edges() {
    let max = 60;
    #[track_caller]
    fn check(after: U256, before: U256, skew: u64, expected: Result<(), Reason>) {
        let authorization = Authorization { valid_after: after, valid_before: before, ..authorization() };
        let terms = ExpectedTerms { skew_seconds: skew, ..terms() };
        assert_eq!(authorization.check(&terms, NOW), expected);
    }
    let at = |offset: i64| U256::from(NOW.0.checked_add_signed(offset).expect("in range"));
    let (ok, before, after) = (Ok(()), Err(Reason::ValidBefore), Err(Reason::ValidAfter));

    // The end: six seconds must be left, and no more than was asked for.
    check(U256::ZERO, at(-1), 0, before);
    check(U256::ZERO, at(0), 0, before);
    check(U256::ZERO, at(5), 0, before);
    check(U256::ZERO, at(6), 0, ok);
    check(U256::ZERO, at(7), 0, ok);
    check(U256::ZERO, at(max), 0, ok);
    check(U256::ZERO, at(max + 1), 0, before);
    check(U256::ZERO, at(max + 30), 30, ok);
    check(U256::ZERO, at(max + 31), 30, before);
    check(U256::ZERO, at(31_536_000), 30, before);
    check(U256::ZERO, U256::from(u64::MAX), 30, before);
    check(U256::ZERO, U256::MAX, 30, before);
    check(U256::ZERO, U256::ZERO, 30, before);
    // The skew is no excuse for being late: the chain would not know it.
    check(U256::ZERO, at(5), 30, before);
    // The start: exclusive, as in the contract.
    check(at(-600), at(max), 0, ok);
    check(at(-1), at(max), 0, ok);
    check(at(0), at(max), 0, after);
    check(at(1), at(max), 0, after);
    check(at(29), at(max), 30, ok);
    check(at(30), at(max), 30, after);
    check(U256::MAX, at(max), 30, after);
}

#[test]
fn a_window_at_the_end_of_64_bits_does_not_overflow() {
    let terms = ExpectedTerms { max_timeout_seconds: u64::MAX, skew_seconds: u64::MAX, ..terms() };
    let forever = Authorization { valid_before: U256::MAX, ..authorization() };
    assert_eq!(forever.check(&terms, UnixTime(u64::MAX)), Err(Reason::ValidBefore));
    assert!(forever.outlives(UnixTime(u64::MAX)));
    let edge = Authorization { valid_before: U256::from(u64::MAX), ..authorization() };
    assert_eq!(edge.check(&terms, UnixTime(u64::MAX)), Ok(()));
}

#[test]
fn an_authorization_must_outlive_the_work_it_pays_for() {
    let authorization = authorization();
    assert!(authorization.outlives(NOW.plus(54)));
    assert!(!authorization.outlives(NOW.plus(55)));
}

#[test]
fn recipient_and_amount_are_exact() {
    let other = Authorization { to: USDC_BASE, ..authorization() };
    assert_eq!(other.check(&terms(), NOW), Err(Reason::RecipientMismatch));
    for value in [0, 9_999, 10_001] {
        let value = U256::from(value);
        let other = Authorization { value, ..authorization() };
        assert_eq!(other.check(&terms(), NOW), Err(Reason::ValueMismatch));
    }
    let other = Authorization { value: U256::MAX, ..authorization() };
    assert_eq!(other.check(&terms(), NOW), Err(Reason::ValueMismatch));
    assert_eq!(authorization().check(&terms(), NOW), Ok(()));
}

#[test]
fn version_1_has_its_own_word_for_a_wrong_amount() {
    use crate::Version;
    assert_eq!(Reason::ValueMismatch.in_version(Version::V1), Reason::Value);
    assert_eq!(Reason::ValueMismatch.in_version(Version::V2), Reason::ValueMismatch);
    assert_eq!(Reason::ValidBefore.in_version(Version::V1), Reason::ValidBefore);
}

fn payload() -> Value {
    json!({
        "signature": "0x00",
        "authorization": {
            "from": "0x857b06519E91e3A54538791bDbb0E22373e36b66",
            "to": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "value": "10000",
            "validAfter": "0",
            "validBefore": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
            "nonce": "0xf3746613c2d920b5fdabc0856f2aeb2d4f88ee6037b8cc5d04a71a4462f13480"
        }
    })
}

fn parse(payload: &Value) -> Result<ExactPayload, Reason> {
    ExactPayload::parse(payload.as_object().expect("an object"))
}

#[test]
fn a_payload_is_read_field_by_field() {
    let read = parse(&payload()).expect("well-formed");
    assert_eq!(read.authorization.valid_before, U256::MAX);
    assert_eq!(read.authorization.value, U256::from(10_000));
    assert_eq!(read.authorization.to, PAY_TO);
    assert_eq!(read.signature.as_ref(), [0]);

    let mut more = payload();
    more["authorization"]["further"] = json!({});
    assert_eq!(parse(&more), Ok(read));
}

#[test]
fn each_malformed_field_is_an_invalid_payload() {
    let numbers = [
        json!(null),
        json!(10000),
        json!(1.5),
        json!([]),
        json!(""),
        json!(" 1"),
        json!("1 "),
        json!("+1"),
        json!("-1"),
        json!("010"),
        json!("00"),
        json!("0x10"),
        json!("1e4"),
        json!("1_000"),
        json!("1.0"),
        json!("\u{661}"),
        // 2^256
        json!("115792089237316195423570985008687907853269984665640564039457584007913129639936"),
        json!("9".repeat(200)),
    ];
    for field in ["value", "validAfter", "validBefore"] {
        for bad in &numbers {
            let mut payload = payload();
            payload["authorization"][field] = bad.clone();
            assert_eq!(parse(&payload), Err(Reason::InvalidPayload), "{field} {bad}");
        }
    }
    let digits = |n| "1".repeat(n);
    for (field, n) in [("from", 40), ("to", 40), ("nonce", 64)] {
        let bad = [
            json!(null),
            json!(1),
            json!(""),
            json!("0x"),
            json!(digits(n)),
            json!(format!("0X{}", digits(n))),
            json!(format!("0x{}", digits(n - 1))),
            json!(format!("0x{}", digits(n - 2))),
            json!(format!("0x{}", digits(n + 2))),
            json!(format!("0x0x{}", digits(n - 2))),
            json!(format!("0x{}g", digits(n - 1))),
            json!(format!(" 0x{}", digits(n))),
        ];
        for bad in bad {
            let mut payload = payload();
            payload["authorization"][field] = bad.clone();
            assert_eq!(parse(&payload), Err(Reason::InvalidPayload), "{field} {bad}");
        }
    }
    for bad in [json!(null), json!(1), json!(""), json!("00"), json!("0x0"), json!("0xzz")] {
        let mut payload = payload();
        payload["signature"] = bad.clone();
        assert_eq!(parse(&payload), Err(Reason::InvalidPayload), "signature {bad}");
    }
    for bad in [json!(null), json!([]), json!("0x"), json!({})] {
        assert_eq!(parse(&json!({"signature": "0x00", "authorization": bad})), Err(Reason::InvalidPayload));
    }
    assert_eq!(parse(&json!({})), Err(Reason::InvalidPayload));
}

#[test]
fn another_transfer_method_is_named_as_such() {
    let permit2 = json!({"signature": "0x00", "permit2Authorization": {}});
    assert_eq!(parse(&permit2), Err(Reason::UnsupportedPayloadType));
    let erc7710 = json!({"delegationManager": "0x", "permissionContext": "0x", "delegator": "0x"});
    assert_eq!(parse(&erc7710), Err(Reason::UnsupportedPayloadType));
}

#[test]
fn an_undeployed_wallet_is_recognised_by_its_suffix() {
    let suffix = [0x64, 0x92].repeat(16);
    assert!(is_counterfactual(&suffix));
    assert!(is_counterfactual(&[&[1; 100][..], &suffix].concat()));
    assert!(!is_counterfactual(&suffix[1..]));
    assert!(!is_counterfactual(&sign(B256::ZERO)));
    assert!(!is_counterfactual(&[]));
}
