//! Removes e-mail addresses and long numbers from a text. The price is quoted: it grows with the text.

use coinslot_sdk::{Amount, Deserialize, Json, JsonSchema, Refusal, Text, endpoint};

#[derive(Deserialize, JsonSchema)]
struct Document {
    /// At most 50,000 bytes.
    text: String,
}

#[endpoint(post, "/api/redact", quoted = "0.05", quote = by_length, summary = "Removes e-mail addresses and long numbers")]
async fn redact(Json(document): Json<Document>) -> Text {
    Text(document.text.split_inclusive(char::is_whitespace).map(redacted).collect())
}

/// A tenth of a cent per thousand bytes, or part of them. It also refuses what cannot be served, before payment.
fn by_length(document: &Document) -> Result<Amount, Refusal> {
    match document.text.len() as u64 {
        0 => Err(Refusal::bad_request("empty_text", "put something to redact into `text`")),
        50_001.. => Err(Refusal::new(413, "text_too_long", "send at most 50,000 bytes at a time")),
        length => Ok(Amount::micros(1_000 * length.div_ceil(1_000))),
    }
}

/// One word with the whitespace behind it.
fn redacted(word: &str) -> String {
    let bare = word.trim_end();
    let space = &word[bare.len()..];
    let digits = bare.chars().filter(char::is_ascii_digit).count();
    match bare.split_once('@') {
        Some((name, domain)) if !name.is_empty() && domain.contains('.') => format!("[e-mail]{space}"),
        _ if digits >= 7 => format!("[number]{space}"),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use coinslot_sdk::testing::{self, TestRequest};

    fn request(text: &str) -> TestRequest {
        testing::post("/api/redact").json(&std::collections::BTreeMap::from([("text", text)]))
    }

    #[test]
    fn addresses_and_numbers_are_removed_and_the_rest_stays() {
        let answer = request("Ada <ada@example.com>, room 42,\n+49-30-1234567 at noon").send();
        assert_eq!(answer.text(), "Ada [e-mail] room 42,\n[number] at noon");
    }

    #[test]
    fn the_quote_grows_with_the_text_up_to_the_declared_price() {
        let quote = |length: usize| request(&"x".repeat(length)).quote();
        for (length, price) in [(1, "0.001"), (1_000, "0.001"), (1_001, "0.002"), (50_000, "0.05")] {
            assert_eq!(quote(length).expect("a quote").as_str(), price);
        }
        assert_eq!(quote(0).expect_err("refused").code(), "empty_text");
        assert_eq!(quote(50_001).expect_err("refused").status(), 413);
    }
}
