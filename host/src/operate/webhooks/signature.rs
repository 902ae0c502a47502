//! Signs messages as Standard Webhooks has it (<https://www.standardwebhooks.com>): HMAC-SHA256 over the id, the time
//! of the attempt and the body, so that a receiver can refuse a forged message and an old one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2_mac::Sha256;

/// The shortest secret, in bytes.
const SHORTEST: usize = 16;

/// The secret that an address and the host share.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct WebhookSecret(Vec<u8>);

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

impl WebhookSecret {
    /// Reads a secret: `whsec_` and Base64, as libraries for Standard Webhooks take it, or a text that is the secret.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let bytes = match text.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map_err(|_| "what follows whsec_ in the secret is not Base64")?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.len() < SHORTEST {
            return Err(format!("the secret has less than {SHORTEST} bytes: `openssl rand -hex 32` makes one"));
        }
        Ok(Self(bytes))
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signed = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(WebhookSecret::parse("short").is_err() && WebhookSecret::parse("whsec_%").is_err());
        assert_eq!(format!("{secret:?}"), "WebhookSecret(..)");
    }
}
