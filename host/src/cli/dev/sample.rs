//! Writes the line that makes a first paid call, from what the endpoints declare.

#![expect(clippy::disallowed_methods, reason = "the program is named as PATH finds it")]

use std::path::Path;
use std::sync::Arc;

use coinslot_plugin::{EndpointInfo, Segment};
use coinslot_x402::price::Decimal;
use http::Method;
use serde_json::{Value, json};

use crate::cli::dev_hosts::DEV_FILE;
use crate::cli::pay::DEFAULT_MAX;
use crate::discover::endpoint_page;
use crate::endpoint::{Access, Endpoint};
use crate::example::ExampleRequest;

/// `pay 'http://127.0.0.1:8402/api/gitignore?stack=rust'`: a whole request of the endpoint that makes the best example.
/// None if none of them has a request that a command line can hold. Where dev.json is not where `pay` looks by itself,
/// the line names it.
pub(super) fn pay_line(url: &str, dev_json: &Path, endpoints: &[Arc<Endpoint>]) -> Option<String> {
    let best = best(url, endpoints)?;
    let from = match dev_json == Path::new(DEV_FILE) {
        true => String::new(),
        false => format!("--dev-json {} ", quoted(&dev_json.display().to_string())),
    };
    Some(format!("pay {from}{}", best.arguments))
}

/// The address of the page on which a person pays for the same endpoint as [`pay_line`] does.
pub(super) fn page(url: &str, endpoints: &[Arc<Endpoint>]) -> Option<String> {
    match best(url, endpoints) {
        Some(sample) => Some(sample.page),
        None => endpoints.first().map(|endpoint| format!("{url}{}", endpoint_page(&endpoint.label))),
    }
}

/// The request that makes the best example.
fn best(url: &str, endpoints: &[Arc<Endpoint>]) -> Option<Sample> {
    let samples = endpoints.iter().filter_map(|endpoint| Sample::of(url, endpoint));
    samples.max_by_key(|sample| (sample.values, sample.is_get))
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

/// A request of an endpoint, as arguments of `coinslot pay`.
struct Sample {
    arguments: String,
    /// The address that a browser opens for the same: that of the request, or of the endpoint's page.
    page: String,
    values: ValueOrigin,
    is_get: bool,
}

/// The origin of the values in a request. The later ones make the better example: a plugin may refuse a value that is
/// made up, for a rule that its schema does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ValueOrigin {
    /// The endpoint declares nothing of its body: it may be a form, or bytes of any kind.
    Undeclared,
    MadeUp,
    /// The request has none.
    None,
    /// The plugin's author has written them as examples, defaults or alternatives.
    Written,
}

impl Sample {
    fn of(url: &str, endpoint: &Endpoint) -> Option<Self> {
        // Clients call the path that is served, which may have a mount before the declared one.
        let served = EndpointInfo { path: endpoint.path.clone(), ..endpoint.declared().clone() };
        let shown = with_shown_query(&served);
        let request = ExampleRequest::of(&shown, endpoint.input.as_ref());
        let request = request.or_else(|_| ExampleRequest::of(&served, endpoint.input.as_ref())).ok()?;
        let mut words = arguments(url, &request)?;
        if let Some(max) = max(&endpoint.access) {
            words.extend(["--max".to_owned(), max]);
        }
        let arguments = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let is_get = request.method == Method::GET;
        let page = match is_get {
            true => format!("{url}{}", request.target),
            false => format!("{url}{}", endpoint_page(&endpoint.label)),
        };
        Some(Self { arguments, page, values: values(&shown, &request), is_get })
    }
}

/// The endpoint with the first query parameter that has an example as a required one, if it requires none: that shows
/// more than a line without a query.
fn with_shown_query(declared: &EndpointInfo) -> EndpointInfo {
    let mut shown = declared.clone();
    let Some(schema) = shown.input_schema.as_mut() else { return shown };
    let Some(query) = schema.pointer_mut("/properties/query").and_then(Value::as_object_mut) else { return shown };
    let properties = query.get("properties").and_then(Value::as_object);
    let with_example = properties.into_iter().flatten().find(|(_, property)| property.get("examples").is_some());
    let name = with_example.map(|(name, _)| name.clone());
    let requires_none = query.get("required").and_then(Value::as_array).is_none_or(Vec::is_empty);
    let (Some(name), true) = (name, requires_none) else { return shown };
    query.insert("required".to_owned(), json!([name]));
    let mut required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    required.push("query".into());
    schema["required"] = required.into();
    shown
}

/// The arguments of `coinslot pay` that send a request. None for a body that is no printable text, or that `pay` would
/// read as something else.
fn arguments(url: &str, request: &ExampleRequest) -> Option<Vec<String>> {
    let mut words = vec![format!("{url}{}", request.target)];
    let body = std::str::from_utf8(&request.body).ok()?;
    if body.starts_with(['@', '-']) || body.chars().any(char::is_control) {
        return None;
    }
    if !body.is_empty() {
        words.extend(["-d".to_owned(), body.to_owned()]);
        // What `pay` says of a body without this header.
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok();
        let usual = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
        let media = request.media_type.as_ref().and_then(|media| media.to_str().ok()).unwrap_or(usual);
        if media != usual {
            words.extend(["-H".to_owned(), format!("content-type: {media}")]);
        }
    }
    let usual = if body.is_empty() { Method::GET } else { Method::POST };
    if request.method != usual {
        words.splice(0..0, ["-X".to_owned(), request.method.to_string()]);
    }
    Some(words)
}

