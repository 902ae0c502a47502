//! Checks the tokens with the keys and examples of RFC 7515 and RFC 8037.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde_json::Value;

use super::*;

/// RFC 8037, appendix A: seed and public key.
pub(crate) const ED25519_SECRET: &str =
    "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
/// RFC 7515, appendix A.3: in the two ways PEM holds it.
const P256_SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49
AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b
focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END EC PRIVATE KEY-----
";
const P256_PKCS8: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
-----END PRIVATE KEY-----
";
const NOW: UnixTime = UnixTime(1_700_000_000);
const TARGET: &str = "api.cdp.coinbase.com/platform/v2/x402/verify";

fn base64url(text: &str) -> Vec<u8> {
    BASE64_URL_SAFE_NO_PAD.decode(text).expect("Base64 for URLs")
}

/// Header, claims, what is signed, and the signature.
pub(crate) fn taken_apart(token: &str) -> (Value, Value, String, Vec<u8>) {
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("not three parts: {token}");
    };
    let json = |part| serde_json::from_slice(&base64url(part)).expect("JSON");
    (json(header), json(claims), format!("{header}.{claims}"), base64url(signature))
}

/// True if the Ed25519 key above signed it.
#[track_caller]
pub(crate) fn assert_signed(signed: &str, signature: &[u8]) {
    let public = base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    UnparsedPublicKey::new(&ED25519, public).verify(signed.as_bytes(), signature).expect("its signature");
}

#[test]
fn the_example_of_rfc_8037_is_signed_to_the_letter() {
    for secret in [ED25519_SECRET, ED25519_SEED] {
        let key = CdpKey::parse("id", secret).expect("a key");
        let signed = key.signer.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc").expect("signed");
        assert_eq!(
            BASE64_URL_SAFE_NO_PAD.encode(signed),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }
}

#[test]
fn a_token_says_one_method_and_path_for_two_minutes() {
    let key = CdpKey::parse(" organizations/o/apiKeys/k\n", ED25519_SECRET).expect("a key");
    let token = key.token("POST", TARGET, NOW).expect("signed");
    let (header, claims, signed, signature) = taken_apart(&token);
    assert_signed(&signed, &signature);
    assert_eq!(header["alg"], "EdDSA");
    assert_eq!(header["typ"], "JWT");
    assert_eq!(header["kid"], "organizations/o/apiKeys/k");
    let nonce = header["nonce"].as_str().expect("a nonce");
    assert!(nonce.len() == 32 && nonce.bytes().all(|digit| digit.is_ascii_hexdigit()), "{nonce}");
    let expected = json!({
        "sub": "organizations/o/apiKeys/k", "iss": "cdp", "uris": [format!("POST {TARGET}")],
        "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_000_120,
    });
    assert_eq!(claims, expected);
    assert_ne!(key.token("POST", TARGET, NOW).expect("signed"), token, "each has a nonce of its own");
}

#[test]
fn a_pem_key_signs_es256() {
    let mut public = vec![4];
    public.extend(base64url("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"));
    public.extend(base64url("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"));
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
    // The example itself, to know that the verifier is the right one.
    let example = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    public.verify(text.as_bytes(), &base64url(example)).expect("the example");
    for secret in [P256_SEC1.to_owned(), P256_PKCS8.to_owned(), P256_SEC1.replace('\n', "\\n")] {
        let key = CdpKey::parse("id", &secret).expect("a key");
        let token = key.token("GET", "api.cdp.coinbase.com/platform/v2/x402/supported", NOW).expect("signed");
        let (header, _, signed, signature) = taken_apart(&token);
        assert_eq!(header["alg"], "ES256");
        assert_eq!(signature.len(), 64, "two numbers, not DER");
        public.verify(signed.as_bytes(), &signature).expect("its signature");
    }
}

#[test]
fn an_unusable_key_is_refused_without_being_shown() {
    let mut halves = BASE64_STANDARD.decode(ED25519_SECRET).expect("Base64");
    halves[40] ^= 1;
    let halves = BASE64_STANDARD.encode(halves);
    let cut = &P256_SEC1[..120];
    for (id, secret, expected) in [
        ("", ED25519_SECRET, CdpKeyError::NoId),
        ("id", "", CdpKeyError::Unreadable),
        ("id", "secret", CdpKeyError::Unreadable),
        ("id", "c2VjcmV0", CdpKeyError::Unreadable),
        ("id", cut, CdpKeyError::Unreadable),
        ("id", halves.as_str(), CdpKeyError::Halves),
        (
            "id",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n",
            CdpKeyError::NotP256,
        ),
    ] {
        assert_eq!(CdpKey::parse(id, secret).map(drop), Err(expected), "{secret}");
    }
    let key = CdpKey::parse("id", ED25519_SECRET).expect("a key");
    assert_eq!(format!("{key:?}"), "CdpKey { id: \"id\", algorithm: \"EdDSA\" }");
}
