//! Reads what a challenge asks a client to sign, and writes the proof that answers it.

use alloy_primitives::{Address, B256, Bytes, eip191_hash_message};
use serde_json::Value;

use super::{Fields, KEY, MAX_HEADER, is_below, is_line};
use crate::{Network, Object};

/// The longest `info` that is signed, in bytes of JSON: its proof fits into a header.
const MAX_INFO: usize = MAX_HEADER / 4;

/// The text that a challenge asks a client to sign. It comes from a server and is untrusted: see [`Self::is_from`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRequest {
    /// Without an address and a signature.
    fields: Fields,
    network: Network,
}

impl SignInRequest {
    /// Reads the extension among those of a challenge, for an account of this network. None: it is not there, asks for no
    /// key of this network, or has a text of more than one line, which would be signed as several fields.
    pub fn read(extensions: &Object, network: &Network) -> Option<Self> {
        let extension = extensions.get(KEY)?;
        let chains = extension.get("supportedChains")?.as_array()?;
        let is_it = |chain: &Value| {
            chain.get("type").and_then(Value::as_str) == Some("eip191")
                && chain.get("chainId").and_then(Value::as_str) == Some(network.as_str())
        };
        let network = chains.iter().any(is_it).then(|| network.clone())?;
        let mut info = extension.get("info")?.as_object()?.clone();
        for (name, value) in [("address", ""), ("signature", ""), ("type", "eip191"), ("chainId", network.as_str())] {
            info.insert(name.to_owned(), value.into());
        }
        let fields: Fields = serde_json::from_value(Value::Object(info)).ok()?;
        let size = serde_json::to_vec(&fields).ok()?.len();
        let is_good = fields.version == "1" && size <= MAX_INFO && fields.texts().all(is_line);
        is_good.then_some(Self { fields, network })
    }

    /// True if the server that was asked is the one that is signed for, and no other is named. Another server could use the
    /// proof there: it asks for a signature that it got from elsewhere. A resource of another scheme can be a delegation
    /// (ERC-5573). `domain` and `origin` are those of the URL that was asked.
    pub fn is_from(&self, domain: &str, origin: &str) -> bool {
        let Fields { domain: own, uri, resources, .. } = &self.fields;
        own == domain && std::iter::once(uri).chain(resources).all(|url| is_below(url, origin))
    }

    /// The proof of an account: the JSON of the header. `sign` signs a hash, which is that of EIP-191.
    pub fn answer<E>(&self, account: Address, sign: impl FnOnce(B256) -> Result<Bytes, E>) -> Result<Object, E> {
        let mut fields = Fields { address: account.to_checksum(None), ..self.fields.clone() };
        fields.signature = sign(eip191_hash_message(fields.message(&self.network)))?.to_string();
        let proof = serde_json::to_value(&fields).unwrap_or_default();
        Ok(proof.as_object().cloned().unwrap_or_default())
    }
}
