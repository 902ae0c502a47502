use coinslot_sdk::{Text, endpoint};

#[endpoint]
async fn nothing() -> Text { Text::from("") }

#[endpoint(head, "/a", free, summary = "s")]
async fn head() -> Text { Text::from("") }

#[endpoint(options, "/b", free, summary = "s")]
async fn options() -> Text { Text::from("") }

#[endpoint(fetch, "/c", free, summary = "s")]
async fn fetch() -> Text { Text::from("") }

#[endpoint(get, "/d", free)]
async fn no_summary() -> Text { Text::from("") }

#[endpoint(get, "/e", free, summary = " ")]
async fn empty_summary() -> Text { Text::from("") }

#[endpoint(get, "/f", free, summary = "s", sumary = "s")]
async fn unknown() -> Text { Text::from("") }

#[endpoint(get, "/g", free, summary = "s", summary = "t")]
async fn twice() -> Text { Text::from("") }

#[endpoint(get, "/h", free, summary = "s", mime_type = "png")]
async fn media_type() -> Text { Text::from("") }

#[endpoint(get, "/i", free, summary = "s", check = "f")]
async fn check_in_quotes() -> Text { Text::from("") }

#[endpoint(get, "/j" free, summary = "s")]
async fn no_comma() -> Text { Text::from("") }

#[endpoint(get, "/k", free, summary = "s", mime_type)]
async fn no_value() -> Text { Text::from("") }

fn main() {}
