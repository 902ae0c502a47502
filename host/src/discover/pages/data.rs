//! Puts values into a page for its script.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

/// An element that holds the value. No text in it can end the element or begin another one.
pub(super) fn element(id: &str, value: &Value) -> Markup {
    html! { script type="application/json" id=(id) { (PreEscaped(escaped(value))) } }
}

/// JSON with `<`, `>`, `&`, U+2028 and U+2029 escaped: they stand in strings only, where an escape means the same.
fn escaped(value: &Value) -> String {
    let json = value.to_string();
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_text_leaves_its_element_and_every_value_survives() {
        let value = json!({ "a</script><script>": "<!-- & \u{2028}\u{2029} ]]> \u{202e}", "b": [1, "\"\\"] });
        let written = element("data", &value).into_string();
        let inner = written.strip_prefix("<script type=\"application/json\" id=\"data\">").expect("its start");
        let inner = inner.strip_suffix("</script>").expect("its end");
        assert!(!inner.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{inner}");
        assert_eq!(serde_json::from_str::<Value>(inner).expect("JSON"), value);
    }
}
