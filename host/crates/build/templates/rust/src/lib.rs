use coinslot_sdk::{Json, Refusal, Text, endpoint, model};

#[endpoint(get, "/{{name}}", free, summary = "Says what is sold here")]
fn index() -> Text {
    Text("POST a text to /{{name}}/count\n".to_owned())
}

#[model]
struct Document {
    #[schemars(length(min = 1, max = 10_000))]
    text: String,
}

#[model]
struct Count {
    words: usize,
    longest: String,
}

#[endpoint(post, "/{{name}}/count", price = "0.001", summary = "Counts the words of a text")]
fn count(Json(document): Json<Document>) -> Result<Json<Count>, Refusal> {
    let words: Vec<&str> = document.text.split_whitespace().collect();
    let Some(longest) = words.iter().rev().max_by_key(|word| word.len()) else {
        return Err(Refusal::new(400, "no_words", "Send a text with at least one word."));
    };
    Ok(Json(Count { words: words.len(), longest: (*longest).to_owned() }))
}

#[cfg(test)]
mod tests {
    use coinslot_sdk::{json, testing};

    use super::Count;

    #[test]
    fn the_words_of_a_text_are_counted() {
        let answer = testing::post("/{{name}}/count").json(&json!({ "text": "one three" })).send();
        let Count { words, longest } = answer.json();
        assert_eq!((answer.status(), words, longest.as_str()), (200, 2, "three"));
    }

    #[test]
    fn a_text_without_words_is_refused() {
        assert_eq!(testing::post("/{{name}}/count").json(&json!({ "text": " " })).send().status(), 400);
    }
}
