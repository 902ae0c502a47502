use coinslot_sdk::{Deserialize, Query, Refusal, Text, endpoint};

#[derive(Deserialize)]
struct NoSchema {}

#[endpoint(get, "/a", free, summary = "s")]
async fn no_schema(_query: Query<NoSchema>) -> Text { Text::from("") }

#[endpoint(get, "/b", free, summary = "s")]
async fn not_an_argument(_number: u32) -> Text { Text::from("") }

#[endpoint(get, "/c", free, summary = "s")]
async fn not_an_answer() -> u32 { 0 }

#[endpoint(get, "/d", free, summary = "s", check = takes_text)]
async fn wrong_check(_query: Query<u32>) -> Text { Text::from("") }

#[endpoint(get, "/e", free, summary = "s")]
fn not_an_error() -> Result<Text, u8> { Ok(Text::from("")) }

#[endpoint(get, "/f", free, summary = "s")]
fn error_between_threads() -> Result<Text, Box<dyn std::error::Error + Send + Sync>> { Ok(Text::from("")) }

#[endpoint(get, "/g", free, summary = "s")]
fn forgot_the_error() -> Text { Text(std::fs::read_to_string("x")?) }

fn takes_text(_text: &String) -> Result<(), Refusal> { Ok(()) }

fn main() {}
