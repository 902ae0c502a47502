//! Signs tokens for Coinbase's developer platform (CDP), whose facilitator wants a new one for each request. Source:
//! the platform's documentation of API key authentication.
//!
//! A token names one method and path and expires after two minutes; the key itself is never sent.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use coinslot_x402::UnixTime;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

/// The lifetime of a token, in seconds.
const LIFETIME: u64 = 120;

/// A key of the platform.
#[derive(Clone)]
pub struct CdpKey {
    id: Arc<str>,
    signer: Arc<CdpSigner>,
}

enum CdpSigner {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// The reason for which a key cannot be used. The text never shows a part of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CdpKeyError {
    #[error("the key's id is empty")]
    NoId,
    #[error("the key's secret is neither Base64 of 64 or 32 bytes (Ed25519) nor PEM of an EC key")]
    Unreadable,
    #[error("the two halves of the key's secret do not belong together: it was not copied whole")]
    Halves,
    #[error("the key's secret is PEM, and holds no private key on the curve P-256")]
    NotP256,
}

impl CdpKey {
    /// Reads a secret as the platform's portal gives it: Base64 of an Ed25519 seed with its public
    /// half (or the seed alone), or PEM of a P-256 key, in which `\n` may be written as two letters.
    pub fn parse(id: &str, secret: &str) -> Result<Self, CdpKeyError> {
        let id = id.trim();
        if id.is_empty() {
            return Err(CdpKeyError::NoId);
        }
        let secret = secret.trim();
        let signer = if secret.starts_with("-----BEGIN") {
            let pem = secret.replace("\\n", "\n");
            let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CdpKeyError::Unreadable)?;
            let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der());
            CdpSigner::P256(key.map_err(|_| CdpKeyError::NotP256)?)
        } else {
            let bytes = BASE64_STANDARD.decode(secret).map_err(|_| CdpKeyError::Unreadable)?;
            let key = match bytes.len() {
                64 => Ed25519KeyPair::from_seed_and_public_key(&bytes[..32], &bytes[32..])
                    .map_err(|_| CdpKeyError::Halves)?,
                32 => Ed25519KeyPair::from_seed_unchecked(&bytes).map_err(|_| CdpKeyError::Unreadable)?,
                _ => return Err(CdpKeyError::Unreadable),
            };
            CdpSigner::Ed25519(key)
        };
        Ok(Self { id: id.into(), signer: Arc::new(signer) })
    }

    /// A token for one request: its method, and its host and path without the scheme. None if signing fails.
    pub(super) fn token(&self, method: &str, host_and_path: &str, now: UnixTime) -> Option<String> {
        let nonce: [u8; 16] = secp256k1::rand::random();
        let header = json!({
            "alg": self.signer.algorithm(), "typ": "JWT", "kid": &*self.id, "nonce": hex::encode(nonce),
        });
        let claims = json!({
            "sub": &*self.id, "iss": "cdp", "uris": [format!("{method} {host_and_path}")],
            "iat": now.0, "nbf": now.0, "exp": now.0 + LIFETIME,
        });
        let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.signer.sign(signed.as_bytes())?;
        Some(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl CdpSigner {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(key) => Some(key.sign(message).as_ref().to_vec()),
            Self::P256(key) => Some(key.sign(&SystemRandom::new(), message).ok()?.as_ref().to_vec()),
        }
    }
}

impl std::fmt::Debug for CdpKey {
    /// Prints no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CdpKey").field("id", &self.id).field("algorithm", &self.signer.algorithm()).finish()
    }
}

#[cfg(test)]
pub(super) mod tests;
