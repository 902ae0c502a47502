//! What tests/bench/costs measures: the same three endpoints in each language.

use std::time::Duration;

use coinslot_sdk::{Json, Text, Value, endpoint, json, sleep};

#[endpoint(get, "/free", free, summary = "A small answer")]
fn free() -> Json<Value> {
    Json(json!({ "hello": "world" }))
}

#[endpoint(post, "/paid", price = "0.01", summary = "A small answer, paid")]
fn paid() -> &'static str {
    "as asked"
}

#[endpoint(get, "/wait", free, summary = "Waits")]
async fn wait() -> Text {
    sleep(Duration::from_secs(5)).await;
    Text::from("waited")
}
