//! A handler of WASI 0.3 with the narrow world. It sends the body back while it arrives, and describes the request in
//! header fields, with those that `x-emit: NAME: VALUE` asks for, and the names of the request's trailers in a trailer.
//! `?trap`, `?spin` and `?sleep` misbehave after the head.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "coinslot:plugin/narrow",
});

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use exports::coinslot::plugin::manifest::{Endpoint, PluginInfo, Price};
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

struct Guest;
export!(Guest);
wasip3::http::service::export!(Guest);

static CALLS: AtomicU32 = AtomicU32::new(0);

impl exports::coinslot::plugin::manifest::Guest for Guest {
    fn describe() -> Result<PluginInfo, String> {
        Ok(PluginInfo {
            name: "echo3".into(),
            version: "1.0.0".into(),
            endpoints: vec![Endpoint {
                method: "POST".into(),
                path: "/echo3".into(),
                price: Price::Exact("0.01".into()),
                summary: "Echoes through WASI 0.3".into(),
                description: String::new(),
                mime_type: "application/octet-stream".into(),
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
        println!("echo3 got {target}");
        let names: Vec<String> = request.get_headers().copy_all().into_iter().map(|(name, _)| name).collect();
        let payer = coinslot::plugin::payment::current().map(|receipt| receipt.payer).unwrap_or_default();
        let headers = Fields::new();
        let calls = CALLS.fetch_add(1, Relaxed) + 1;
        for (name, value) in [
            ("x-target", target.clone()),
            ("x-names", names.join(",")),
            ("x-payer", payer),
            ("x-calls", calls.to_string()),
        ] {
            headers.append(name, value.as_bytes()).expect("a header");
        }
        for line in request.get_headers().get("x-emit") {
            let line = String::from_utf8_lossy(&line).into_owned();
            let (name, value) = line.split_once(": ").expect("a name and a value");
            let _ = headers.append(name, value.as_bytes());
        }
        let (_, taken) = wit_future::new(|| Ok(()));
        let (mut body, received) = Request::consume_body(request, taken);
        let (mut sink, back) = wit_stream::new();
        let (end, ended) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(headers, Some(back), ended);
        wasip3::wit_bindgen::spawn_local(async move {
            loop {
                let (status, piece) = body.read(Vec::with_capacity(16 << 10)).await;
                if !piece.is_empty() && !sink.write_all(piece).await.is_empty() {
                    return;
                }
                if !matches!(status, wasip3::wit_bindgen::StreamResult::Complete(_)) {
                    break;
                }
            }
            match target.split_once('?').map(|(_, query)| query) {
                Some("trap") => panic!("as asked"),
                Some("spin") => loop {
                    std::hint::black_box(&end);
                },
                Some("sleep") => wasip3::clocks::monotonic_clock::wait_for(3_600_000_000_000).await,
                _ => {}
            }
            drop(sink);
            let trailers = Fields::new();
            if let Ok(Some(received)) = received.await {
                let names: Vec<String> = received.copy_all().into_iter().map(|(name, _)| name).collect();
                trailers.append("x-received", names.join(",").as_bytes()).expect("a trailer");
            }
            trailers.append("x-end", b"reached").expect("a trailer");
            let _ = end.write(Ok(Some(trailers))).await;
        });
        Ok(response)
    }
}
