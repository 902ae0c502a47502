//! Reads a challenge leniently: what is wrong with one part must not hide the other parts.

use std::net::IpAddr;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use coinslot_base::client::is_of_one_client;
use coinslot_x402::header::PAYMENT_REQUIRED;
use coinslot_x402::price::Asset;
use coinslot_x402::{Network, Object};
use serde_json::Value;
use url::{Host, Url};

use super::client::Answer;

/// The most entries of `accepts` that are judged.
pub(super) const MOST_ENTRIES: usize = 64;

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This machine.
    Local,
    /// A private network.
    Private,
    /// The Internet, as far as its name tells.
    Public,
}

/// A challenge, as it came.
#[derive(Clone, Debug)]
pub struct ChallengeFacts {
    /// The URL that was called. None for a challenge that no request has asked for.
    pub called: Option<Url>,
    /// The values of `PAYMENT-REQUIRED`.
    pub headers: Vec<Vec<u8>>,
    /// The size of the whole head, in bytes.
    pub head_bytes: Option<usize>,
    pub body: Bytes,
    /// `Content-Type`.
    pub media_type: Option<String>,
    /// The document of version 2, from the header, or from a body that has it instead.
    pub(super) v2: Option<Object>,
    /// The document of version 1.
    pub(super) v1: Option<Object>,
}

/// An entry of `accepts`, whichever version has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'c> {
    pub(super) index: usize,
    pub(super) object: &'c Object,
    pub(super) version: u8,
}

impl Reach {
    /// The reach of a URL's host. A name of a private network cannot be told from others, but by its ending.
    pub fn of(url: &Url) -> Self {
        let of_address = |address: IpAddr| match address {
            address if address.is_loopback() || address.is_unspecified() => Self::Local,
            address if is_of_one_client(address) => Self::Public,
            _ => Self::Private,
        };
        match url.host() {
            Some(Host::Ipv4(address)) => of_address(address.into()),
            Some(Host::Ipv6(address)) => of_address(address.to_canonical()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                let ends = |ending: &str| name.ends_with(ending);
                match name {
                    "localhost" => Self::Local,
                    _ if ends(".localhost") => Self::Local,
                    _ if [".local", ".internal", ".lan", ".home.arpa", ".test"].into_iter().any(ends) => Self::Private,
                    _ if !name.contains('.') => Self::Private,
                    _ => Self::Public,
                }
            }
            None => Self::Private,
        }
    }
}

impl ChallengeFacts {
    /// The challenge in an answer.
    pub fn of(called: &Url, answer: &Answer) -> Self {
        let headers = answer.headers.get_all(PAYMENT_REQUIRED).iter().map(|value| value.as_bytes().to_vec()).collect();
        let mut facts = Self::new(headers, answer.body.clone());
        facts.called = Some(called.clone());
        facts.head_bytes = Some(answer.head_bytes());
        facts.media_type = answer.header("content-type");
        facts
    }

    /// A challenge that no request has asked for.
    pub fn new(headers: Vec<Vec<u8>>, body: Bytes) -> Self {
        let of_body: Option<Object> = serde_json::from_slice(&body).ok();
        let version = |document: &Object| document.get("x402Version").and_then(Value::as_u64);
        let of_header = headers.first().and_then(|value| decode(value));
        let in_body = of_body.as_ref().filter(|body| headers.is_empty() && version(body) == Some(2)).cloned();
        let v1 = of_body.filter(|body| version(body) != Some(2) && body.contains_key("accepts"));
        Self { called: None, headers, head_bytes: None, body, media_type: None, v2: of_header.or(in_body), v1 }
    }

    /// True if there is a document of either version.
    pub fn is_some(&self) -> bool {
        self.v2.is_some() || self.v1.is_some()
    }

    /// The document that clients read: that of version 2 before that of version 1.
    pub(super) fn document(&self) -> Option<&Object> {
        self.v2.as_ref().or(self.v1.as_ref())
    }

    /// The ways to pay that clients read.
    pub(super) fn entries(&self) -> Vec<Entry<'_>> {
        match &self.v2 {
            Some(_) => self.entries_of(2),
            None => self.entries_of(1),
        }
    }

    /// The ways to pay in this version.
    pub(super) fn entries_of(&self, version: u8) -> Vec<Entry<'_>> {
        let document = if version == 2 { self.v2.as_ref() } else { self.v1.as_ref() };
        let accepts = document.and_then(|document| document.get("accepts")?.as_array());
        let entries = accepts.into_iter().flatten().take(MOST_ENTRIES).enumerate();
        entries.filter_map(|(index, value)| Some(Entry { index, object: value.as_object()?, version })).collect()
    }

    /// The EVM chains on which it can be paid.
    pub fn chain_ids(&self) -> Vec<u64> {
        self.entries().iter().filter_map(|entry| entry.network()?.chain_id()).collect()
    }

    /// The texts of a price, in the order of its entries: network, token, receiver and amount.
    pub(super) fn terms(&self) -> Vec<[String; 4]> {
        self.entries().iter().map(Entry::terms).collect()
    }

    /// The secret in `extra` by which Coinslot knows its client again.
    pub(super) fn secret(&self) -> Option<&str> {
        self.entries().first().and_then(|entry| entry.extra("secret"))
    }
}

