//! Identifies payments and requests: by the spend on the chain, and by fingerprints of what was signed and what was
//! asked.

use alloy::primitives::hex;
use bytes::Bytes;
use coinslot_base::offload::offload;
use coinslot_ledger::{Fingerprint, PaymentId};
use coinslot_plugin::PaymentReceipt;
use coinslot_x402::exact::ExactPayload;
use coinslot_x402::price::{Amount, Asset};
use http::header::CONTENT_TYPE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use sha2::{Digest, Sha256};

use crate::endpoint::Endpoint;

/// The size above which a body is hashed apart from other connections, in bytes. A body of this size takes 0.1 ms.
const LARGE_BODY: usize = 128 << 10;

/// The spend that the chain lets through once: network, token, payer and nonce. Source: EIP-3009.
pub(super) fn payment_id(asset: &Asset, exact: &ExactPayload) -> PaymentId {
    PaymentId::new(
        asset.network.clone(),
        asset.address.to_ascii_lowercase(),
        hex::encode_prefixed(exact.authorization.from),
        hex::encode_prefixed(exact.authorization.nonce),
    )
}

/// The receipt that the guest sees: the payer of this run, and the amount.
pub(super) fn receipt(asset: &Asset, exact: &ExactPayload, id: &PaymentId) -> PaymentReceipt {
    PaymentReceipt {
        payer: exact.authorization.from.to_checksum(None),
        amount: Amount(exact.authorization.value).decimal(asset.decimals),
        asset: asset.address.clone(),
        network: asset.network.to_string(),
        payment_id: id.short(),
    }
}

/// Hashes everything that distinguishes one signed payment from another of the same nonce.
pub(super) fn payment_fingerprint(exact: &ExactPayload) -> Fingerprint {
    let authorization = &exact.authorization;
    let mut hash = Sha256::new();
    hash.update(authorization.to);
    hash.update(authorization.value.to_be_bytes::<32>());
    hash.update(authorization.valid_after.to_be_bytes::<32>());
    hash.update(authorization.valid_before.to_be_bytes::<32>());
    hash.update(&exact.signature);
    Fingerprint(hash.finalize().into())
}

/// Hashes everything that a repetition of a request must have in common with it: what [`request_fingerprint`] hashes,
/// and the header fields that the price may depend on. The media type is in the former, without its boundary.
pub(super) fn claim_fingerprint(endpoint: &Endpoint, request: &Request<Bytes>) -> Fingerprint {
    let plain = request_fingerprint(endpoint, request);
    let named = || endpoint.quote_headers.iter().filter(|name| **name != CONTENT_TYPE);
    if named().next().is_none() { plain } else { with_headers(plain, named(), request.headers()) }
}

/// Hashes the method, the template, the target, the media type and the body of a request.
///
/// A multipart body counts by its parts: clients draw a new boundary each time they encode the same form (RFC 2046,
/// section 5.1). It counts as it is where its boundary also stands in the content, which another boundary would change.
pub(super) fn request_fingerprint(endpoint: &Endpoint, request: &Request<Bytes>) -> Fingerprint {
    if request.body().len() > LARGE_BODY {
        offload(|| hash_request(endpoint, request))
    } else {
        hash_request(endpoint, request)
    }
}

fn hash_request(endpoint: &Endpoint, request: &Request<Bytes>) -> Fingerprint {
    let target = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    let media = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let head = [endpoint.label.as_bytes(), target.as_bytes()];
    let boundary = Boundary::of(media);
    match boundary.as_ref().and_then(|boundary| Some((boundary, boundary.parts(request.body())?))) {
        None => hash_of(head.into_iter().chain([media, request.body()])),
        Some((boundary, parts)) => {
            let around = [boundary.before, boundary.after];
            hash_of(head.into_iter().chain(around).chain(parts))
        }
    }
}

/// Adds the values of these header fields to the fingerprint of a request.
pub(super) fn with_headers<'n>(
    request: Fingerprint,
    names: impl IntoIterator<Item = &'n HeaderName>,
    headers: &HeaderMap,
) -> Fingerprint {
    let fields = names.into_iter().flat_map(|name| {
        let values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        std::iter::once(name.as_str().as_bytes()).chain(values)
    });
    hash_of(std::iter::once(&request.0[..]).chain(fields))
}

/// Hashes each part with its length, so that no byte can move from one part to the next and leave the hash as it was.
fn hash_of<'p>(parts: impl Iterator<Item = &'p [u8]>) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Fingerprint(hash.finalize().into())
}

/// The boundary of a multipart media type, and the text around it.
struct Boundary<'m> {
    before: &'m [u8],
    value: &'m [u8],
    after: &'m [u8],
}

