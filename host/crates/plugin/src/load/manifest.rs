//! Checks the result of `describe` against the limits that `wit/plugin.wit` states.
//!
//! All problems are reported at once, each with the index of its endpoint, because an author fixes a list faster than a
//! sequence. Prices are checked for notation only: their meaning is outside of this package.

use coinslot_base::text::excerpt;
use serde_json::Value;

use crate::bindings::{is_amount, manifest};
use crate::contract::{DeclaredPrice, EndpointInfo, PluginInfo};
use crate::template::Template;

const MAX_ENDPOINTS: usize = 256;
const MAX_SCHEMA: usize = 64 << 10;
const MAX_SUMMARY: usize = 120;
const MAX_DESCRIPTION: usize = 2_000;
const MAX_MIME: usize = 255;
const MAX_VERSION: usize = 64;
/// Bytes of all strings together.
const MAX_TOTAL: usize = 1 << 20;

/// Checks a manifest. `quotes`: the plugin exports `quote`. The problems are sentences for the author.
pub(crate) fn check(info: manifest::PluginInfo, quotes: bool) -> Result<PluginInfo, Vec<String>> {
    let mut problems = Vec::new();
    if !is_name(&info.name) {
        problems.push(format!(
            "name {:?}: use lower-case letters, digits and hyphens, at most 64, starting with a letter",
            shown(&info.name)
        ));
    }
    if !is_semver(&info.version) {
        problems.push(format!("version {:?}: use a semantic version such as 1.4.0", shown(&info.version)));
    }
    let count = info.endpoints.len();
    if count == 0 || count > MAX_ENDPOINTS {
        problems.push(format!("{count} endpoints: declare at least one and at most {MAX_ENDPOINTS}"));
    }
    if total(&info) > MAX_TOTAL {
        problems.push(format!("the manifest is larger than {MAX_TOTAL} bytes: shorten it"));
    }
    if !problems.is_empty() && count > MAX_ENDPOINTS {
        return Err(problems);
    }
    let mut endpoints: Vec<(usize, EndpointInfo)> = Vec::with_capacity(count);
    for (index, endpoint) in info.endpoints.into_iter().enumerate() {
        let label = format!("endpoint {index} ({} {})", shown(&endpoint.method), shown(&endpoint.path));
        let mut found = Vec::new();
        let endpoint = convert(endpoint, quotes, &mut found);
        if let Some(endpoint) = endpoint {
            let same = endpoints
                .iter()
                .find(|(_, earlier)| earlier.method == endpoint.method && earlier.path.is_alike(&endpoint.path));
            if let Some((first, _)) = same {
                found.push(format!("matches the same requests as endpoint {first}: keep one of them"));
            }
            endpoints.push((index, endpoint));
        }
        problems.extend(found.into_iter().map(|problem| format!("{label}: {problem}")));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let endpoints = endpoints.into_iter().map(|(_, endpoint)| endpoint).collect();
    Ok(PluginInfo { name: info.name, version: info.version, endpoints })
}

/// None if the method or the path cannot be used. Every problem is added to `problems`, in either case.
fn convert(endpoint: manifest::Endpoint, quotes: bool, problems: &mut Vec<String>) -> Option<EndpointInfo> {
    let method = match endpoint.method.as_str() {
        "GET" => Some(http::Method::GET),
        "POST" => Some(http::Method::POST),
        "PUT" => Some(http::Method::PUT),
        "PATCH" => Some(http::Method::PATCH),
        "DELETE" => Some(http::Method::DELETE),
        _ => {
            problems.push("method: use GET, POST, PUT, PATCH or DELETE, in upper case".into());
            None
        }
    };
    let path = Template::parse(&endpoint.path).map_err(|mistake| problems.push(format!("path: {mistake}"))).ok();
    let price = price(endpoint.price, quotes, problems);
    problems.extend(summary_problem(&endpoint.summary).map(|problem| format!("summary: {problem}")));
    problems.extend(description_problem(&endpoint.description).map(|problem| format!("description: {problem}")));
    if !is_mime(&endpoint.mime_type) {
        problems.push(format!("mime-type {:?}: use a media type such as application/json", shown(&endpoint.mime_type)));
    }
    let input_schema = schema("input-schema", endpoint.input_schema, problems);
    let output_schema = schema("output-schema", endpoint.output_schema, problems);
    Some(EndpointInfo {
        method: method?,
        path: path?,
        price,
        summary: endpoint.summary,
        description: endpoint.description,
        mime_type: endpoint.mime_type,
        input_schema,
        output_schema,
        quote_headers: endpoint.quote_headers,
        extensions: endpoint.extensions,
    })
}

/// Says what a summary has to be. None if this one is that.
pub fn summary_problem(text: &str) -> Option<String> {
    let is_good = text.chars().count() <= MAX_SUMMARY && !text.contains(char::is_control);
    (!is_good).then(|| format!("one line of at most {MAX_SUMMARY} characters"))
}

/// Says what a description has to be. None if this one is that.
pub fn description_problem(text: &str) -> Option<String> {
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let is_good = text.chars().count() <= MAX_DESCRIPTION && !text.contains(is_odd);
    (!is_good).then(|| format!("plain text of at most {MAX_DESCRIPTION} characters"))
}

fn price(price: manifest::Price, quotes: bool, problems: &mut Vec<String>) -> DeclaredPrice {
    let price = match price {
        manifest::Price::Free => return DeclaredPrice::Free,
        manifest::Price::Exact(amount) => DeclaredPrice::Exact(amount),
        manifest::Price::UpTo(amount) => DeclaredPrice::UpTo(amount),
        manifest::Price::Quoted(amount) => {
            if !quotes {
                problems.push(
                    "price: it is quoted, but the plugin does not export `quote`: export it, or use `exact`".into(),
                );
            }
            DeclaredPrice::Quoted(amount)
        }
    };
    if let DeclaredPrice::Exact(amount) | DeclaredPrice::UpTo(amount) | DeclaredPrice::Quoted(amount) = &price
        && !is_amount(amount)
    {
        problems.push(format!("price {:?}: write a decimal amount such as 0.01 or `0.01 USDC`", shown(amount)));
    }
    price
}

/// The kind of a JSON value, for a message.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false, which nothing fits",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn schema(what: &str, text: Option<String>, problems: &mut Vec<String>) -> Option<serde_json::Value> {
    let text = text?;
    if text.len() > MAX_SCHEMA {
        problems.push(format!("{what}: it has {} bytes; at most {MAX_SCHEMA}", text.len()));
        return None;
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(value @ Value::Object(_)) => Some(value),
        // It accepts everything, as an empty object does; schemas of arbitrary JSON are written so.
        Ok(Value::Bool(true)) => Some(Value::Object(serde_json::Map::new())),
        Ok(value) => {
            problems.push(format!("{what}: a JSON Schema is a JSON object or true, and this is {}", kind(&value)));
            None
        }
        Err(error) => {
            problems.push(format!("{what}: it is not JSON: {error}"));
            None
        }
    }
}

