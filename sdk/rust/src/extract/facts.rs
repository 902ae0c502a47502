//! Reads header fields, the client's address and the payment.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use http::{HeaderMap, Method};

use super::{Extract, PaymentSource, Request};
use crate::imports::{self, Receipt};
use crate::refusal::Refusal;

/// The request's header fields, without those about the payment.
///
/// `quote` and `check` see `content-type` and those that the endpoint's option `quote_headers` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub HeaderMap);

/// The address that sent the request to the operator's proxy. None if no proxy that the operator has named tells it,
/// and in `check` and `quote`.
///
/// A host without a named proxy tells plugins no address. Behind a chain of proxies it is the address that the last of
/// them was asked from.
///
/// ```
/// # use coinslot_sdk::{ClientAddress, Text, endpoint, testing};
/// #[endpoint(get, "/whoami", price = "0.001", summary = "Your address")]
/// fn whoami(ClientAddress(address): ClientAddress) -> Option<Text> {
///     address.map(|address| Text(address.to_string()))
/// }
/// # fn main() {
/// let request = testing::get("/whoami").header("x-forwarded-for", "10.1.1.1, 203.0.113.7");
/// assert_eq!(request.send().text(), "203.0.113.7");
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

/// The payment of this request; none on a free route, none for a request that the operator lets through without a
/// payment, and none while a price is quoted.
///
/// ```
/// # use coinslot_sdk::{Payment, Receipt, Text, endpoint, testing};
/// #[endpoint(get, "/thanks", price = "0.01", summary = "Thanks the payer")]
/// async fn thanks(Payment(receipt): Payment) -> Text {
///     Text(receipt.map_or_else(String::new, |receipt| format!("Thank you, {}!", receipt.payer)))
/// }
/// # fn main() {
/// assert!(testing::get("/thanks").paid(Receipt::sample()).send().text().starts_with("Thank you, 0x"));
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payment(pub Option<Receipt>);

impl Deref for Headers {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        &self.0
    }
}

impl Extract for Headers {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(Self(request.headers.clone()))
    }
}

impl Extract for Payment {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(Self(match request.payment {
            PaymentSource::Nobody => None,
            PaymentSource::Host => imports::payment(),
        }))
    }
}

impl Extract for HeaderMap {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(request.headers.clone())
    }
}

impl Extract for Method {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(request.method.clone())
    }
}

impl Extract for ClientAddress {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        // A host passes the field on only if a proxy that the operator named has appended the last entry.
        let last = request.headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
        Ok(Self(last.and_then(|list| address(list.rsplit(',').next().unwrap_or_default().trim()))))
    }
}

/// Reads an address, with a port or without, an IPv6 address with brackets or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_may_have_brackets_and_a_port() {
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"] {
            assert_eq!(address(text), Some("2001:db8::1".parse().expect("an address")), "{text}");
        }
        assert_eq!(address("203.0.113.7:80"), Some("203.0.113.7".parse().expect("an address")));
        assert_eq!((address("unknown"), address("")), (None, None));
    }
}
