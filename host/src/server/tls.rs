//! Serves TLS with a certificate from files, which are read again when they change.
//!
//! A renewal writes two files, one after the other. Files that do not fit together, or cannot be read, are logged once
//! and leave the former certificate in use; the next check finds both.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use coinslot_base::file::read_regular;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig};

use crate::path_events::{LookReason, PathEvents};

/// The interval of checking files that cannot be used.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The time between a change of a file and a check: a renewal writes the other file, too.
const RENEWAL_GRACE: Duration = Duration::from_millis(500);

/// The files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM: the host's own certificate first, then the intermediate ones.
    pub certificates: PathBuf,
    /// PEM: the private key of the first certificate.
    pub key: PathBuf,
}

/// The reason why a certificate cannot be used. The text names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{file}: {error}")]
    Unreadable { file: String, error: io::Error },
    #[error("{file}: no PEM certificate in it")]
    NoCertificate { file: String },
    #[error("{file}: no PEM private key in it (PKCS #8, PKCS #1 or SEC 1): {error}")]
    NoKey { file: String, error: rustls_pki_types::pem::Error },
    #[error("{file}: it holds a certificate that is no authority for clients: {error}")]
    NoAuthority { file: String, error: String },
    #[error("{certificates} and {key} do not fit together: {error}")]
    Unusable { certificates: String, key: String, error: Error },
}

/// Accepts TLS connections: TLS 1.2 and 1.3, and HTTP/2 and HTTP/1.1 by ALPN.
pub struct Tls {
    identity: Identity,
    current: Arc<CurrentCertificate>,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The certificate that every client gets, whatever server name it asks for: the `Host` header decides which names are
/// served.
#[derive(Debug)]
struct CurrentCertificate(ArcSwap<Certificate>);

#[derive(Debug)]
struct Certificate {
    certified: Arc<CertifiedKey>,
    /// SHA-256 of the certificate and key files.
    digest: [u8; 32],
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

impl Tls {
    /// Reads the certificate. Fails if it cannot be used.
    pub fn new(identity: Identity) -> Result<Self, TlsError> {
        Self::with(identity, vec![b"h2".to_vec(), b"http/1.1".to_vec()], None)
    }

    /// Reads the certificate of a listener that speaks HTTP/1.1, and the authorities that sign its clients'
    /// certificates: with them a client without such a certificate does not come through the handshake. Fails if a file
    /// cannot be used. The authorities are read once.
    pub fn for_operators(identity: Identity, client_authorities: Option<&Path>) -> Result<Self, TlsError> {
        Self::with(identity, vec![b"http/1.1".to_vec()], client_authorities)
    }

    fn with(identity: Identity, protocols: Vec<Vec<u8>>, client_authorities: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let bytes = IdentityBytes::read(&identity)?;
        let certificate =
            Certificate { digest: bytes.digest(), certified: Arc::new(bytes.certified(&identity, &provider)?) };
        let current = Arc::new(CurrentCertificate(ArcSwap::from_pointee(certificate)));
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let config = config.map_err(|error| unusable(&identity, error))?;
        let config = match client_authorities {
            Some(file) => config.with_client_cert_verifier(verifier(file, provider)?),
            None => config.with_no_client_auth(),
        };
        let mut config = config.with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = protocols;
        Ok(Self { identity, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Gives new connections the certificate that is in the files now. Open ones keep theirs. Never returns.
    pub async fn watch(self: Arc<Self>) {
        // The last error, and the number of checks that met it one after the other.
        let mut failure: Option<(String, u32)> = None;
        let mut events = PathEvents::of([self.identity.certificates.clone(), self.identity.key.clone()]);
        loop {
            tokio::select! {
                reason = events.next() => {
                    if reason == LookReason::Event {
                        tokio::time::sleep(RENEWAL_GRACE).await;
                    }
                }
                () = tokio::time::sleep(CHECK_INTERVAL), if failure.is_some() => {}
            }
            match self.check() {
                Ok(false) => failure = None,
                Ok(true) => {
                    failure = None;
                    tracing::info!(certificate = %self.identity.certificates.display(), "a new certificate is in use");
                }
                Err(error) => {
                    let text = error.to_string();
                    let same = failure.filter(|(before, _)| *before == text);
                    let checks = same.map_or(1, |(_, checks)| checks.saturating_add(1));
                    // While a renewal is under way the files may not fit together for a moment: an error is logged at
                    // the second check that meets it, and only then.
                    if checks == 2 {
                        tracing::error!(error = text, "the new certificate cannot be used; the former still is");
                    }
                    failure = Some((text, checks));
                }
            }
        }
    }

    /// Reads the files. True if they hold a new certificate, which is then in use.
    fn check(&self) -> Result<bool, TlsError> {
        let bytes = IdentityBytes::read(&self.identity)?;
        let digest = bytes.digest();
        if self.current.0.load().digest == digest {
            return Ok(false);
        }
        let certified = bytes.certified(&self.identity, &aws_lc_rs::default_provider())?;
        self.current.0.store(Arc::new(Certificate { certified: Arc::new(certified), digest }));
        Ok(true)
    }
}

/// The most bytes of a file of certificates or of their key.
const MOST_PEM: u64 = 1 << 20;

/// Verifies that a client's certificate is signed by an authority of this file.
fn verifier(file: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let shown = || file.display().to_string();
    let bytes = read_regular(file, MOST_PEM).map_err(|error| TlsError::Unreadable { file: shown(), error })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|_| TlsError::NoCertificate { file: shown() })?;
        roots.add(certificate).map_err(|error| TlsError::NoAuthority { file: shown(), error: error.to_string() })?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoCertificate { file: shown() });
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| TlsError::NoAuthority { file: shown(), error: error.to_string() })
}

/// The bytes of the two files.
struct IdentityBytes {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

impl IdentityBytes {
    fn read(identity: &Identity) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            read_regular(path, MOST_PEM)
                .map_err(|error| TlsError::Unreadable { file: path.display().to_string(), error })
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