impl<'m> Boundary<'m> {
    /// The shortest boundary that counts. Clients draw longer ones; a short one may occur in the content of a part.
    const SHORTEST: usize = 8;
    /// The longest boundary that RFC 2046, section 5.1.1, allows.
    const LONGEST: usize = 70;

    fn of(media: &'m [u8]) -> Option<Self> {
        const KEY: &[u8] = b"boundary=";
        let multipart = media.get(..10)?.eq_ignore_ascii_case(b"multipart/");
        let mut found = media.windows(KEY.len()).enumerate().filter(|(_, part)| part.eq_ignore_ascii_case(KEY));
        let (Some((at, _)), None, true) = (found.next(), found.next(), multipart) else { return None };
        // A parser may read another value out of `x-boundary=..`, or of a parameter inside a quoted one.
        let begins = media[..at].last().is_some_and(|byte| matches!(byte, b';' | b' ' | b'\t'));
        if !begins || media[..at].contains(&b'"') {
            return None;
        }
        let (before, rest) = media.split_at(at + KEY.len());
        let quoted = rest.first() == Some(&b'"');
        let (start, end) = if quoted {
            (1, rest.iter().skip(1).position(|byte| *byte == b'"')? + 1)
        } else {
            (0, rest.iter().position(|byte| matches!(byte, b';' | b' ')).unwrap_or(rest.len()))
        };
        let value = rest.get(start..end).filter(|value| (Self::SHORTEST..=Self::LONGEST).contains(&value.len()))?;
        Some(Self { before, value, after: &rest[end..] })
    }

    /// The pieces of a body between its boundaries. None if the boundary also stands where it delimits nothing.
    fn parts<'b>(&self, body: &'b [u8]) -> Option<Vec<&'b [u8]>> {
        let (mut parts, mut from) = (Vec::new(), 0);
        for start in memchr::memmem::find_iter(body, self.value) {
            let end = start + self.value.len();
            let begins_line = body[..start] == *b"--" || body[..start].ends_with(b"\r\n--");
            if !begins_line || !(body[end..].starts_with(b"\r\n") || body[end..].starts_with(b"--")) {
                return None;
            }
            parts.push(&body[from..start]);
            from = end;
        }
        parts.push(&body[from..]);
        Some(parts)
    }
}

/// Compares addresses as hex digits: a facilitator may write them checksummed or not.
pub(super) fn same_address(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'b>(media: &str, body: &'b str) -> Option<Vec<&'b [u8]>> {
        Boundary::of(media.as_bytes())?.parts(body.as_bytes())
    }

    #[test]
    fn a_form_counts_by_its_parts_whatever_its_boundary() {
        let one = parts("multipart/form-data; boundary=----abcdefgh", "------abcdefgh\r\nx\r\n------abcdefgh--");
        let quoted = parts("Multipart/Form-Data; boundary=\"12345678\"", "--12345678\r\nx\r\n--12345678--");
        assert_eq!(one, Some(vec![&b"--"[..], b"\r\nx\r\n--", b"--"]));
        assert_eq!(one, quoted);
        let other = parts("multipart/form-data; boundary=12345678", "--12345678\r\ny\r\n--12345678--");
        assert_ne!(one, other);
    }

    /// A boundary of 60,000 bytes took seconds of a thread that serves all.
    #[test]
    fn a_boundary_that_is_longer_than_allowed_does_not_count() {
        let media = |length: usize| format!("multipart/form-data; boundary={}", "-".repeat(length));
        assert!(Boundary::of(media(70).as_bytes()).is_some());
        assert!(Boundary::of(media(71).as_bytes()).is_none());
    }

    #[test]
    fn a_form_whose_boundary_stands_in_its_content_counts_as_it_is() {
        let media = "multipart/form-data; boundary=12345678";
        for content in ["12345678", "x12345678", "x--12345678\r\n", "\r\n--123456789", "\n--12345678\n"] {
            assert_eq!(parts(media, &format!("--12345678\r\n{content}\r\n--12345678--")), None, "{content}");
        }
    }

    #[test]
    fn other_media_types_and_short_boundaries_count_as_they_are() {
        for media in [
            "",
            "text/plain",
            "text/plain; boundary=12345678",
            "multipart/mixed; boundary=1234567",
            "multipart/x; boundary=\"12345678",
            "multipart/x; x-boundary=12345678",
            "multipart/x; boundary=12345678; boundary=87654321",
            "multipart/x; name=\"; boundary=12345678\"",
        ] {
            assert!(Boundary::of(media.as_bytes()).is_none(), "{media}");
        }
    }
}
