//! Makes many mistakes in one manifest.

use kit::{Endpoint, IncomingRequest, PluginInfo, Price, ResponseOutparam, endpoint};

kit::guest!(Ok(wrong()), handle);

fn wrong() -> PluginInfo {
    PluginInfo {
        name: "Describe Many".into(),
        version: "1.0".into(),
        endpoints: vec![
            endpoint("GET", "/a/{id}", Price::Free),
            endpoint("GET", "/a/{name}", Price::Free),
            endpoint("get", "/b", Price::Free),
            endpoint("POST", "/c", Price::Exact("-1".into())),
            endpoint("POST", "/d", Price::Quoted("0.5".into())),
            endpoint("GET", "no-slash", Price::Free),
            Endpoint { input_schema: Some("{".into()), ..endpoint("GET", "/e", Price::Free) },
            Endpoint { summary: "two\nlines".into(), ..endpoint("GET", "/f", Price::Free) },
            Endpoint { mime_type: "json".into(), ..endpoint("GET", "/g", Price::Free) },
        ],
        extensions: Vec::new(),
    }
}

fn handle(_request: IncomingRequest, _out: ResponseOutparam) {}
