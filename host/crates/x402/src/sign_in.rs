//! The extension `sign-in-with-x`: a client proves by a signed message, without a payment, which account it has.
//!
//! A challenge names the text to sign, and a client answers with the header `SIGN-IN-WITH-X`. On EVM networks the text
//! is that of EIP-4361. [`SignInProof::parse`] and [`SignInProof::check`] are the whole local verification but for the
//! signature, which [`SignInProof::signed_by`] judges as far as a key can. Whether a nonce is one that was given out, and
//! given out once, is the caller's to know. Source: x402 specification, extension `sign-in-with-x` (CAIP-122), and
//! `@x402/extensions` 2.27 for the reasons.

mod error;
mod request;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, Bytes, eip191_hash_message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exact::recover;
use crate::{Network, UnixTime};

pub use error::SignInError;
pub use request::SignInRequest;

/// The extension's key in `extensions`.
pub const KEY: &str = "sign-in-with-x";

/// Request header with a proof, in lower case.
pub const SIGN_IN_WITH_X: &str = "sign-in-with-x";

/// The time for which a proof counts after its challenge was made, in seconds, as in the reference server.
pub const MAX_AGE: u64 = 5 * 60;

/// The greatest difference between the clocks of hosts that share a key for nonces, in seconds.
const SKEW: u64 = 30;

/// The largest header that is decoded, in bytes. The signature of a contract wallet has a few KiB.
pub const MAX_HEADER: usize = 8 * 1024;

/// The longest signature, in bytes.
const MAX_SIGNATURE: usize = 4 * 1024;

/// The fields that a challenge asks a client to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInChallenge<'c> {
    /// The host, with a port where it is not the scheme's own.
    pub domain: &'c str,
    /// The URL that the client asks for.
    pub uri: &'c str,
    /// A sentence that a wallet shows to its user.
    pub statement: &'c str,
    pub nonce: &'c str,
    pub issued_at: UnixTime,
    /// The networks whose accounts count. Only EVM networks are advertised.
    pub networks: &'c [Network],
}

impl SignInChallenge<'_> {
    /// The extension's value in a challenge.
    pub fn advertised(&self) -> Value {
        let chains = self.networks.iter().filter(|network| network.chain_id().is_some());
        let chains = chains.map(|network| json!({ "chainId": network.as_str(), "type": "eip191" }));
        json!({
            "info": {
                "domain": self.domain,
                "uri": self.uri,
                "version": "1",
                "nonce": self.nonce,
                "issuedAt": written(self.issued_at),
                "expirationTime": written(self.issued_at.plus(MAX_AGE)),
                "statement": self.statement,
            },
            "supportedChains": chains.collect::<Vec<_>>(),
            // Short: a challenge has to fit into a header, and clients read `info`.
            "schema": { "type": "object", "required": ["address", "signature", "nonce", "chainId", "type"] },
        })
    }
}

/// A proof as a client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInProof {
    fields: Fields,
    network: Network,
    address: Address,
    signature: Bytes,
    /// The time of the challenge, as the proof says.
    pub issued_at: UnixTime,
}

/// The fields of a proof that the signed text has, and those about the signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    domain: String,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
    uri: String,
    version: String,
    chain_id: String,
    #[serde(rename = "type")]
    kind: String,
    nonce: String,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(default, deserialize_with = "crate::null_as_default", skip_serializing_if = "Vec::is_empty")]
    resources: Vec<String>,
    signature: String,
}

/// The signer of a proof, as far as the signature alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvenBy {
    /// The signature is that of the key of the address.
    Key,
    /// Only a contract at the address could accept the signature (ERC-1271).
    PerhapsContract,
}

impl SignInProof {
    /// Reads the header's value: Base64 of a JSON object, whose texts are single lines. A line break within a field
    /// would let one text be signed as two.
    pub fn parse(header: &[u8]) -> Result<Self, SignInError> {
        if header.len() > MAX_HEADER {
            return Err(SignInError::TooLarge);
        }
        let json = STANDARD_PAD_INDIFFERENT.decode(header).map_err(|_| SignInError::Malformed)?;
        let object = crate::header::object(&json).ok_or(SignInError::Malformed)?;
        let fields: Fields = serde_json::from_value(Value::Object(object)).map_err(|_| SignInError::Malformed)?;
        if !fields.texts().all(is_line) {
            return Err(SignInError::Malformed);
        }
        let address = fields.address.strip_prefix("0x").filter(|digits| digits.len() == 40);
        let address = address.and_then(|digits| digits.parse().ok()).ok_or(SignInError::Malformed)?;
        let signature: Bytes = fields.signature.parse().map_err(|_| SignInError::Malformed)?;
        let network = Network::parse(&fields.chain_id).map_err(|_| SignInError::Chain)?;
        if fields.kind != "eip191" || network.chain_id().is_none() {
            return Err(SignInError::Chain);
        }
        if signature.is_empty() || signature.len() > MAX_SIGNATURE {
            return Err(SignInError::Signature);
        }
        let issued_at = read(&fields.issued_at).ok_or(SignInError::IssuedAt)?;
        Ok(Self { fields, network, address, signature, issued_at })
    }

