use coinslot_sdk::{Json, endpoint, model};

#[model]
fn function() {}

#[model]
union Union { _number: u32 }

#[model(inputs)]
struct Unknown {}

#[model]
struct Misspelt {
    #[serde(defualt)]
    _field: u8,
}

#[model(input)]
struct Read {}

#[endpoint(get, "/a", free, summary = "s")]
fn written() -> Json<Read> { Json(Read {}) }

fn main() {}
