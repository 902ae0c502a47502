use coinslot_sdk::{Text, endpoint};

#[endpoint(get, "/exponent", price = "1e3", summary = "s")]
async fn exponent() -> Text { Text::from("") }

#[endpoint(get, "/leading-dot", price = ".5", summary = "s")]
async fn leading_dot() -> Text { Text::from("") }

#[endpoint(get, "/negative", price = "-1", summary = "s")]
async fn negative() -> Text { Text::from("") }

#[endpoint(get, "/zero", price = "0", summary = "s")]
async fn zero() -> Text { Text::from("") }

#[endpoint(get, "/dollar", price = "0.01 $", summary = "s")]
async fn dollar() -> Text { Text::from("") }

#[endpoint(get, "/float", price = 0.01, summary = "s")]
async fn float() -> Text { Text::from("") }

#[endpoint(get, "/word", price = gratis, summary = "s")]
async fn word() -> Text { Text::from("") }

#[endpoint(get, "/none", summary = "s")]
async fn none() -> Text { Text::from("") }

#[endpoint(get, "/two", price = "0.01", free, summary = "s")]
async fn two() -> Text { Text::from("") }

#[endpoint(get, "/quoted", quoted = "0.50", summary = "s")]
async fn quoted() -> Text { Text::from("") }

#[endpoint(get, "/quote", price = "0.50", quote = nobody, summary = "s")]
async fn quote() -> Text { Text::from("") }

fn main() {}
