//! The reasons why a proof of sign-in-with-x does not count.

use super::MAX_HEADER;

/// The reason why a proof does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    #[error("the SIGN-IN-WITH-X header has more than {MAX_HEADER} bytes")]
    TooLarge,
    #[error(
        "the SIGN-IN-WITH-X header cannot be read: send Base64 of a JSON object with domain, address, uri, version, \
         chainId, type, nonce, issuedAt and signature"
    )]
    Malformed,
    #[error("the proof is for another domain: sign the `info` of this answer")]
    Domain,
    #[error("the proof is for a URI of another origin: sign the `info` of this answer")]
    Uri,
    #[error("`version` is not 1")]
    Version,
    #[error("`issuedAt` is no time in UTC such as 2026-01-31T12:00:00.000Z")]
    IssuedAt,
    #[error("the challenge that was signed is too old: sign the `info` of this answer")]
    TooOld,
    #[error("`issuedAt` is in the future")]
    InFuture,
    #[error("`expirationTime` is no time in UTC")]
    ExpirationTime,
    #[error("the proof has expired: sign the `info` of this answer")]
    Expired,
    #[error("`notBefore` is no time in UTC")]
    NotBefore,
    #[error("the proof is not valid yet")]
    NotYetValid,
    #[error("the nonce is not one that this host gave out for this `issuedAt`: sign the `info` of this answer")]
    Nonce,
    #[error("the nonce was used before: sign the `info` of this answer, once for each request")]
    NonceUsed,
    #[error("accounts of this chain do not count here: choose one of `supportedChains`")]
    Chain,
    #[error("the signature is not that of the address")]
    Signature,
}

impl SignInError {
    /// The reason on the wire, as the reference server names it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge | Self::Malformed => "invalid_siwx_header",
            Self::Domain => "invalid_siwx_domain_mismatch",
            Self::Uri => "invalid_siwx_uri_mismatch",
            Self::Version => "invalid_siwx_version",
            Self::IssuedAt => "invalid_siwx_issued_at",
            Self::TooOld => "invalid_siwx_issued_at_too_old",
            Self::InFuture => "invalid_siwx_issued_at_in_future",
            Self::ExpirationTime => "invalid_siwx_expiration_time",
            Self::Expired => "invalid_siwx_expired",
            Self::NotBefore => "invalid_siwx_not_before",
            Self::NotYetValid => "invalid_siwx_not_yet_valid",
            Self::Nonce | Self::NonceUsed => "invalid_siwx_nonce",
            Self::Chain => "invalid_siwx_unsupported_chain",
            Self::Signature => "invalid_siwx_signature",
        }
    }
}
