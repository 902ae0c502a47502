//! A handler of WASI 0.3 that requests the URL in its query, and passes the answer on. `?hoard` keeps requests that it
//! never sends, and `?texts` tries methods and authorities without end.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "coinslot:plugin/narrow",
});

use exports::coinslot::plugin::manifest::{Endpoint, PluginInfo, Price};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::{wit_future, wit_stream};

struct Guest;
export!(Guest);
wasip3::http::service::export!(Guest);

impl exports::coinslot::plugin::manifest::Guest for Guest {
    fn describe() -> Result<PluginInfo, String> {
        Ok(PluginInfo {
            name: "fetch3".into(),
            version: "1.0.0".into(),
            endpoints: vec![Endpoint {
                method: "GET".into(),
                path: "/fetch3".into(),
                price: Price::Free,
                summary: "Fetches through WASI 0.3".into(),
                description: String::new(),
                mime_type: "text/plain".into(),
                input_schema: None,
                output_schema: None,
                quote_headers: Vec::new(),
                extensions: Vec::new(),
            }],
            extensions: Vec::new(),
        })
    }
}

impl wasip3::exports::http::handler::Guest for Guest {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let url = target.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
        match url.as_str() {
            "hoard" => hoard(),
            "texts" => return Err(ErrorCode::InternalError(Some(texts()))),
            _ => {}
        }
        let (status, text) = match fetch(&url).await {
            Ok(found) => found,
            Err(error) => (502, format!("{error:?}")),
        };
        let (mut sink, back) = wit_stream::new();
        let (end, ended) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(back), ended);
        response.set_status_code(status).expect("a status");
        wasip3::wit_bindgen::spawn_local(async move {
            sink.write_all(text.into_bytes()).await;
            drop(sink);
            let _ = end.write(Ok(None)).await;
        });
        Ok(response)
    }
}

/// Makes requests of 16 KiB of header fields, and keeps them.
fn hoard() {
    let mut held = Vec::new();
    for _ in 0..400 {
        let fields = Fields::new();
        for index in 0..4 {
            fields.append(&format!("x-much-{index}"), &[b'x'; 4096]).expect("a header that the host takes");
        }
        let (end, ended) = wit_future::new(|| Ok(None));
        held.push((Request::new(fields, None, ended, None), end));
    }
    std::mem::forget(held);
}

/// Tells whether the host takes a method and an authority of a mebibyte.
fn texts() -> String {
    let (_end, ended) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, ended, None);
    let method = request.set_method(&Method::Other("X".repeat(1 << 20)));
    let authority = request.set_authority(Some(&"x".repeat(1 << 20)));
    format!("{} {}", method.is_ok(), authority.is_ok())
}

async fn fetch(url: &str) -> Result<(u16, String), ErrorCode> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (end, ended) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, ended, None);
    drop(end);
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    let response = client::send(request).await?;
    let status = response.get_status_code();
    let (_, taken) = wit_future::new(|| Ok(()));
    let (mut body, _trailers) = Response::consume_body(response, taken);
    let mut bytes = Vec::new();
    loop {
        let (status, piece) = body.read(Vec::with_capacity(16 << 10)).await;
        bytes.extend(piece);
        if !matches!(status, wasip3::wit_bindgen::StreamResult::Complete(_)) {
            break;
        }
    }
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}
