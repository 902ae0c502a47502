//! Writes the line that makes a first paid call, from what the endpoints declare.

#![expect(clippy::disallowed_methods, reason = "the program is named as PATH finds it")]

use std::path::Path;
use std::sync::Arc;

use crate::cli::pay::key::DEV_FILE;
use crate::endpoint::Endpoint;

/// `pay 'http://127.0.0.1:8402/api/gitignore?stack=rust'`: a paid GET whose required query has examples.
/// Where dev.json is not where `pay` looks by itself, the line names it.
pub(super) fn pay_line(url: &str, dev_json: &Path, endpoints: &[&Arc<Endpoint>]) -> Option<String> {
    let gets =
        || endpoints.iter().filter(|endpoint| endpoint.method == http::Method::GET && !endpoint.path.has_parameters());
    // An endpoint with a query makes the better example.
    let best = gets()
        .filter_map(|endpoint| query(endpoint).map(|query| (endpoint, query)))
        .max_by_key(|(_, query)| !query.is_empty());
    let (endpoint, query) = best?;
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

/// An example of each required query parameter, or, if none is required, of the first parameter that has an example.
/// None if a required parameter has no example.
fn query(endpoint: &Endpoint) -> Option<String> {
    let info = endpoint.plugin.info();
    let declared = info.endpoints.iter().find(|e| e.method == endpoint.method && e.path == endpoint.path)?;
    let Some(schema) = declared.input_schema.as_ref().and_then(|schema| schema.pointer("/properties/query")) else {
        return Some(String::new());
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(|list| list.as_array())
        .map(|list| list.iter().filter_map(|name| name.as_str()).collect())
        .unwrap_or_default();
    let properties = schema.get("properties").and_then(|properties| properties.as_object());
    // If nothing is required, a parameter with an example still shows more than a line without a query.
    let shown = properties.into_iter().flatten().find(|(_, property)| property.get("examples").is_some());
    let names = match (required.is_empty(), shown) {
        (true, Some((name, _))) => vec![name.as_str()],
        _ => required,
    };
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    for name in names {
        let property = schema.get("properties")?.get(name)?;
        let example = property
            .get("examples")
            .or_else(|| property.get("enum"))
            .and_then(|list| list.get(0))
            .or_else(|| property.get("default"))?;
        let text = example.as_str().map_or_else(|| example.to_string(), ToOwned::to_owned);
        pairs.append_pair(name, &text);
    }
    Some(pairs.finish())
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
    use super::quoted;

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
}