    /// Checks everything but the signature and the nonce: the proof is for this domain and for an address of this
    /// origin, of one of these networks, and in its time.
    pub fn check(&self, domain: &str, origin: &str, networks: &[Network], now: UnixTime) -> Result<(), SignInError> {
        if self.fields.domain != domain {
            return Err(SignInError::Domain);
        }
        if !is_below(&self.fields.uri, origin) {
            return Err(SignInError::Uri);
        }
        if self.fields.version != "1" {
            return Err(SignInError::Version);
        }
        if !networks.contains(&self.network) {
            return Err(SignInError::Chain);
        }
        if self.issued_at > now.plus(SKEW) {
            return Err(SignInError::InFuture);
        }
        if self.ends_at() <= now {
            return Err(SignInError::TooOld);
        }
        if let Some(text) = &self.fields.expiration_time
            && read(text).ok_or(SignInError::ExpirationTime)? <= now
        {
            return Err(SignInError::Expired);
        }
        if let Some(text) = &self.fields.not_before
            && read(text).ok_or(SignInError::NotBefore)? > now.plus(SKEW)
        {
            return Err(SignInError::NotYetValid);
        }
        Ok(())
    }

    /// The time from which the proof does not count any more.
    pub fn ends_at(&self) -> UnixTime {
        self.issued_at.plus(MAX_AGE)
    }

    /// Finds out without a chain whether the key of the address signed.
    pub fn signed_by(&self) -> ProvenBy {
        match recover(self.digest(), &self.signature) {
            Some(signer) if signer == self.address => ProvenBy::Key,
            _ => ProvenBy::PerhapsContract,
        }
    }

    /// The hash that was signed (EIP-191), which a contract is asked about.
    pub fn digest(&self) -> B256 {
        eip191_hash_message(self.fields.message(&self.network))
    }

    pub fn nonce(&self) -> &str {
        &self.fields.nonce
    }

    /// The URL that was signed for.
    pub fn uri(&self) -> &str {
        &self.fields.uri
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn address(&self) -> Address {
        self.address
    }

    pub fn signature(&self) -> &Bytes {
        &self.signature
    }
}

impl Fields {
    /// The text that is signed. Source: EIP-4361, "Message Format".
    fn message(&self, network: &Network) -> String {
        let Fields { domain, address, uri, version, nonce, issued_at, .. } = self;
        let chain = network.chain_id().unwrap_or_default();
        let mut text = format!("{domain} wants you to sign in with your Ethereum account:\n{address}\n\n");
        if let Some(statement) = &self.statement {
            text += statement;
            text.push('\n');
        }
        text += &format!("\nURI: {uri}\nVersion: {version}\nChain ID: {chain}\nNonce: {nonce}\nIssued At: {issued_at}");
        let Fields { expiration_time, not_before, request_id, resources, .. } = self;
        for (name, value) in
            [("Expiration Time", expiration_time), ("Not Before", not_before), ("Request ID", request_id)]
        {
            if let Some(value) = value {
                text += &format!("\n{name}: {value}");
            }
        }
        if !resources.is_empty() {
            text += "\nResources:";
            for resource in resources {
                text += &format!("\n- {resource}");
            }
        }
        text
    }

    /// Every text that is signed.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.statement, &self.expiration_time, &self.not_before, &self.request_id];
        [&self.domain, &self.address, &self.uri, &self.version, &self.nonce, &self.issued_at]
            .into_iter()
            .chain(optional.into_iter().flatten())
            .chain(&self.resources)
            .map(String::as_str)
    }
}

fn is_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// True if a URL has this origin, which has no slash at its end.
fn is_below(url: &str, origin: &str) -> bool {
    let rest = url.get(..origin.len()).filter(|start| start.eq_ignore_ascii_case(origin)).and(url.get(origin.len()..));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// A time as JavaScript writes it: `2026-01-31T12:00:00.000Z`.
fn written(time: UnixTime) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_secs(time.0.min(LATEST))).to_string()
}

/// The last second that is written with four digits of the year.
const LATEST: u64 = 253_402_300_799;

/// Reads a time in UTC. Parts of a second do not count.
fn read(text: &str) -> Option<UnixTime> {
    let time: SystemTime = humantime::parse_rfc3339(text).ok()?;
    Some(time.into())
}
