//! Says hello for a tenth of a cent.

use coinslot_sdk::{Deserialize, JsonSchema, Query, Text, endpoint};

#[derive(Deserialize, JsonSchema)]
struct Who {
    name: String,
}

#[endpoint(get, "/hello", price = "0.001", summary = "Says hello to somebody")]
async fn hello(Query(who): Query<Who>) -> Text {
    Text(format!("Hello, {}!\n", who.name))
}
