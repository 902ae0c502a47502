//! TLS: the certificate is a file, and is read again when it changes.
//!
//! Whoever renews it writes two files, one after the other. What does not fit together, or cannot be read, is said
//! once and leaves the former certificate in use; the next look finds both.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, ServerConfig};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM: the host's own certificate first, then those that lead to a root.
    pub certificates: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
}

/// Why a certificate cannot be used. The sentence names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file}: {error}")]
    Unreadable { file: String, error: io::Error },
    #[error("{file}: no PEM certificate in it")]
    NoCertificate { file: String },
    #[error("{file}: no PEM private key in it (PKCS #8, PKCS #1 or SEC 1): {error}")]
    NoKey { file: String, error: rustls_pki_types::pem::Error },
    #[error("{certificates} and {key} do not fit together: {error}")]
    Unusable { certificates: String, key: String, error: Error },
}

/// Takes TLS connections. TLS 1.2 and 1.3; HTTP/2 and HTTP/1.1 by ALPN.
pub struct Tls {
    identity: Identity,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// What is shown to clients, whatever name they ask for: which names are ours is decided by `Host`.
#[derive(Debug)]
struct Current(ArcSwap<Shown>);

#[derive(Debug)]
struct Shown {
    certified: Arc<CertifiedKey>,
    /// Of both files' bytes.
    digest: [u8; 32],
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

impl Tls {
    /// Reads the certificate. Fails if it cannot be used.
    pub fn new(identity: Identity) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let bytes = Bytes::read(&identity)?;
        let shown = Shown { digest: bytes.digest(), certified: Arc::new(bytes.certified(&identity, &provider)?) };
        let current = Arc::new(Current(ArcSwap::from_pointee(shown)));
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| unusable(&identity, error))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { identity, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Runs for ever: shows new connections what is in the files now. Open ones keep what they were shown.
    pub async fn watch(self: Arc<Self>) {
        let mut said = None;
        loop {
            tokio::time::sleep(EVERY).await;
            match self.look() {
                Ok(false) => {}
                Ok(true) => {
                    said = None;
                    tracing::info!(certificate = %self.identity.certificates.display(), "a new certificate is in use");
                }
                Err(error) => {
                    let text = error.to_string();
                    // Once half-written files would be whole, and only once.
                    if let Some((before, false)) = &said
                        && *before == text
                    {
                        tracing::error!(error = text, "the new certificate cannot be used; the former still is");
                        said = Some((text, true));
                    } else if said.as_ref().is_none_or(|(before, _)| *before != text) {
                        said = Some((text, false));
                    }
                }
            }
        }
    }

    /// Whether there was something new.
    fn look(&self) -> Result<bool, TlsError> {
        let bytes = Bytes::read(&self.identity)?;
        let digest = bytes.digest();
        if self.current.0.load().digest == digest {
            return Ok(false);
        }
        let certified = bytes.certified(&self.identity, &aws_lc_rs::default_provider())?;
        self.current.0.store(Arc::new(Shown { certified: Arc::new(certified), digest }));
        Ok(true)
    }
}

/// The two files.
struct Bytes {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

impl Bytes {
    fn read(identity: &Identity) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| TlsError::Unreadable { file: path.display().to_string(), error })
        };
        Ok(Self { certificates: read(&identity.certificates)?, key: read(&identity.key)? })
    }

    fn digest(&self) -> [u8; 32] {
        let mut sha = Sha256::new();
        sha.update(&self.certificates);
        sha.update(&self.key);
        sha.finalize().into()
    }

    fn certified(&self, identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let file = || identity.certificates.display().to_string();
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate { file: file() })?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { file: file() });
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| TlsError::NoKey { file: identity.key.display().to_string(), error })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|error| unusable(identity, error))
    }
}

fn unusable(identity: &Identity, error: Error) -> TlsError {
    TlsError::Unusable {
        certificates: identity.certificates.display().to_string(),
        key: identity.key.display().to_string(),
        error,
    }
}
