use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::Object;

const NOW: UnixTime = UnixTime(1_767_225_600);
const ORIGIN: &str = "https://api.example.com";
const DOMAIN: &str = "api.example.com";

fn networks() -> Vec<Network> {
    vec![Network::eip155(8453), Network::eip155(84532)]
}

fn signer() -> PrivateKeySigner {
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d".parse().expect("a key")
}

/// The proof of a client that signs what a challenge of [`NOW`] asks for, with changes of the document before it is
/// signed.
fn proof(change: impl FnOnce(&mut Value)) -> Value {
    let challenge = SignInChallenge {
        domain: DOMAIN,
        uri: "https://api.example.com/api/x",
        statement: "Use free requests.",
        nonce: "00112233445566778899aabbccddeeff",
        issued_at: NOW,
        networks: &networks(),
    };
    let mut document = challenge.advertised()["info"].clone();
    document["address"] = signer().address().to_checksum(None).into();
    document["chainId"] = "eip155:8453".into();
    document["type"] = "eip191".into();
    document["signature"] = "0x00".into();
    change(&mut document);
    if let Ok(unsigned) = parse(&document) {
        let signature =
            signer().sign_message_sync(unsigned.fields.message(&unsigned.network).as_bytes()).expect("a signature");
        document["signature"] = alloy::primitives::hex::encode_prefixed(signature.as_bytes()).into();
    }
    document
}

fn parse(document: &Value) -> Result<SignInProof, SignInError> {
    SignInProof::parse(STANDARD.encode(document.to_string()).as_bytes())
}

/// The text that the library `siwe` makes of the same fields, with and without the optional ones. Source: EIP-4361.
#[test]
fn the_signed_text_is_that_of_eip_4361() {
    let whole = parse(&proof(|document| {
        document["notBefore"] = "2026-01-01T00:00:00.000Z".into();
        document["requestId"] = "7".into();
        document["resources"] = json!(["https://api.example.com/api/x", "https://api.example.com/terms"]);
    }))
    .expect("a proof");
    assert_eq!(
        whole.fields.message(&whole.network),
        "api.example.com wants you to sign in with your Ethereum account:\n\
         0x70997970C51812dc3A010C7d01b50e0d17dc79C8\n\n\
         Use free requests.\n\n\
         URI: https://api.example.com/api/x\nVersion: 1\nChain ID: 8453\nNonce: 00112233445566778899aabbccddeeff\n\
         Issued At: 2026-01-01T00:00:00.000Z\nExpiration Time: 2026-01-01T00:05:00.000Z\n\
         Not Before: 2026-01-01T00:00:00.000Z\nRequest ID: 7\nResources:\n\
         - https://api.example.com/api/x\n- https://api.example.com/terms"
    );
    let bare = parse(&proof(|document| {
        let fields = document.as_object_mut().expect("an object");
        fields.remove("statement");
        fields.remove("expirationTime");
    }))
    .expect("a proof");
    assert_eq!(
        bare.fields.message(&bare.network),
        "api.example.com wants you to sign in with your Ethereum account:\n\
         0x70997970C51812dc3A010C7d01b50e0d17dc79C8\n\n\n\
         URI: https://api.example.com/api/x\nVersion: 1\nChain ID: 8453\nNonce: 00112233445566778899aabbccddeeff\n\
         Issued At: 2026-01-01T00:00:00.000Z"
    );
}

