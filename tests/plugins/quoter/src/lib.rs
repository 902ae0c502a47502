//! Quotes as its query says: a price by the length of the body (or of the path's word, if there is none) and by
//! `x-pages`, a valid or an invalid refusal, or without end.
//!
//! Tests overwrite `[shop]open` in the component's bytes with `[shop]shut`: that build refuses every request.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "coinslot:plugin/endpoint-quoting",
    generate_all,
});

use exports::coinslot::plugin::manifest::{Endpoint, PluginInfo, Price};
use exports::coinslot::plugin::quote::{Quotation, QuotedPrice, Refusal, Request};
use wasi::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

struct Guest;
export!(Guest);

static SHOP: [u8; 10] = *b"[shop]open";

impl exports::coinslot::plugin::manifest::Guest for Guest {
    fn describe() -> Result<PluginInfo, String> {
        Ok(PluginInfo {
            name: "quoter".into(),
            version: "0.1.0-rc.1".into(),
            endpoints: vec![Endpoint {
                method: "POST".into(),
                path: "/quoter/{kind}".into(),
                price: Price::Quoted("1".into()),
                summary: "Priced by length".into(),
                description: String::new(),
                mime_type: "text/plain; charset=utf-8".into(),
                input_schema: Some(r#"{"type":"object"}"#.into()),
                output_schema: None,
                quote_headers: vec!["x-pages".into()],
                extensions: Vec::new(),
            }],
            extensions: Vec::new(),
        })
    }
}

impl exports::coinslot::plugin::quote::Guest for Guest {
    fn quote(request: Request) -> Result<Quotation, Refusal> {
        let price = |price| Ok(Quotation { price, extensions: vec![("unknown".into(), "ignored".into())] });
        let amount = |amount: String| price(QuotedPrice::Amount(amount));
        let refuse = |status, code: &str, message: String| {
            Err(Refusal { status, code: code.into(), message, extensions: Vec::new() })
        };
        // Without the black box the compiler would read it now.
        if std::hint::black_box(&SHOP).ends_with(b"shut") {
            return refuse(410, "shut", "Nothing is sold here any more".into());
        }
        match request.query.as_deref() {
            None => {
                let pages = request.headers.iter().find(|(name, _)| name == "x-pages");
                let pages = pages.and_then(|(_, value)| String::from_utf8_lossy(value).parse::<usize>().ok());
                let length = if request.body.is_empty() { request.params[0].1.len() } else { request.body.len() };
                amount(format!("0.{:03}", length + pages.unwrap_or(0)))
            }
            Some("loop") => loop {
                std::hint::black_box(&request);
            },
            Some("sleep") => {
                wasi::clocks::monotonic_clock::subscribe_duration(3_600_000_000_000).block();
                amount("1".into())
            }
            Some("headers") => {
                refuse(400, "seen", request.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(","))
            }
            Some("params") => {
                refuse(422, "params", format!("{} {} {:?}", request.method, request.route, request.params))
            }
            Some("pointer") => Err(Refusal {
                status: 422,
                code: "too_many".into(),
                message: "Order fewer".into(),
                extensions: [("pointer", "/body/count"), ("unknown", "ignored"), ("code", "stock")]
                    .map(|(key, value)| (key.into(), value.into()))
                    .into(),
            }),
            Some("long") => refuse(400, "long", "\u{e9}\u{1b}".repeat(5_000)),
            Some("402") => refuse(402, "pay", String::new()),
            Some("500") => refuse(500, "broken", String::new()),
            Some("code") => refuse(400, "Not A Word", String::new()),
            Some("amount") => amount("a lot".into()),
            Some("free") => price(QuotedPrice::Free),
            Some("charge") => match coinslot::plugin::usage::charge("1") {
                Ok(()) => amount("1".into()),
                Err(reason) => refuse(400, "charge", reason),
            },
            Some(_) => panic!("as asked"),
        }
    }
}

impl exports::wasi::http::incoming_handler::Guest for Guest {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        ResponseOutparam::set(out, Ok(OutgoingResponse::new(Fields::new())));
    }
}