/// True if a plugin can have this name.
pub fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// True for a version by the grammar of Semantic Versioning 2.0.0, sections 9 and 10.
fn is_semver(version: &str) -> bool {
    let number = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let (rest, build) = match version.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (version, None),
    };
    let (core, pre) = match rest.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (rest, None),
    };
    let core: Vec<&str> = core.split('.').collect();
    version.len() <= MAX_VERSION
        && core.len() == 3
        && core.into_iter().all(number)
        && build.is_none_or(|build| build.split('.').all(word))
        && pre.is_none_or(|pre| {
            pre.split('.').all(|part| word(part) && (number(part) || part.bytes().any(|b| !b.is_ascii_digit())))
        })
}

/// True for `type/subtype` of tokens (RFC 9110, section 8.3.1), with parameters of printable ASCII.
fn is_mime(mime: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let (essence, parameters) = match mime.split_once(';') {
        Some((essence, parameters)) => (essence.trim_end(), parameters),
        None => (mime, ""),
    };
    mime.len() <= MAX_MIME
        && essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
        && parameters.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

fn total(info: &manifest::PluginInfo) -> usize {
    let pairs =
        |pairs: &[(String, String)]| -> usize { pairs.iter().map(|(key, value)| key.len() + value.len()).sum() };
    let endpoints: usize = info
        .endpoints
        .iter()
        .map(|e| {
            e.method.len()
                + e.path.len()
                + e.summary.len()
                + e.description.len()
                + e.mime_type.len()
                + e.input_schema.as_ref().map_or(0, String::len)
                + e.output_schema.as_ref().map_or(0, String::len)
                + e.quote_headers.iter().map(String::len).sum::<usize>()
                + pairs(&e.extensions)
        })
        .sum();
    endpoints + info.name.len() + info.version.len() + pairs(&info.extensions)
}

/// As much of a guest's string as belongs in a message.
fn shown(text: &str) -> String {
    excerpt(text, 80)
}