#[test]
fn a_proof_counts_for_its_own_domain_origin_chain_and_time() {
    let checked =
        |now: UnixTime, change: fn(&mut Value)| parse(&proof(change))?.check(DOMAIN, ORIGIN, &networks(), now);
    assert_eq!(checked(NOW, |_| ()), Ok(()));
    for (now, change, expected) in [
        (NOW, (|d| d["domain"] = "evil.example".into()) as fn(&mut Value), SignInError::Domain),
        (NOW, |d| d["domain"] = "api.example.com:8443".into(), SignInError::Domain),
        (NOW, |d| d["uri"] = "https://evil.example/api/x".into(), SignInError::Uri),
        (NOW, |d| d["uri"] = "https://api.example.com.evil.example/".into(), SignInError::Uri),
        (NOW, |d| d["uri"] = "http://api.example.com/".into(), SignInError::Uri),
        (NOW, |d| d["version"] = "2".into(), SignInError::Version),
        (NOW, |d| d["chainId"] = "eip155:1".into(), SignInError::Chain),
        (NOW, |d| d["chainId"] = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".into(), SignInError::Chain),
        (NOW, |d| d["type"] = "ed25519".into(), SignInError::Chain),
        (NOW, |d| d["issuedAt"] = "yesterday".into(), SignInError::IssuedAt),
        (UnixTime(NOW.0 - 31), |_| (), SignInError::InFuture),
        (NOW.plus(MAX_AGE), |_| (), SignInError::TooOld),
        (NOW, |d| d["expirationTime"] = "2026-01-01T00:00:00.000Z".into(), SignInError::Expired),
        (NOW, |d| d["expirationTime"] = "soon".into(), SignInError::ExpirationTime),
        (NOW, |d| d["notBefore"] = "2026-01-01T00:01:00.000Z".into(), SignInError::NotYetValid),
        (NOW, |d| d["notBefore"] = "now".into(), SignInError::NotBefore),
        (NOW, |d| d["statement"] = "a\nURI: https://evil.example".into(), SignInError::Malformed),
        (NOW, |d| d["address"] = "0x1".into(), SignInError::Malformed),
        (NOW, |d| drop(d.as_object_mut().expect("an object").remove("nonce")), SignInError::Malformed),
    ] {
        assert_eq!(checked(now, change), Err(expected), "{expected}");
    }
    assert_eq!(checked(NOW.plus(MAX_AGE - 1), |_| ()), Ok(()), "the end of its time is exclusive");
    assert_eq!(checked(UnixTime(NOW.0 - 30), |_| ()), Ok(()), "clocks of hosts differ a little");
}

#[test]
fn only_the_key_of_the_address_signs_and_every_signed_field_counts() {
    let document = proof(|_| ());
    assert_eq!(parse(&document).expect("a proof").signed_by(), ProvenBy::Key);
    for (field, value) in [
        ("address", "0x0000000000000000000000000000000000000001"),
        ("nonce", "ffffffffffffffffffffffffffffffff"),
        ("uri", "https://api.example.com/api/y"),
        ("statement", "Give me all your money."),
        ("chainId", "eip155:84532"),
        ("issuedAt", "2026-01-01T00:00:01.000Z"),
    ] {
        let mut altered = document.clone();
        altered[field] = value.into();
        assert_eq!(parse(&altered).expect("a proof").signed_by(), ProvenBy::PerhapsContract, "{field}");
    }
}

#[test]
fn what_is_no_proof_is_refused_without_a_panic() {
    let large = "A".repeat(MAX_HEADER + 1);
    assert_eq!(SignInProof::parse(large.as_bytes()), Err(SignInError::TooLarge));
    for bytes in [&b""[..], b"\xff\xfe", b"e30=", b"W10=", b"bnVsbA==", b"eyJhIjoxLCJhIjoyfQ=="] {
        assert_eq!(SignInProof::parse(bytes), Err(SignInError::Malformed), "{bytes:?}");
    }
}

/// A challenge as a client reads it, after a change of the whole extension.
fn request(change: impl FnOnce(&mut Value)) -> Option<SignInRequest> {
    let challenge = SignInChallenge {
        domain: DOMAIN,
        uri: "https://api.example.com/api/x",
        statement: "Use free requests.",
        nonce: "00112233445566778899aabbccddeeff",
        issued_at: NOW,
        networks: &networks(),
    };
    let mut extension = challenge.advertised();
    change(&mut extension);
    let network = networks().pop().expect("one of them");
    SignInRequest::read(&Object::from_iter([(KEY.to_owned(), extension)]), &network)
}

#[test]
fn the_answer_to_a_challenge_is_a_proof_of_the_key_that_signed() {
    let asked = request(|extension| extension["info"]["resources"] = json!(["https://api.example.com/terms"]));
    let sign = |hash| signer().sign_hash_sync(&hash).map(|signature| signature.as_bytes().into());
    let answer = asked.expect("a request").answer(signer().address(), sign).expect("signed");
    let proof = parse(&Value::Object(answer.clone())).expect("a proof");
    assert_eq!(proof.check(DOMAIN, ORIGIN, &networks(), NOW), Ok(()));
    assert_eq!((proof.signed_by(), proof.address()), (ProvenBy::Key, signer().address()));
    assert!(!answer.contains_key("notBefore"), "a field that was not asked for is not sent");
}

/// A server that passes on the challenge of another one would get a proof that counts there.
#[test]
fn a_client_signs_for_the_server_that_it_asked_alone() {
    let asked = request(|_| ()).expect("a request");
    assert!(asked.is_from(DOMAIN, ORIGIN));
    for (domain, origin) in [
        ("evil.example", "https://evil.example"),
        ("api.example.com:8443", "https://api.example.com:8443"),
        (DOMAIN, "http://api.example.com"),
        (DOMAIN, "https://api.example.co"),
    ] {
        assert!(!asked.is_from(domain, origin), "{origin}");
    }
}

/// A resource can be what the signature gives leave for.
#[test]
fn a_client_signs_for_no_resource_of_another_server() {
    for resource in
        ["urn:recap:eyJhdHQiOnt9fQ", "https://bank.example/transfer", "https://api.example.com.evil.example/"]
    {
        let asked = request(|extension| extension["info"]["resources"] = json!([resource])).expect("a request");
        assert!(!asked.is_from(DOMAIN, ORIGIN), "{resource}");
    }
}

#[test]
fn what_cannot_be_signed_safely_is_no_request() {
    for change in [
        (|e| e["info"]["statement"] = "a\nURI: https://evil.example".into()) as fn(&mut Value),
        |e| e["info"]["nonce"] = "a\rb".into(),
        |e| e["info"]["statement"] = "long ".repeat(1_000).into(),
        |e| e["info"]["version"] = "2".into(),
        |e| e["info"]["domain"] = 7.into(),
        |e| e["info"] = "text".into(),
        |e| e["supportedChains"] = json!([]),
        |e| e["supportedChains"] = json!([{ "chainId": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", "type": "ed25519" }]),
        |e| e["supportedChains"] = json!([{ "chainId": "eip155:1", "type": "eip1271" }]),
        |e| drop(e.as_object_mut().expect("an object").remove("supportedChains")),
    ] {
        assert_eq!(request(change), None);
    }
    let first = |e: &mut Value| e["supportedChains"][0] = json!({ "chainId": "solana:x", "type": "ed25519" });
    assert!(request(first).is_some(), "another of its chains is one that this client has");
}
