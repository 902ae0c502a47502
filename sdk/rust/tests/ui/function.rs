use coinslot_sdk::{Body, Bytes, Json, Refusal, Text, endpoint};

#[endpoint(get, "/b", free, summary = "s")]
async fn generic<T>() -> Text { Text::from("") }

#[endpoint(get, "/c", free, summary = "s")]
async fn body_of_a_get(Json(_text): Json<String>) -> Text { Text::from("") }

#[endpoint(post, "/d", free, summary = "s")]
async fn two_bodies(_one: Bytes, _other: Body) -> Text { Text::from("") }

#[endpoint(post, "/d2", free, summary = "s")]
fn bodies_that_may_be_absent(_one: Option<Json<u8>>, _other: Result<String, Refusal>) -> Text { Text::from("") }

#[endpoint(get, "/e", free, summary = "s")]
async unsafe fn not_safe() -> Text { Text::from("") }

fn main() {}
