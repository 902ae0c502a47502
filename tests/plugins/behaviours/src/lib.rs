//! The plugin of `tests/it/languages.rs`, in Rust.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use coinslot_sdk::{
    Amount, Bytes, Event, Json, Path, Payment, Query, Refusal, Result, Sse, Text, Value, config, endpoint, json,
    keyvalue, model,
};

#[endpoint(get, "/items/{id}", free, summary = "An item")]
fn item(Path(id): Path<String>) -> String {
    format!("item {id}")
}

#[endpoint(get, "/items/special", free, summary = "The item that has a path of its own")]
fn special() -> Text {
    Text::from("special")
}

#[endpoint(get, "/files/{*rest}", free, summary = "The rest of the path")]
fn file(Path(rest): Path<String>) -> String {
    format!("file {rest}")
}

#[endpoint(delete, "/items/{id}", free, summary = "Removes an item")]
fn remove(Path(id): Path<String>) -> String {
    format!("removed {id}")
}

#[model(input)]
struct Greeting {
    #[serde(default = "once")]
    #[schemars(range(min = 1, max = 9))]
    times: usize,
}

fn once() -> usize {
    1
}

#[endpoint(get, "/greet/{name}", price = "0.001", summary = "Greets somebody")]
fn greet(Path(name): Path<String>, Query(greeting): Query<Greeting>) -> String {
    format!("Hello, {name}!").repeat(greeting.times)
}

#[model(input)]
struct Order {
    #[schemars(range(min = 1, max = 100))]
    count: u32,
    colour: Colour,
}

#[model(input)]
#[derive(PartialEq)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    Blue,
}

fn lucky(order: &Order) -> Result<(), Refusal> {
    match order.count {
        13 => Err(Refusal::new(422, "unlucky", "order 12 or 14").at("/body/count", "luck")),
        _ => Ok(()),
    }
}

#[endpoint(post, "/orders", price = "0.01", summary = "Orders some pieces", check = lucky)]
fn orders(Json(order): Json<Order>) -> Result<Json<Value>> {
    if order.colour == Colour::Blue && order.count > 50 {
        Err(Refusal::new(409, "sold_out", "order 50 blue ones at most").at("/body/count", "stock"))?;
    }
    Ok(Json(json!({ "ordered": order.count })))
}

#[model(input)]
struct Words {
    words: BTreeSet<String>,
}

#[endpoint(post, "/words", free, summary = "Counts words")]
fn words(Json(of): Json<Words>) -> String {
    format!("{} words", of.words.len())
}

#[model(input)]
struct Document {
    #[schemars(range(min = 0, max = 100))]
    pages: u64,
}

fn by_pages(document: &Document) -> Result<Amount, Refusal> {
    Ok(Amount::micros(document.pages * 1_000))
}

#[endpoint(post, "/print", quoted = "0.50", quote = by_pages, summary = "Prints pages, a tenth of a cent each")]
fn print(Json(document): Json<Document>) -> String {
    format!("printed {}", document.pages)
}

#[endpoint(
    get,
    "/ticks",
    price = "0.002",
    flow = "upfront",
    pass = { seconds = 600, requests = 5 },
    summary = "Three events"
)]
fn ticks() -> Sse {
    Sse::writer(async |mut events| {
        for i in 0..3 {
            events.send(Event::json(&json!({ "i": i }))?.event("tick")).await;
        }
        Ok(())
    })
}

#[endpoint(post, "/measure", price = "0.001", summary = "Measures a body")]
fn measure(body: Bytes) -> String {
    format!("{} bytes", body.len())
}

#[endpoint(post, "/weigh", free, summary = "Measures a body for nothing")]
fn weigh(body: Bytes) -> String {
    format!("{} bytes", body.len())
}

#[endpoint(get, "/hoard", free, summary = "Never has enough memory")]
fn hoard() -> Text {
    let mut kept = Vec::new();
    loop {
        kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

#[endpoint(get, "/nest", free, summary = "Calls itself without end")]
fn nest() -> String {
    deeper(0).to_string()
}

#[expect(unconditional_recursion, reason = "a test of the stack")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(std::hint::black_box(depth + 1))) + 1
}

#[endpoint(get, "/spin", price = "0.01", summary = "Never ends")]
fn spin() -> Text {
    loop {
        std::hint::black_box(());
    }
}

#[endpoint(get, "/fail", price = "0.01", summary = "Fails")]
fn fail() -> Result<Text> {
    Err("the reason is for the operator".parse::<u8>().expect_err("no number"))?
}

#[endpoint(get, "/receipt", price = "0.003", summary = "The payment as the plugin sees it")]
fn receipt(Payment(receipt): Payment) -> Json<Value> {
    Json(receipt.map_or(json!({}), |receipt| json!({ "payer": receipt.payer, "amount": receipt.amount })))
}

#[endpoint(get, "/free-receipt", free, summary = "Whether there is a payment")]
fn free_receipt(Payment(receipt): Payment) -> String {
    receipt.is_some().to_string()
}

#[endpoint(get, "/random", free, summary = "A random number")]
fn random() -> String {
    RandomState::new().hash_one(0_u8).to_string()
}

#[endpoint(get, "/greeting", free, summary = "What the operator has configured")]
fn greeting() -> String {
    let configured = |key| config::get(key).unwrap_or_else(|| "none".to_owned());
    format!("{}, {}", configured("greeting"), configured("absent"))
}

#[endpoint(post, "/counters/{name}", free, summary = "Counts")]
fn count(Path(name): Path<String>) -> Result<String> {
    Ok(keyvalue::open("")?.increment(&name, 1)?.to_string())
}
