use coinslot_sdk::{Path, Text, endpoint};

#[endpoint(get, "no-slash", free, summary = "s")]
async fn no_slash() -> Text { Text::from("") }

#[endpoint(get, "/a//b", free, summary = "s")]
async fn empty_segment() -> Text { Text::from("") }

#[endpoint(get, "/a/", free, summary = "s")]
async fn slash_at_the_end() -> Text { Text::from("") }

#[endpoint(get, "/a{b}", free, summary = "s")]
async fn part_of_a_segment() -> Text { Text::from("") }

#[endpoint(get, "/{a b}", free, summary = "s")]
async fn name_with_a_space() -> Text { Text::from("") }

#[endpoint(get, "/{*rest}/b", free, summary = "s")]
async fn rest_not_last() -> Text { Text::from("") }

#[endpoint(get, "/{a}/{a}", free, summary = "s")]
async fn same_name(Path(_a): Path<(String, String)>) -> Text { Text::from("") }

#[endpoint(get, "/a?b=c", free, summary = "s")]
async fn with_query() -> Text { Text::from("") }

#[endpoint(get, "/users/{id}", free, summary = "s")]
async fn unread() -> Text { Text::from("") }

#[endpoint(get, "/users", free, summary = "s")]
async fn unnamed(Path(_id): Path<String>) -> Text { Text::from("") }

#[endpoint(get, path, free, summary = "s")]
async fn not_a_text() -> Text { Text::from("") }

fn main() {}
