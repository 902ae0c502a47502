//! Says hello for a tenth of a cent.

use coinslot_sdk::{Query, Text, endpoint, model};

#[model]
struct Who {
    name: String,
}

#[endpoint(get, "/hello", price = "0.001", summary = "Says hello to somebody")]
fn hello(Query(who): Query<Who>) -> Text {
    Text(format!("Hello, {}!\n", who.name))
}
