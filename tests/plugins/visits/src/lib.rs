//! A plugin written with the SDK: it counts visits in the key-value store, and greets with a configured word.

use coinslot_sdk::{Path, Refusal, Text, config, endpoint, keyvalue};

#[endpoint(post, "/visits/{name}", free, summary = "Counts the visits of somebody")]
async fn visits(Path(name): Path<String>) -> Result<Text, Refusal> {
    let greeting = config::get("greeting").unwrap_or_else(|| "Hello".to_owned());
    let refused = |error: keyvalue::KeyValueError| Refusal::new(503, "not_kept", error.to_string());
    let bucket = keyvalue::open("visits").map_err(refused)?;
    let count = bucket.increment(&name, 1).map_err(refused)?;
    bucket.set("last", name.as_bytes()).map_err(refused)?;
    let (keys, _) = bucket.keys(None).map_err(refused)?;
    Ok(Text(format!("{greeting}, {name}: {count} of {}", keys.join(" "))))
}
