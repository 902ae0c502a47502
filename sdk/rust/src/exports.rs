//! Exports what the component has beside the `wasi:http` handler: `manifest` and `quote`.

use std::sync::Once;

use http::HeaderMap;

use crate::bindings::exports::coinslot::plugin::{manifest, quote};
use crate::body::Body;
use crate::dispatch::{self, RawRequest};
use crate::registry::{self, DeclaredEndpoint, Price};
use crate::{Amount, HeaderName, HeaderValue, Method, Refusal, log};

/// Implements the exported interfaces.
pub(crate) struct PluginExports;

/// Logs a panic as one line. The message of the standard library advises to set an environment variable, which a plugin
/// has not.
pub(crate) fn log_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
            log::error(format_args!("the plugin panicked{place}: {}", panic.payload_as_str().unwrap_or("no message")));
        }));
    });
}

#[allow(unsafe_code, reason = "generated: exported functions take what the canonical ABI passes")]
mod export {
    use super::PluginExports;
    use crate::bindings;

    bindings::export!(PluginExports with_types_in bindings);
}

impl manifest::Guest for PluginExports {
    fn describe() -> Result<manifest::PluginInfo, String> {
        log_panics();
        let manifest = registry::describe().map_err(|error| error.to_string())?;
        Ok(manifest::PluginInfo {
            name: manifest.name,
            version: manifest.version,
            endpoints: manifest.endpoints.into_iter().map(endpoint).collect(),
            extensions: Vec::new(),
        })
    }
}

fn endpoint(declared: DeclaredEndpoint) -> manifest::Endpoint {
    let quote_headers = declared.quoted_headers().map(str::to_owned).collect();
    manifest::Endpoint {
        method: declared.method.to_owned(),
        path: declared.path.to_owned(),
        price: match declared.price {
            Price::Free => manifest::Price::Free,
            Price::Exact(amount) => manifest::Price::Exact(amount.to_owned()),
            Price::UpTo(amount) => manifest::Price::UpTo(amount.to_owned()),
            Price::Quoted(amount) => manifest::Price::Quoted(amount.to_owned()),
        },
        summary: declared.summary.to_owned(),
        description: declared.description.to_owned(),
        mime_type: declared.mime_type.to_owned(),
        input_schema: declared.input_schema,
        output_schema: declared.output_schema,
        quote_headers,
        extensions: [("payment-flow", declared.flow), ("pass", declared.pass)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect(),
    }
}

impl quote::Guest for PluginExports {
    fn quote(request: quote::Request) -> Result<quote::Quotation, quote::Refusal> {
        log_panics();
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| refused(Refusal::bad_request("invalid_method", "the request's method is not one")))?;
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        }
        let body = Body::from(request.body);
        let raw = RawRequest { method, path: request.route, query: request.query, headers, body };
        dispatch::quote(raw, request.params).map(quoted).map_err(refused)
    }
}

/// The quote in the contract's type. An amount of zero is a free request.
fn quoted(amount: Amount) -> quote::Quotation {
    let price =
        if amount.is_zero() { quote::QuotedPrice::Free } else { quote::QuotedPrice::Amount(amount.to_string()) };
    quote::Quotation { price, extensions: Vec::new() }
}

/// The refusal in the contract's type. The contract takes 2,000 characters of a message.
fn refused(refusal: Refusal) -> quote::Refusal {
    quote::Refusal {
        status: refusal.status(),
        code: refusal.code().to_owned(),
        message: refusal.message().chars().take(2_000).collect(),
        extensions: refusal.facts().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    }
}
