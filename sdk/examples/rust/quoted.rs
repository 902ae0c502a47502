//! A price that depends on the request: a tenth of a cent for each thousand characters, or part of them.
//!
//! ```sh
//! coinslot pay http://127.0.0.1:8402/redact -d '{"text": "Write to ada@example.com"}'
//! ```

use coinslot_sdk::{Amount, Json, Refusal, Text, endpoint, model};

#[model]
struct Document {
    #[schemars(length(min = 1, max = 50_000))]
    text: String,
}

#[endpoint(post, "/redact", quoted = "0.05", quote = by_length, summary = "Removes e-mail addresses from a text")]
fn redact(Json(document): Json<Document>) -> Text {
    let mut text: String = document.text.split_inclusive(char::is_whitespace).map(redacted).collect();
    text.push('\n');
    Text(text)
}

/// Runs before the payment: without network, and within 50 ms.
fn by_length(document: &Document) -> Result<Amount, Refusal> {
    let thousands = document.text.chars().count().div_ceil(1_000);
    Ok(Amount::micros(1_000 * thousands as u64))
}

/// One word with the white space behind it.
fn redacted(word: &str) -> String {
    let bare = word.trim_end();
    match bare.split_once('@') {
        Some((name, domain)) if !name.is_empty() && domain.contains('.') => format!("[e-mail]{}", &word[bare.len()..]),
        _ => word.to_owned(),
    }
}
