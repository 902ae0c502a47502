use coinslot_sdk::{Path, Text, endpoint};

#[endpoint(get, "/a/{x}", free, summary = "s")]
async fn one(Path(_x): Path<String>) -> Text { Text::from("") }

mod elsewhere {
    use coinslot_sdk::{Path, Text, endpoint};

    #[endpoint(get, "/a/{y}", price = "0.01", summary = "s")]
    async fn other(Path(_y): Path<String>) -> Text { Text::from("") }
}

#[endpoint(post, "/a/{x}", free, summary = "another method is another route")]
async fn post(Path(_x): Path<String>) -> Text { Text::from("") }

fn main() {}
