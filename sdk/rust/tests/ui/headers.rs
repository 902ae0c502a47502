use coinslot_sdk::{Amount, Headers, Refusal, Text, endpoint};

#[endpoint(get, "/a", quoted = "0.02", quote = by_tier, summary = "s")]
async fn quoted(_headers: Headers) -> Text { Text::from("") }

#[endpoint(get, "/b", price = "0.01", check = any_tier, summary = "s")]
async fn checked(_headers: coinslot_sdk::Headers) -> Text { Text::from("") }

#[endpoint(get, "/c", quoted = "0.02", quote = by_tier, quote_headers = "X-Tier", summary = "s")]
async fn upper_case(_headers: Headers) -> Text { Text::from("") }

#[endpoint(get, "/d", price = "0.01", check = any_tier, quote_headers = "", summary = "s")]
async fn names_none(_headers: Headers) -> Text { Text::from("") }

#[endpoint(get, "/e", price = "0.01", summary = "s")]
async fn neither(_headers: Headers) -> Text { Text::from("") }

fn by_tier(_headers: &Headers) -> Result<Amount, Refusal> { Ok(Amount::micros(1)) }

fn any_tier(_headers: &Headers) -> Result<(), Refusal> { Ok(()) }

fn main() {}
