use coinslot_sdk::{Body, Bytes, Json, Text, endpoint};

#[endpoint(get, "/a", free, summary = "s")]
fn not_async() -> Text { Text::from("") }

#[endpoint(get, "/b", free, summary = "s")]
async fn generic<T>() -> Text { Text::from("") }

#[endpoint(get, "/c", free, summary = "s")]
async fn body_of_a_get(Json(_text): Json<String>) -> Text { Text::from("") }

#[endpoint(post, "/d", free, summary = "s")]
async fn two_bodies(_one: Bytes, _other: Body) -> Text { Text::from("") }

#[endpoint(get, "/e", free, summary = "s")]
async unsafe fn not_safe() -> Text { Text::from("") }

fn main() {}
