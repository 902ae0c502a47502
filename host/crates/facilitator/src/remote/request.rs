//! Writes the bodies of requests to a facilitator: the payment, the requirements, and nothing else that a client wrote.
//!
//! A client may put anything beside its payment. A facilitator that validates what it gets would refuse our request for
//! it, which looks like a failure of the facilitator and stops all sales; a facilitator that keeps a catalogue would
//! list it in the seller's name.

use std::borrow::Cow;

use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::{Object, v1, v2};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use url::Url;

/// The signed parts of an EIP-3009 payment. Source: x402 specification of the scheme `exact` on EVM.
const PAYLOAD: &[&str] = &["signature", "authorization"];
const AUTHORIZATION: &[&str] = &["from", "to", "value", "validAfter", "validBefore", "nonce"];

/// The texts that describe a resource. Source: x402 specification v2, section 5.1.2.
const RESOURCE: &[&str] = &["url", "description", "mimeType"];

/// The body of `/verify` and `/settle`. The same payment has the same bytes each time: keys stand in the
/// order in which they came, and nothing depends on the clock.
pub(super) fn body(payment: &PaymentRequest, strip_query: bool) -> Result<Vec<u8>, serde_json::Error> {
    match payment {
        PaymentRequest::V1 { payload, requirements } => {
            let v1::PaymentPayload { x402_version: _, scheme, network, payload } = payload;
            let payment_payload = PayloadV1 { x402_version: 1, scheme, network, payload: Signed(payload) };
            let payment_requirements = RequirementsV1::of(requirements, strip_query);
            serde_json::to_vec(&FacilitatorRequest { x402_version: 1, payment_payload, payment_requirements })
        }
        PaymentRequest::V2 { payload, requirements, declaration } => {
            let resource = payload.resource.as_ref().and_then(|echo| ResourceEcho::of(echo, strip_query));
            let payload = Signed(&payload.payload);
            // The echo of the chosen entry equals it, and of the extensions only our own declaration is for a facilitator.
            let extensions = declaration.as_ref().map(|bazaar| Extensions { bazaar });
            let payment_payload = PayloadV2 { x402_version: 2, resource, accepted: requirements, payload, extensions };
            serde_json::to_vec(&FacilitatorRequest {
                x402_version: 2,
                payment_payload,
                payment_requirements: requirements,
            })
        }
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct FacilitatorRequest<P, R> {
    x402_version: u8,
    payment_payload: P,
    payment_requirements: R,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct PayloadV1<'p> {
    x402_version: u8,
    scheme: &'p str,
    network: &'p str,
    payload: Signed<'p>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct PayloadV2<'p> {
    x402_version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<ResourceEcho<'p>>,
    accepted: &'p v2::PaymentRequirements,
    payload: Signed<'p>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<Extensions<'p>>,
}

#[derive(serde::Serialize)]
struct Extensions<'p> {
    bazaar: &'p Value,
}

/// The requirements of version 1, which name the resource.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct RequirementsV1<'p>(Cow<'p, v1::PaymentRequirements>);

impl<'p> RequirementsV1<'p> {
    fn of(requirements: &'p v1::PaymentRequirements, strip_query: bool) -> Self {
        let stripped = without_query(&requirements.resource);
        if !strip_query || stripped == requirements.resource {
            return Self(Cow::Borrowed(requirements));
        }
        Self(Cow::Owned(v1::PaymentRequirements { resource: stripped.to_owned(), ..requirements.clone() }))
    }
}

/// The fields of a payload that its payer signs, for an EIP-3009 payment. Payments of other kinds are the facilitator's
/// to read.
struct Signed<'p>(&'p Object);

impl Serialize for Signed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(Value::Object(authorization)) = self.0.get("authorization") else {
            return self.0.serialize(serializer);
        };
        let mut fields = serializer.serialize_map(None)?;
        for (key, value) in self.0.iter().filter(|(key, _)| PAYLOAD.contains(&key.as_str())) {
            match key.as_str() {
                "authorization" => {
                    fields.serialize_entry(key, &Only { names: AUTHORIZATION, object: authorization })?
                }
                _ => fields.serialize_entry(key, value)?,
            }
        }
        fields.end()
    }
}

/// The fields of an object with these names.
struct Only<'p> {
    names: &'static [&'static str],
    object: &'p Object,
}

impl Serialize for Only<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.object.iter().filter(|(key, _)| self.names.contains(&key.as_str())))
    }
}

/// The client's echo of the resource.
struct ResourceEcho<'p> {
    echo: &'p Object,
    url: &'p str,
}

impl<'p> ResourceEcho<'p> {
    /// `None` unless the echo has the form that the protocol wants: a web address, and texts.
    fn of(echo: &'p Value, strip_query: bool) -> Option<Self> {
        let echo = echo.as_object()?;
        let url = echo.get("url")?.as_str()?;
        if !Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return None;
        }
        Some(Self { echo, url: if strip_query { without_query(url) } else { url } })
    }
}

impl Serialize for ResourceEcho<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = self.echo.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
        let known = texts.filter(|(key, _)| RESOURCE.contains(key));
        serializer.collect_map(known.map(|(key, text)| if key == "url" { (key, self.url) } else { (key, text) }))
    }
}

/// The address without query and fragment.
fn without_query(url: &str) -> &str {
    url.find(['?', '#']).map_or(url, |end| &url[..end])
}
