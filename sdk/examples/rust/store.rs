//! Short links: who makes one pays, who follows one does not. They are kept in the plugin's key-value store, which the
//! operator grants:
//!
//! ```toml
//! [plugin.store]
//! keyvalue = true
//! ```
//!
//! ```sh
//! coinslot pay http://127.0.0.1:8402/links -d '{"url": "https://example.com/a/long/way"}'
//! ```

use coinslot_sdk::{Context, Json, Path, Redirect, Refusal, Result, Value, endpoint, json, keyvalue, model};

#[model]
struct Link {
    #[schemars(regex(pattern = "^https?://[!-~]+$"), length(max = 2_000))]
    url: String,
}

// Paid first, because it has a side effect: without the payment nothing is kept.
#[endpoint(post, "/links", price = "0.005", flow = "upfront", summary = "Makes a short link")]
fn shorten(Json(link): Json<Link>) -> Result<Json<Value>> {
    // Atomic: no two links have the same.
    let code = format!("{:x}", keyvalue::open("")?.increment("links", 1)?);
    keyvalue::open("links")?.set(&code, link.url.as_bytes())?;
    Ok(Json(json!({ "code": code, "path": format!("/links/{code}") })))
}

#[endpoint(get, "/links/{code}", free, summary = "Leads to the page behind a short link")]
fn follow(Path(code): Path<String>) -> Result<Redirect> {
    let url = url_of(&code)?;
    keyvalue::open("visits")?.increment(&code, 1)?;
    Ok(Redirect::to(url))
}

#[endpoint(get, "/links/{code}/visits", price = "0.001", summary = "Counts the visits of a short link")]
fn visits(Path(code): Path<String>) -> Result<Json<Value>> {
    url_of(&code)?;
    let visits: u64 = keyvalue::open("visits")?.get_json(&code)?.unwrap_or(0);
    Ok(Json(json!({ "visits": visits })))
}

fn url_of(code: &str) -> Result<String> {
    let url = keyvalue::open("links")?.get(code)?;
    let url = url.ok_or(Refusal::not_found("no_such_link", "make a link with POST /links"))?;
    String::from_utf8(url).context("the link that is kept")
}