impl<'c> Entry<'c> {
    pub(super) fn text(&self, key: &str) -> Option<&'c str> {
        self.object.get(key)?.as_str()
    }

    pub(super) fn extra(&self, key: &str) -> Option<&'c str> {
        self.object.get("extra")?.get(key)?.as_str()
    }

    /// The key of the amount.
    pub(super) fn amount_key(&self) -> &'static str {
        if self.version == 2 { "amount" } else { "maxAmountRequired" }
    }

    pub(super) fn amount(&self) -> Option<&'c str> {
        self.text(self.amount_key())
    }

    pub(super) fn network(&self) -> Option<Network> {
        let name = self.text("network")?;
        if self.version == 2 { Network::parse(name).ok() } else { Network::parse_v1(name).ok() }
    }

    /// The token, if it is a well-known one.
    pub(super) fn known_asset(&self) -> Option<Asset> {
        Asset::at(&self.network()?, self.text("asset")?)
    }

    /// True for a transfer that the payer authorises by EIP-3009.
    pub(super) fn is_eip3009(&self) -> bool {
        let method = self.extra("assetTransferMethod");
        self.text("scheme") == Some("exact")
            && method.is_none_or(|method| method == "eip3009")
            && self.network().is_some_and(|network| network.chain_id().is_some())
    }

    /// The name of the entry in a detail.
    pub(super) fn name(&self) -> String {
        format!("accepts[{}]", self.index)
    }

    fn terms(&self) -> [String; 4] {
        let network = self.network().map(|network| network.to_string());
        let network = network.or_else(|| self.text("network").map(str::to_owned));
        let lower = |key: &str| self.text(key).unwrap_or_default().to_ascii_lowercase();
        [network.unwrap_or_default(), lower("asset"), lower("payTo"), self.amount().unwrap_or_default().to_owned()]
    }
}

/// Decodes Base64 of either alphabet, with padding or without it, of a JSON object.
fn decode(value: &[u8]) -> Option<Object> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabets = [&STANDARD, &URL_SAFE];
    let value = value.trim_ascii();
    let mut decoded =
        alphabets.into_iter().filter_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(value).ok());
    let of_base64 = decoded.find_map(|json| serde_json::from_slice(&json).ok());
    of_base64.or_else(|| serde_json::from_slice(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reach_of_a_host_is_told_by_its_name() {
        for (url, reach) in [
            ("http://127.0.0.1:8402/", Reach::Local),
            ("http://[::1]/", Reach::Local),
            ("http://localhost:1/", Reach::Local),
            ("http://a.localhost/", Reach::Local),
            ("http://10.1.2.3/", Reach::Private),
            ("http://[fd00::1]/", Reach::Private),
            ("http://printer.local/", Reach::Private),
            ("http://api/", Reach::Private),
            ("https://api.example.com/x", Reach::Public),
            ("https://9.9.9.9/", Reach::Public),
        ] {
            assert_eq!(Reach::of(&url.parse().expect("a URL")), reach, "{url}");
        }
    }

    #[test]
    fn a_challenge_is_read_in_every_wrong_encoding() {
        let json = r#"{"x402Version":2,"accepts":[{"scheme":"exact"}],"t":"????>>>>"}"#;
        let padded = base64::prelude::BASE64_STANDARD.encode(json);
        let url_safe = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(json);
        assert_ne!(padded, url_safe);
        for header in [padded.as_str(), padded.trim_end_matches('='), &url_safe, json] {
            let facts = ChallengeFacts::new(vec![header.as_bytes().to_vec()], Bytes::new());
            assert_eq!(facts.entries().len(), 1, "{header}");
        }
        let in_body = ChallengeFacts::new(Vec::new(), json.into());
        assert!(in_body.v2.is_some() && in_body.v1.is_none());
        let hostile = ChallengeFacts::new(vec![vec![0xff; 40]], Bytes::from_static(b"[1,2"));
        assert!(!hostile.is_some() && hostile.entries().is_empty());
    }
}
