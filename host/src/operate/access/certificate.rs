//! Reads the subject of an operator's certificate for the audit log. The handshake has verified the certificate.

use std::sync::Arc;

use coinslot_base::text::excerpt;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The longest subject that is shown, in characters.
const LONGEST: usize = 200;

/// Tags of DER (X.690): an object identifier, and the strings that are neither UTF-8 nor ASCII.
const OBJECT_IDENTIFIER: u8 = 0x06;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// The attributes of a subject that have a short name (RFC 4514, RFC 4519), by their object identifiers in DER.
const ATTRIBUTES: [(&[u8], &str); 13] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 12], "title"),
    (&[0x55, 4, 42], "GN"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];

/// The certificate that the client of a connection has shown.
#[derive(Clone, Debug)]
pub(in crate::operate) struct PeerCertificate(Arc<str>);

impl PeerCertificate {
    pub(in crate::operate) fn of(certificate: &CertificateDer<'_>) -> Self {
        let subject = EndEntityCert::try_from(certificate).map(|certificate| named(&certificate));
        let subject = subject.unwrap_or_else(|_| "unreadable".to_owned());
        Self(excerpt(&subject, LONGEST).into())
    }

    /// Its subject, as in `CN=ada, O=Example`. Without a subject: its first DNS name, or its serial number.
    pub(in crate::operate) fn subject(&self) -> &str {
        &self.0
    }
}

fn named(certificate: &EndEntityCert<'_>) -> String {
    let subject = attributes(certificate.subject()).join(", ");
    if !subject.is_empty() {
        return subject;
    }
    let name = certificate.valid_dns_names().next().map(str::to_owned);
    name.unwrap_or_else(|| format!("serial {}", hex::encode(certificate.serial())))
}

/// The attributes of a subject (RFC 5280, 4.1.2.6): a sequence of sets of pairs. What cannot be read ends it.
fn attributes(mut subject: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some((_, mut set, rest)) = element(subject) {
        subject = rest;
        while let Some((_, pair, rest)) = element(set) {
            set = rest;
            if let Some((OBJECT_IDENTIFIER, kind, value)) = element(pair)
                && let Some((tag, value, _)) = element(value)
            {
                let known = ATTRIBUTES.iter().find(|(oid, _)| *oid == kind);
                let name = known.map_or_else(|| hex::encode(kind), |(_, name)| (*name).to_owned());
                found.push(format!("{name}={}", text(tag, value)));
            }
        }
    }
    found
}

/// The first element of DER: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    // Below 128 it is the length, else the number of bytes that have it.
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn text(tag: u8, value: &[u8]) -> String {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number: u32, byte| number << 8 | u32::from(*byte));
    match tag {
        BMP_STRING => {
            let units = value.chunks(2).map(|unit| u16::try_from(number(unit)).unwrap_or_default());
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        UNIVERSAL_STRING => {
            value.chunks(4).map(|c| char::from_u32(number(c)).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::string::BmpString;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    fn subject(pairs: Vec<(DnType, DnValue)>, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = DistinguishedName::new();
        pairs.into_iter().for_each(|(kind, value)| params.distinguished_name.push(kind, value));
        let key = KeyPair::generate().expect("a key");
        PeerCertificate::of(params.self_signed(&key).expect("a certificate").der()).subject().to_owned()
    }

    #[test]
    fn a_certificate_is_called_by_its_subject_or_by_what_else_it_names() {
        let name = vec![
            (DnType::CommonName, "Ada L\u{f6}we".into()),
            (DnType::OrganizationName, DnValue::BmpString(BmpString::try_from("B\u{fc}ro").expect("a text"))),
            (DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "ada@ops.example".into()),
            (DnType::CustomDnType(vec![1, 2, 3]), "odd".into()),
        ];
        let shown = subject(name, &["ops.example"]);
        assert_eq!(shown, "CN=Ada L\u{f6}we, O=B\u{fc}ro, emailAddress=ada@ops.example, 2a03=odd");
        assert_eq!(subject(Vec::new(), &["ops.example"]), "ops.example");
        assert!(subject(Vec::new(), &[]).starts_with("serial "), "{}", subject(Vec::new(), &[]));
        assert_eq!(PeerCertificate::of(&CertificateDer::from(b"none".as_slice())).subject(), "unreadable");
    }

    #[test]
    fn a_subject_is_short_and_drives_no_terminal() {
        let hostile = format!("a\u{1b}[2J\n\u{202e}{}", "x".repeat(5_000));
        let shown = subject(vec![(DnType::CommonName, hostile.into())], &[]);
        assert!(shown.chars().count() < 210 && !shown.contains(['\u{1b}', '\n', '\u{202e}']), "{shown}");
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_subject_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            attributes(&bytes);
        }
    }
}
