//! A guest that benchmarks patch: another name of the same length makes it another plugin, and another price another
//! build.

use std::hint::black_box;

use kit::{IncomingRequest, PluginInfo, Price, ResponseOutparam, answer, endpoint};

static NAME: &str = "numbered-000";
static PRICE: &str = "0.010101";

kit::guest!(Ok(described()), handle);

fn described() -> PluginInfo {
    // Read from memory, where a patch finds them, and not from the code.
    let (name, price) = (black_box(NAME), black_box(PRICE));
    let path = format!("/{name}");
    PluginInfo {
        name: name.into(),
        version: "1.0.0".into(),
        endpoints: vec![endpoint("GET", &path, Price::Free), endpoint("POST", &path, Price::Exact(price.into()))],
        extensions: Vec::new(),
    }
}

fn handle(_request: IncomingRequest, out: ResponseOutparam) {
    answer(out, 200, black_box(PRICE));
}
