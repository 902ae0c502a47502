//! A handler of WASI 0.3 that requests the URL in its query, and passes the answer on.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "coinslot:plugin/narrow",
});

use exports::coinslot::plugin::manifest::{Endpoint, PluginInfo, Price};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
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
