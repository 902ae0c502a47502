//! Declares the routes in `DECLARED`. Tests overwrite that text in the component's bytes, so that one build can declare
//! any routes: `[declared]PATH PRICE AMOUNT`, padded with spaces. A method other than GET precedes the path, as in
//! `POST:/path`. A semicolon separates routes.

use kit::{Endpoint, IncomingRequest, PluginInfo, Price, ResponseOutparam, answer, endpoint};

kit::guest!(Ok(info()), handle);

static DECLARED: [u8; 80] = *b"[declared]/declared exact 0.01                                                  ";

fn info() -> PluginInfo {
    // Without the black box the compiler would read it now.
    let declared = std::str::from_utf8(std::hint::black_box(&DECLARED)).expect("ASCII");
    PluginInfo {
        name: "declared".into(),
        version: "1.0.0".into(),
        endpoints: declared["[declared]".len()..].trim_end().split(';').map(route).collect(),
        extensions: Vec::new(),
    }
}

fn route(declared: &str) -> Endpoint {
    let mut words = declared.splitn(3, ' ');
    let path = words.next().unwrap_or_default();
    let (method, path) = path.split_once(':').unwrap_or(("GET", path));
    let price = words.next().unwrap_or_default();
    let amount = words.next().unwrap_or_default().to_owned();
    let price = match price {
        "free" => Price::Free,
        "exact" => Price::Exact(amount),
        "up-to" => Price::UpTo(amount),
        "quoted" => Price::Quoted(amount),
        other => panic!("{other}: no such price"),
    };
    endpoint(method, path, price)
}

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, "\"served\"");
}
