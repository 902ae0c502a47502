//! The secret of a version 2 challenge, by which the server recognises the client that it challenged.
//!
//! A signed authorisation is public as soon as it is settled: it is calldata on the chain. So each challenge carries an
//! unguessable value in the `extra` of its entries. Clients echo `extra` in `accepted` (x402 specification v2, section
//! 5.2); a facilitator never sees the value. A repetition of the payment shows that it comes from the same client by
//! showing the same value.
//!
//! A prepared challenge would be worthless if each secret made it be encoded anew. [`SecretHeader`] keeps the document
//! and its Base64 with a placeholder, and writes over the few bytes of the Base64 that encode the secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::Value;

use crate::{Object, v2};

/// The key of the secret in `extra`. Tools that redact logs know the word.
const KEY: &str = "secret";

/// The length of a secret's text: hexadecimal digits of 16 bytes.
const LENGTH: usize = 32;

/// The text in the place of a secret. Nothing else in a document can look like a key with this value.
const PLACEHOLDER: &str = "00000000000000000000000000000000";

/// The secret of one challenge, the same in all of its entries.
#[derive(Clone, PartialEq, Eq)]
pub struct ChallengeSecret([u8; LENGTH]);

impl ChallengeSecret {
    /// A secret of 16 random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        let mut text = [0; LENGTH];
        hex::encode_to_slice(random, &mut text).expect("16 bytes have 32 digits");
        Self(text)
    }

    /// Takes the secret out of a client's echo, in which nobody else may see it. `None` if the client echoes none, or
    /// what cannot be one of ours.
    pub fn take(accepted: &mut Object) -> Option<Self> {
        let extra = accepted.get_mut("extra")?.as_object_mut()?;
        let Value::String(text) = extra.shift_remove(KEY)? else { return None };
        let text: [u8; LENGTH] = text.into_bytes().try_into().ok()?;
        text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(Self(text))
    }

    /// The secret as it is on the wire. A ledger stores its hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for ChallengeSecret {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChallengeSecret(..)")
    }
}

/// The value of `PAYMENT-REQUIRED`, encoded but for the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretHeader {
    json: Vec<u8>,
    encoded: Vec<u8>,
    /// The offsets of the placeholders in `json`.
    places: Vec<usize>,
}

impl SecretHeader {
    /// Encodes a challenge, with a place for the secret in each of its entries.
    pub(super) fn new(challenge: &v2::PaymentRequired) -> Self {
        let json = Self::document(challenge);
        // Inside of a JSON string, such as a description, the quotation marks would have backslashes.
        let place = format!("\"{KEY}\":\"{PLACEHOLDER}\"");
        let before = place.len() - 1 - LENGTH;
        let starts = (0..json.len()).filter(|at| json[*at..].starts_with(place.as_bytes()));
        let places = starts.map(|at| at + before).collect();
        Self { encoded: STANDARD.encode(&json).into_bytes(), places, json }
    }

    /// The document of a challenge as JSON, with placeholders.
    pub(super) fn document(challenge: &v2::PaymentRequired) -> Vec<u8> {
        let mut challenge = challenge.clone();
        for entry in &mut challenge.accepts {
            entry.extra.insert(KEY.to_owned(), PLACEHOLDER.into());
        }
        serde_json::to_vec(&challenge).expect("our documents have string keys and no failing serializers")
    }

    /// The length of the value, in bytes.
    pub(super) fn len(&self) -> usize {
        self.encoded.len()
    }

    /// The value with this secret.
    pub(super) fn with(&self, secret: &ChallengeSecret) -> HeaderValue {
        let mut encoded = self.encoded.clone();
        for &at in &self.places {
            // Base64 encodes three bytes as four: the groups that the secret touches are encoded anew.
            let first = at / 3 * 3;
            let last = (at + LENGTH).next_multiple_of(3).min(self.json.len());
            let mut groups = [0; LENGTH + 4];
            let groups = &mut groups[..last - first];
            groups.copy_from_slice(&self.json[first..last]);
            groups[at - first..][..LENGTH].copy_from_slice(&secret.0);
            STANDARD.encode_slice(groups, &mut encoded[first / 3 * 4..]).expect("as many groups as before");
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(encoded)).expect("Base64 is printable ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Network, X402Version, header};

    fn challenge(entries: usize, description: &str) -> v2::PaymentRequired {
        let entry = v2::PaymentRequirements {
            scheme: "exact".to_owned(),
            network: Network::eip155(84532),
            amount: "10".to_owned(),
            asset: "0xa".to_owned(),
            pay_to: "0xb".to_owned(),
            max_timeout_seconds: 60,
            extra: Object::from_iter([("name".to_owned(), "USDC".into())]),
        };
        v2::PaymentRequired {
            x402_version: X402Version,
            error: None,
            resource: v2::ResourceInfo {
                url: "https://a.example/".to_owned(),
                description: Some(description.to_owned()),
                ..Default::default()
            },
            accepts: vec![entry; entries],
            extensions: None,
        }
    }

    #[test]
    fn every_entry_carries_the_secret_wherever_it_falls_in_the_base64() {
        let secret = ChallengeSecret::new([0xAB; 16]);
        for length in 0..12 {
            for entries in 0..4 {
                // A description that looks like the placeholder is only text.
                let text = format!("{}\"secret\":\"{PLACEHOLDER}\"", "x".repeat(length));
                let plain = challenge(entries, &text);
                let value = SecretHeader::new(&plain).with(&secret);
                assert_eq!(SecretHeader::new(&plain).len(), value.len());
                let mut expected = plain;
                for entry in &mut expected.accepts {
                    entry.extra.insert("secret".to_owned(), "ab".repeat(16).into());
                }
                assert_eq!(value.to_str().expect("ASCII"), header::encode(&expected));
            }
        }
    }

    #[test]
    fn a_secret_is_taken_out_of_the_echo_and_only_ours_counts() {
        let secret = ChallengeSecret::new([7; 16]);
        let echo = |value: Value| {
            let mut accepted =
                Object::from_iter([("extra".to_owned(), serde_json::json!({"name": "USDC", "secret": value}))]);
            let taken = ChallengeSecret::take(&mut accepted);
            assert_eq!(accepted["extra"], serde_json::json!({"name": "USDC"}));
            taken
        };
        assert_eq!(echo("07".repeat(16).into()), Some(secret));
        for other in [Value::Null, 7.into(), "".into(), "0707".into(), "0G".repeat(16).into(), "0A".repeat(16).into()] {
            assert_eq!(echo(other), None);
        }
        assert_eq!(ChallengeSecret::take(&mut Object::new()), None);
        assert_eq!(ChallengeSecret::take(&mut Object::from_iter([("extra".to_owned(), Value::Null)])), None);
    }
}
