//! Makes the challenges of sign-in-with-x, and recognises their proofs.
//!
//! A nonce proves itself: half of it is random, and half of it is a MAC of the other half, of the time and of the
//! domain. So nothing is kept for a challenge that is never answered, and any replica with the same key knows its nonce.
//! That a nonce is used once is the ledger's to see, in the same step that counts the request.

use coinslot_x402::sign_in::{SignInChallenge, SignInError, SignInProof};
use coinslot_x402::{Network, Object, UnixTime, sign_in};
use hmac::{Hmac, Mac};
use sha2_mac::Sha256;

use crate::place::Place;

pub use coinslot_x402::sign_in::SIGN_IN_WITH_X;

/// The sentence that a wallet shows.
const STATEMENT: &str = "Use your pass or the free requests of this service. No money moves.";

/// The bytes of each half of a nonce, which has 32 hexadecimal digits as those of the reference server.
const HALF: usize = 8;

/// Makes and recognises challenges.
pub struct SignIns {
    key: [u8; 32],
}

impl std::fmt::Debug for SignIns {
    /// Leaves out the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIns").finish_non_exhaustive()
    }
}

impl SignIns {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The extension for the challenge of a resource, with these random bytes.
    pub fn extension(&self, url: &str, networks: &[Network], random: [u8; HALF], now: UnixTime) -> Object {
        let Some(Place { domain, uri, .. }) = Place::of(url) else { return Object::new() };
        let nonce = hex::encode([random, self.mac(random, &domain, now)].concat());
        let challenge = SignInChallenge {
            domain: &domain,
            uri: &uri,
            statement: STATEMENT,
            nonce: &nonce,
            issued_at: now,
            networks,
        };
        Object::from_iter([(sign_in::KEY.to_owned(), challenge.advertised())])
    }

    /// Reads a proof, and checks all of it but for the signature.
    pub fn check(
        &self,
        header: &[u8],
        url: &str,
        networks: &[Network],
        now: UnixTime,
    ) -> Result<SignInProof, SignInError> {
        let proof = SignInProof::parse(header)?;
        let Place { domain, origin, .. } = Place::of(url).ok_or(SignInError::Domain)?;
        proof.check(&domain, &origin, networks, now)?;
        let nonce = hex::decode(proof.nonce()).map_err(|_| SignInError::Nonce)?;
        let (random, mac) = nonce.split_first_chunk::<HALF>().ok_or(SignInError::Nonce)?;
        // The whole of the second half: a shorter one would be easier to guess.
        let known =
            mac.len() == HALF && self.hmac(*random, &domain, proof.issued_at).verify_truncated_left(mac).is_ok();
        // The ledger compares the text, so each nonce has one: that of its challenge.
        if known && proof.nonce() == hex::encode([&random[..], mac].concat()) {
            Ok(proof)
        } else {
            Err(SignInError::Nonce)
        }
    }

    /// True if a proof was signed for this very resource, and not for another one of its host.
    pub fn is_for(&self, proof: &SignInProof, url: &str) -> bool {
        Place::of(url).is_some_and(|place| proof.uri() == place.uri)
    }

    fn mac(&self, random: [u8; HALF], domain: &str, issued_at: UnixTime) -> [u8; HALF] {
        let mac = self.hmac(random, domain, issued_at).finalize().into_bytes();
        let mut half = [0; HALF];
        half.copy_from_slice(&mac[..HALF]);
        half
    }

    fn hmac(&self, random: [u8; HALF], domain: &str, issued_at: UnixTime) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(b"sign-in-with-x");
        mac.update(&random);
        mac.update(&issued_at.0.to_be_bytes());
        mac.update(domain.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use coinslot_x402::header;
    use serde_json::{Value, json};

    use super::*;

    const NOW: UnixTime = UnixTime(1_767_225_600);
    const URL: &str = "https://api.example.com/api/x?y=1";

    fn networks() -> Vec<Network> {
        vec![Network::eip155(8453)]
    }

    fn answered(extension: &Object, change: impl FnOnce(&mut Value)) -> String {
        let mut document = extension["sign-in-with-x"]["info"].clone();
        document["address"] = json!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
        document["chainId"] = json!("eip155:8453");
        document["type"] = json!("eip191");
        document["signature"] = json!("0x01");
        change(&mut document);
        header::encode(&document)
    }

    #[test]
    fn a_nonce_counts_for_the_challenge_that_it_was_made_for() {
        let sign_ins = SignIns::new([7; 32]);
        let extension = sign_ins.extension(URL, &networks(), [9; 8], NOW);
        assert_eq!(extension["sign-in-with-x"]["info"]["uri"], "https://api.example.com/api/x");
        let check = |sign_ins: &SignIns, text: &str, url: &str| {
            sign_ins.check(text.as_bytes(), url, &networks(), NOW).map(drop)
        };
        let good = answered(&extension, |_| ());
        assert_eq!(check(&sign_ins, &good, URL), Ok(()));
        assert_eq!(check(&sign_ins, &good, "https://api.example.com/other"), Ok(()), "of the same host");
        let proof = sign_ins.check(good.as_bytes(), URL, &networks(), NOW).expect("a good proof");
        assert!(sign_ins.is_for(&proof, "https://api.example.com/api/x?y=2"), "whatever its query is");
        assert!(!sign_ins.is_for(&proof, "https://api.example.com/api/x/2"));
        assert_eq!(check(&sign_ins, &good, "https://b.example.com/api/x"), Err(SignInError::Domain));
        assert_eq!(check(&SignIns::new([8; 32]), &good, URL), Err(SignInError::Nonce), "of another host");
        for nonce in ["", "00", "zz", "09090909090909090000000000000000", "0909090909090909"] {
            let forged = answered(&extension, |document| document["nonce"] = nonce.into());
            assert_eq!(check(&sign_ins, &forged, URL), Err(SignInError::Nonce), "{nonce}");
        }
        let later = answered(&extension, |document| document["issuedAt"] = "2026-01-01T00:00:01.000Z".into());
        assert_eq!(check(&sign_ins, &later, URL), Err(SignInError::Nonce), "the time is that of the challenge");
    }

    #[test]
    fn the_domain_is_what_clients_compare() {
        for (url, domain) in [
            ("https://api.example.com/x", "api.example.com"),
            ("https://api.example.com:443/x", "api.example.com"),
            ("http://127.0.0.1:8402/x", "127.0.0.1:8402"),
            ("http://[::1]:8402/x", "[::1]:8402"),
        ] {
            let extension = SignIns::new([7; 32]).extension(url, &networks(), [9; 8], NOW);
            assert_eq!(extension["sign-in-with-x"]["info"]["domain"], domain, "{url}");
        }
    }
}
