//! Writes the line that makes a first paid call, from what the endpoints declare.

#![expect(clippy::disallowed_methods, reason = "the program is named as PATH finds it")]

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::cli::dev_hosts::DEV_FILE;
use crate::endpoint::Endpoint;

/// `pay 'http://127.0.0.1:8402/api/gitignore?stack=rust'`: a paid GET with a value for each required query parameter.
/// Where dev.json is not where `pay` looks by itself, the line names it.
pub(super) fn pay_line(url: &str, dev_json: &Path, endpoints: &[&Arc<Endpoint>]) -> Option<String> {
    let gets =
        || endpoints.iter().filter(|endpoint| endpoint.method == http::Method::GET && !endpoint.path.has_parameters());
    // An endpoint with a query makes the better example, if its author wrote the values.
    let best =
        gets().map(|endpoint| (endpoint, query(endpoint))).max_by_key(|(_, query)| match (query.made, &*query.text) {
            (true, _) => 0,
            (false, "") => 1,
            (false, _) => 2,
        });
    let (endpoint, SampleQuery { text: query, .. }) = best?;
    let target =
        if query.is_empty() { format!("{url}{}", endpoint.path) } else { format!("{url}{}?{query}", endpoint.path) };
    let from = match dev_json == Path::new(DEV_FILE) {
        true => String::new(),
        false => format!("--dev-json {} ", quoted(&dev_json.display().to_string())),
    };
    Some(format!("pay {from}{}", quoted(&target)))
}

/// Quotes a text so that a shell reads it as one word: a question mark or a space has a meaning of its own there.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.:-_=+@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A query for a first call.
#[derive(Debug, Default, PartialEq, Eq)]
struct SampleQuery {
    text: String,
    /// Set if a value was made up for a parameter without an example.
    made: bool,
}

/// An example of each required query parameter, or, if none is required, of the first parameter that has an example.
fn query(endpoint: &Endpoint) -> SampleQuery {
    let info = endpoint.plugin.info();
    let declared = info.endpoints.iter().find(|e| e.method == endpoint.method && e.path == endpoint.path);
    let schema = declared.and_then(|declared| declared.input_schema.as_ref()?.pointer("/properties/query"));
    schema.map(of_schema).unwrap_or_default()
}

/// The query that fits this JSON Schema of an object of parameters.
fn of_schema(schema: &Value) -> SampleQuery {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    // If nothing is required, a parameter with an example still shows more than a line without a query.
    let properties = schema["properties"].as_object();
    let shown = properties.into_iter().flatten().find(|(_, property)| property.get("examples").is_some());
    let names = match (required.is_empty(), shown) {
        (true, Some((name, _))) => vec![name.as_str()],
        _ => required,
    };
    let mut made = false;
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for name in names {
        let property = &schema["properties"][name];
        let written = ["examples", "enum"].iter().find_map(|list| property[list].get(0)).or(property.get("default"));
        let value = written.cloned().unwrap_or_else(|| {
            made = true;
            of_type(property)
        });
        pairs.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
    }
    SampleQuery { text: pairs.finish(), made }
}

/// A value of the type of a parameter that has no example. A plugin may still refuse it, for a rule that its schema
/// does not say.
fn of_type(property: &Value) -> Value {
    let least = property.get("minimum").cloned();
    match property["type"].as_str().or_else(|| property["type"][0].as_str()) {
        Some("integer" | "number") => least.unwrap_or_else(|| 1.into()),
        Some("boolean") => true.into(),
        _ => "example".into(),
    }
}

/// The command that calls this program from here: its name if the shell would find it, else its path.
pub(super) fn program() -> String {
    let Ok(own) = std::env::current_exe() else { return "coinslot".to_owned() };
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| dir.join("coinslot").canonicalize().ok() == own.canonicalize().ok())
    });
    if found {
        return "coinslot".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    own.strip_prefix(&here).unwrap_or(Path::new(&own)).display().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{SampleQuery, of_schema, quoted};

    #[test]
    fn a_word_stays_one_in_a_shell() {
        for (word, expected) in [
            ("http://127.0.0.1:8402/hello", "http://127.0.0.1:8402/hello"),
            ("http://127.0.0.1:8402/a?b=c", "'http://127.0.0.1:8402/a?b=c'"),
            ("my state/dev.json", "'my state/dev.json'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
    /// A required parameter without an example left the line without a query, and the first call ended in 400.
    #[test]
    fn every_required_parameter_has_a_value() {
        let text = |schema| of_schema(&schema);
        let made = |text: &str| SampleQuery { text: text.to_owned(), made: true };
        let written = |text: &str| SampleQuery { text: text.to_owned(), made: false };
        let name = json!({ "type": "string" });
        assert_eq!(text(json!({ "properties": { "name": name }, "required": ["name"] })), made("name=example"));
        let count = json!({ "type": "integer", "minimum": 3 });
        let both =
            json!({ "properties": { "n": count, "yes": { "type": ["boolean", "null"] } }, "required": ["n", "yes"] });
        assert_eq!(text(both), made("n=3&yes=true"));
        let stack = json!({ "type": "string", "examples": ["rust lang"] });
        assert_eq!(
            text(json!({ "properties": { "stack": stack }, "required": ["stack"] })),
            written("stack=rust+lang")
        );
        assert_eq!(text(json!({ "properties": { "name": name } })), written(""));
    }
}
