//! Proves that whoever receives the payments also owns the host: the receiver's key signs the public origin.
//!
//! Source: the ownership proofs of x402scan: `personal_sign` (EIP-191) of the origin, such as `https://api.example.com`.

use alloy::primitives::{Address, Signature, hex};
use url::Url;

/// The origin of a public address: what a receiver signs.
pub fn origin(public_url: &str) -> String {
    Url::parse(public_url).map_or_else(|_| public_url.to_owned(), |url| url.origin().ascii_serialization())
}

/// The account that signed an origin. None: the text is no signature.
pub fn signer(origin: &str, proof: &str) -> Option<Address> {
    signed(origin, proof).map(|(signer, _)| signer)
}

/// The account that signed an origin, and the signature as the configuration has it: with `0x`, in lower case. None: the
/// text is no signature.
pub fn signed(origin: &str, proof: &str) -> Option<(Address, String)> {
    let signature: Signature = proof.trim().parse().ok()?;
    let signer = signature.recover_address_from_msg(origin).ok()?;
    Some((signer, hex::encode_prefixed(signature.as_bytes())))
}

/// A warning for each proof that proves nothing: directories would not believe it.
pub fn warnings(public_url: &str, proofs: &[String], receivers: &[Address]) -> Vec<String> {
    let origin = origin(public_url);
    let faults = proofs.iter().enumerate().filter_map(|(index, proof)| {
        let why = match signer(&origin, proof) {
            None => "is no signature of an account".to_owned(),
            Some(signer) if receivers.contains(&signer) => return None,
            Some(signer) => format!(
                "is not a signature of {origin} by a receiver of payments (as one, it would be of {signer}, which is no \
                 `pay_to`)"
            ),
        };
        Some(format!("discover.ownership_proofs[{index}]: it {why}: make it anew with `coinslot discover prove`"))
    });
    faults.collect()
}

#[cfg(test)]
mod tests {
    use alloy::signers::SignerSync;
    use alloy::signers::local::PrivateKeySigner;

    use super::*;

    #[test]
    fn a_proof_is_of_this_origin_and_by_a_receiver() {
        let (receiver, other) = (PrivateKeySigner::random(), PrivateKeySigner::random());
        let proof = |key: &PrivateKeySigner, text: &str| {
            let signature = key.sign_message_sync(text.as_bytes()).expect("a signature");
            format!("0x{}", hex::encode(signature.as_bytes()))
        };
        let url = "https://api.example.com:443/behind/a/path";
        assert_eq!(origin(url), "https://api.example.com");
        assert_eq!(origin("http://127.0.0.1:8402"), "http://127.0.0.1:8402");
        let right = proof(&receiver, "https://api.example.com");
        let receivers = [receiver.address()];
        assert_eq!(warnings(url, std::slice::from_ref(&right), &receivers), [""; 0]);
        let wrong = [
            proof(&other, "https://api.example.com"),
            proof(&receiver, "https://api.example.com/"),
            right,
            format!("0x{}", "0".repeat(130)),
        ];
        let told = warnings(url, &wrong, &receivers);
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(
            told[0].starts_with("discover.ownership_proofs[0]: ") && told[0].contains(&other.address().to_string())
        );
        assert!(told[2].starts_with("discover.ownership_proofs[3]: "), "{told:#?}");
    }

    /// Wallets print signatures with and without `0x`; the configuration takes one way.
    #[test]
    fn a_signature_in_any_spelling_becomes_the_one_that_the_configuration_takes() {
        let key = PrivateKeySigner::random();
        let bytes = key.sign_message_sync(b"https://api.example.com").expect("a signature").as_bytes();
        let plain = hex::encode(bytes);
        for spelling in [plain.clone(), format!("0x{plain}"), plain.to_uppercase(), format!(" 0x{plain}\n")] {
            let signed = signed("https://api.example.com", &spelling);
            assert_eq!(signed, Some((key.address(), format!("0x{plain}"))), "{spelling:?}");
        }
    }
}
