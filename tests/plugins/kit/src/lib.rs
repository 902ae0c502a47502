//! Helpers of the test guests of WASI 0.2: bindings of the world `endpoint`, and short functions to declare a route,
//! read a request and write an answer.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "coinslot:plugin/endpoint",
    generate_all,
    pub_export_macro: true,
    default_bindings_module: "kit",
});

pub use coinslot::plugin::{payment, usage};
pub use exports::coinslot::plugin::manifest::{self, Endpoint, PluginInfo, Price};
pub use exports::wasi::http::incoming_handler;
pub use wasi::clocks::monotonic_clock;
pub use wasi::http::outgoing_handler;
pub use wasi::http::types::{
    self as http, Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
pub use wasi::io::streams::{InputStream, OutputStream, StreamError};

pub fn endpoint(method: &str, path: &str, price: Price) -> Endpoint {
    Endpoint {
        method: method.into(),
        path: path.into(),
        price,
        summary: "A guest for tests".into(),
        description: String::new(),
        mime_type: "application/json".into(),
        input_schema: None,
        output_schema: None,
        quote_headers: Vec::new(),
        extensions: Vec::new(),
    }
}

/// A manifest with a free GET and a paid POST route at the plugin's name.
pub fn plugin(name: &str) -> PluginInfo {
    PluginInfo {
        name: name.into(),
        version: "1.0.0".into(),
        endpoints: vec![
            endpoint("GET", &format!("/{name}"), Price::Free),
            endpoint("POST", &format!("/{name}"), Price::Exact("0.01".into())),
        ],
        extensions: Vec::new(),
    }
}

/// The query.
pub fn query(request: &IncomingRequest) -> String {
    let target = request.path_with_query().unwrap_or_default();
    target.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default()
}

/// Sends the head, and returns the body to write.
pub fn head(out: ResponseOutparam, status: u16, fields: &[(&str, &str)]) -> OutgoingBody {
    let headers = Fields::new();
    for (name, value) in fields {
        headers.append(name, value.as_bytes()).expect("a header that the host takes");
    }
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("the body, asked for once");
    ResponseOutparam::set(out, Ok(response));
    body
}

/// Writes all bytes, and waits while the reader is slow.
pub fn write(body: &OutgoingBody, mut bytes: &[u8]) -> Result<(), StreamError> {
    let stream = body.write().expect("the stream, asked for once");
    while !bytes.is_empty() {
        let piece = &bytes[..bytes.len().min(4096)];
        stream.blocking_write_and_flush(piece)?;
        bytes = &bytes[piece.len()..];
    }
    Ok(())
}

pub fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let body = head(out, status, &[("content-type", "application/json")]);
    write(&body, text.as_bytes()).expect("a reader");
    OutgoingBody::finish(body, None).expect("the whole body");
}

/// Writes a JSON string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Implements the exports of a guest, given its manifest and its handler.
#[macro_export]
macro_rules! guest {
    ($info:expr, $handle:expr) => {
        struct Guest;

        impl $crate::manifest::Guest for Guest {
            fn describe() -> Result<$crate::PluginInfo, String> {
                $info
            }
        }

        impl $crate::incoming_handler::Guest for Guest {
            fn handle(request: $crate::IncomingRequest, out: $crate::ResponseOutparam) {
                $handle(request, out)
            }
        }

        $crate::export!(Guest with_types_in $crate);
    };
}
