//! Keys of the operator's own customers: how one is made, and how a request carries it.
//!
//! A key is 256 random bits behind a word by which people and scanners of secrets recognise it. Only its hash is kept.
//! It comes as `Authorization: Bearer KEY` or `X-API-Key: KEY`, and never reaches a plugin, a log or a facilitator, however
//! it is written there or in `Api-Key`. Other values of these fields are a plugin's own affair, and stay.

use coinslot_ledger::Fingerprint;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

/// The beginning of every key.
pub const KEY_PREFIX: &str = "coinslot_key_";

/// The characters of a key behind the prefix that are kept with its hash, to tell it from others.
const SHOWN: usize = 8;

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static API_KEY: HeaderName = HeaderName::from_static("api-key");

/// A key that is made now. It is shown once.
pub struct NewKey {
    /// The whole key.
    pub text: String,
    /// Its beginning.
    pub shown: String,
    pub hash: Fingerprint,
}

impl std::fmt::Debug for NewKey {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl NewKey {
    /// A key of 32 random bytes.
    pub fn of(random: [u8; 32]) -> Self {
        let text = format!("{KEY_PREFIX}{}", hex::encode(random));
        Self { shown: text[..KEY_PREFIX.len() + SHOWN].to_owned(), hash: hash(text.as_bytes()), text }
    }
}

/// The hash of the key that a request carries, whether it is one of the ledger's or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentedKey(pub Fingerprint);

impl PresentedKey {
    /// Takes the keys out of a request. Of several the first one counts, and none stays.
    pub fn take(headers: &mut HeaderMap) -> Option<Self> {
        let found = keys(headers).next().map(|key| Self(hash(key)));
        if found.is_some() {
            for name in [&AUTHORIZATION, &X_API_KEY, &API_KEY] {
                remove(headers, name, |value| key_in(value).is_some());
            }
        }
        found
    }

    /// True if a value of a field has a key of this host in it.
    pub fn is_in(value: &[u8]) -> bool {
        key_in(value).is_some()
    }
}

/// True if a request carries a key.
pub(super) fn is_present(headers: &HeaderMap) -> bool {
    keys(headers).next().is_some()
}

/// Removes the values of a field that are keys.
fn remove(headers: &mut HeaderMap, name: &HeaderName, is_key: impl Fn(&[u8]) -> bool) {
    let values: Vec<_> = headers.get_all(name).iter().cloned().collect();
    if values.iter().any(|value| is_key(value.as_bytes())) {
        headers.remove(name);
        for value in values.into_iter().filter(|value| !is_key(value.as_bytes())) {
            headers.append(name, value);
        }
    }
}

fn keys(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = [&AUTHORIZATION, &X_API_KEY, &API_KEY].into_iter();
    fields.flat_map(|name| headers.get_all(name)).filter_map(|value| key_in(value.as_bytes()))
}

/// The key in a value, whatever stands around it: `Bearer KEY`, `KEY`, `"KEY"`. A key that is written in an unusual way
/// must not reach a plugin either.
fn key_in(value: &[u8]) -> Option<&[u8]> {
    let prefix = KEY_PREFIX.as_bytes();
    let begin = value.windows(prefix.len()).position(|part| part == prefix)?;
    let rest = &value[begin..];
    let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(rest.len());
    Some(&rest[..end])
}

fn hash(key: &[u8]) -> Fingerprint {
    Fingerprint(Sha256::digest(key).into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn taken(fields: &[(&'static str, &str)]) -> (Option<PresentedKey>, Vec<String>) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let key = PresentedKey::take(&mut headers);
        (key, headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect())
    }

    #[test]
    fn a_key_is_found_in_either_field_and_taken_out_of_both() {
        let key = NewKey::of([7; 32]);
        let expected = Some(PresentedKey(key.hash));
        let text = &*key.text;
        for fields in [
            vec![("authorization", format!("Bearer {text}"))],
            vec![("authorization", format!("bearer  {text}"))],
            vec![("x-api-key", text.to_owned())],
            vec![("api-key", text.to_owned())],
            vec![("x-api-key", format!("Bearer {text}"))],
            vec![("authorization", text.to_owned())],
            vec![("authorization", format!("Bearer \"{text}\""))],
            vec![("authorization", format!("Bearer {text}")), ("x-api-key", text.to_owned())],
        ] {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
            assert_eq!(taken(&fields), (expected, vec![]), "{fields:?}");
        }
        let other = ("authorization", "Basic dTpw");
        assert_eq!(taken(&[other, ("x-api-key", text)]), (expected, vec!["authorization: Basic dTpw".to_owned()]));
    }

    #[test]
    fn credentials_of_a_plugins_own_stay() {
        for field in [("authorization", "Bearer abc"), ("x-api-key", "sk-123"), ("authorization", "Basic Y29pbnNsb3Q=")]
        {
            assert_eq!(taken(&[field]), (None, vec![format!("{}: {}", field.0, field.1)]));
        }
    }

    #[test]
    fn a_key_is_long_recognisable_and_not_told_by_debug() {
        let key = NewKey::of([0xAB; 32]);
        assert_eq!(key.text.len(), KEY_PREFIX.len() + 64);
        assert_eq!(key.shown, "coinslot_key_abababab");
        assert!(!format!("{key:?}").contains(&key.text));
    }
}
