//! Keeps a private key in memory. It signs and tells its address; nothing prints it.

#![expect(clippy::disallowed_methods, reason = "a key may be named by a variable")]

use alloy::primitives::{Address, B256, Signature};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use coinslot_base::file::read_regular_text;

/// The most bytes of a key file.
const MOST_BYTES: u64 = 4 << 10;

/// A secp256k1 private key.
#[derive(Clone)]
pub struct Key(PrivateKeySigner);

/// The reason for which there is no key. The text never shows what was read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the environment variable {0} is not set: it should hold a private key, 0x and 64 hex digits")]
    NoVariable(String),
    #[error("cannot read the key file {path}: {error}")]
    File { path: String, error: std::io::Error },
    #[error("{0} does not hold a private key: 0x and 64 hex digits are expected")]
    Malformed(String),
    #[error("the key cannot sign: {0}")]
    Signing(String),
}

impl Key {
    /// A fresh key from the system's randomness.
    pub fn random() -> Self {
        Self(PrivateKeySigner::random())
    }

    /// 64 hex digits, `0x` and surrounding white space optional. `source` names the place in errors.
    pub fn parse(text: &str, source: &str) -> Result<Self, KeyError> {
        text.trim().parse().map(Self).map_err(|_| KeyError::Malformed(source.to_owned()))
    }

    /// Reads an environment variable.
    pub fn from_env(name: &str) -> Result<Self, KeyError> {
        let text = std::env::var(name).map_err(|_| KeyError::NoVariable(name.to_owned()))?;
        Self::parse(&text, name)
    }

    /// Reads a regular file.
    pub fn from_file(path: &std::path::Path) -> Result<Self, KeyError> {
        let shown = path.display().to_string();
        let text =
            read_regular_text(path, MOST_BYTES).map_err(|error| KeyError::File { path: shown.clone(), error })?;
        Self::parse(&text, &shown)
    }

    /// The address of the key's account.
    pub fn address(&self) -> Address {
        self.0.address()
    }

    /// Signs a digest as it is; `s` is low.
    pub fn sign(&self, digest: B256) -> Result<Signature, KeyError> {
        self.0.sign_hash_sync(&digest).map_err(|error| KeyError::Signing(error.to_string()))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device never ended, and a pipe without a writer was waited for.
    #[test]
    fn a_key_file_is_a_regular_one_and_small() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        let text = format!("0x{}\n", "59".repeat(32));
        std::fs::write(at("key"), &text).expect("written");
        std::os::unix::fs::symlink(at("key"), at("link")).expect("a link");
        assert!(Key::from_file(&at("key")).is_ok() && Key::from_file(&at("link")).is_ok());
        std::fs::write(at("large"), format!("{text}{}", " ".repeat(4 << 10))).expect("written");
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo");
        assert!(made.success());
        for (path, why) in [
            (at("large"), "has more than 4096 bytes"),
            (at("pipe"), "no regular file"),
            ("/dev/zero".into(), "no regular file"),
            (dir.path().to_owned(), "no regular file"),
        ] {
            let error = Key::from_file(&path).expect_err("no key").to_string();
            assert!(error.contains(why) && error.contains(&*path.to_string_lossy()), "{error}");
        }
    }

    #[test]
    fn neither_debug_nor_errors_show_a_key() {
        let text = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
        let key = Key::parse(&format!(" {text}\n"), "test").expect("a key");
        assert_eq!(format!("{key:?}"), "Key(..)");
        let error = Key::parse(&text[..60], "GAS_KEY").expect_err("too short");
        assert!(error.to_string().starts_with("GAS_KEY does not hold"));
        assert!(!format!("{error:?} {error}").contains("59c6"));
    }
}