/// The price of an endpoint, if it is more than `pay` pays unasked.
fn max(access: &Access) -> Option<String> {
    let Access::Paid(paid) = access else { return None };
    let price = paid.offer.prices().first()?;
    let text = price.amount.decimal(price.asset.decimals);
    let is_above = Decimal::parse(&text).ok()?.is_above(&Decimal::parse(DEFAULT_MAX).ok()?);
    is_above.then_some(text)
}

/// Tells where the values of a request come from.
fn values(declared: &EndpointInfo, request: &ExampleRequest) -> ValueOrigin {
    let none = json!({});
    let schema = declared.input_schema.as_ref().unwrap_or(&none);
    let part = |name: &str| schema.pointer(&format!("/properties/{name}")).unwrap_or(&Value::Null);
    let segments = declared.path.segments().iter();
    let parameters: Vec<&str> = segments.filter_map(Segment::name).collect();
    if parameters.is_empty() && request.body.is_empty() && !request.target.contains('?') {
        return ValueOrigin::None;
    }
    if ExampleRequest::makes_up_body(declared) && schema.get("examples").is_none() {
        return ValueOrigin::Undeclared;
    }
    let path = parameters.iter().all(|name| is_written(&part("path")["properties"][name]));
    let query = !request.target.contains('?') || is_written(part("query"));
    let body = request.body.is_empty() || is_written(part("body"));
    if schema.get("examples").is_some() || (path && query && body) { ValueOrigin::Written } else { ValueOrigin::MadeUp }
}

/// True if the author has written a value of a schema, or one of each property that it requires.
fn is_written(schema: &Value) -> bool {
    let has = |keyword: &&str| schema.get(keyword).is_some();
    let mut required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).peekable();
    ["const", "examples", "example", "default", "enum"].iter().any(has)
        || (required.peek().is_some() && required.all(|name| is_written(&schema["properties"][name])))
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

    use super::*;
    use crate::endpoint::testing::free_endpoint;

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

    type Case = (Method, &'static str, Option<Value>, &'static [&'static str], ValueOrigin);

    fn sample(method: Method, path: &str, schema: Option<Value>) -> (Option<Vec<String>>, ValueOrigin) {
        let declared = EndpointInfo { input_schema: schema, ..free_endpoint(method, path) };
        let shown = with_shown_query(&declared);
        let request = ExampleRequest::of(&shown, None).expect("a request");
        (arguments("http://h", &request), values(&shown, &request))
    }

    /// A required parameter without an example left the line without a query, and the first call ended in 400.
    #[test]
    fn every_part_that_a_request_needs_has_a_value() {
        let part = |name: &str, schema: Value| json!({ "properties": { name: schema }, "required": [name] });
        let word = json!({ "type": "string" });
        let stack = json!({ "type": "string", "examples": ["rust lang"] });
        let both = json!({ "properties": { "n": { "type": "integer", "minimum": 3 }, "yes": { "type": ["boolean", "null"] } },
                           "required": ["n", "yes"] });
        let of = |schema: Value| json!({ "properties": { "stack": schema }, "required": ["stack"] });
        let optional = json!({ "properties": { "query": { "properties": { "stack": stack } } } });
        let cases: [Case; 11] = [
            (Method::GET, "/a", None, &["http://h/a"], ValueOrigin::None),
            (Method::GET, "/a/{n}", None, &["http://h/a/example"], ValueOrigin::MadeUp),
            (
                Method::GET,
                "/{stack}",
                Some(part("path", of(stack.clone()))),
                &["http://h/rust%20lang"],
                ValueOrigin::Written,
            ),
            (Method::GET, "/a", Some(part("query", both)), &["http://h/a?n=3&yes=true"], ValueOrigin::MadeUp),
            (
                Method::GET,
                "/a",
                Some(part("query", of(stack.clone()))),
                &["http://h/a?stack=rust+lang"],
                ValueOrigin::Written,
            ),
            (Method::GET, "/a", Some(optional), &["http://h/a?stack=rust+lang"], ValueOrigin::Written),
            (
                Method::GET,
                "/a",
                Some(json!({ "properties": { "query": { "properties": { "n": word } } } })),
                &["http://h/a"],
                ValueOrigin::None,
            ),
            (
                Method::POST,
                "/a",
                Some(part("body", of(word.clone()))),
                &["http://h/a", "-d", r#"{"stack":"example"}"#],
                ValueOrigin::MadeUp,
            ),
            (
                Method::PUT,
                "/a",
                Some(part("body", json!({ "type": "string", "contentMediaType": "text/markdown", "default": "# A" }))),
                &["-X", "PUT", "http://h/a", "-d", "# A", "-H", "content-type: text/markdown"],
                ValueOrigin::Written,
            ),
            (Method::DELETE, "/a", None, &["-X", "DELETE", "http://h/a"], ValueOrigin::None),
            (Method::POST, "/a", None, &["http://h/a", "-d", "example"], ValueOrigin::Undeclared),
        ];
        for (method, path, schema, expected, values) in cases {
            let (words, is) = sample(method, path, schema.clone());
            assert_eq!(words.expect("a line"), expected, "{schema:?}");
            assert_eq!(is, values, "{schema:?}");
        }
        let parts = json!({ "type": "object", "contentMediaType": "multipart/form-data", "properties": { "a": word },
                            "required": ["a"] });
        assert_eq!(sample(Method::POST, "/a", Some(part("body", parts))).0, None, "its lines end with CR");
        let bytes = of(json!({ "type": "string", "format": "binary" }));
        let line = sample(Method::POST, "/a", Some(part("body", bytes))).0.expect("the schema names no form");
        assert_eq!(&line[..2], ["http://h/a", "-d"]);
        assert!(serde_json::from_str::<Value>(&line[2]).is_ok_and(|body| body["stack"].is_string()), "{line:?}");
    }
}
