//! Compares the manifest of a package with the one that its component describes.

use coinslot_base::text::excerpt;
use serde_json::Value;

/// The longest value in a message, in characters.
const SHOWN: usize = 80;

/// The members of an endpoint, in the order in which a difference is reported.
const MEMBERS: [(&str, &str); 8] = [
    ("price", "price"),
    ("mimeType", "media type"),
    ("inputSchema", "input schema"),
    ("outputSchema", "output schema"),
    ("quoteHeaders", "quote headers"),
    ("extensions", "extensions"),
    ("summary", "summary"),
    ("description", "description"),
];

/// The first difference, in words. None if both are the same.
pub(super) fn difference(packed: &Value, described: &Value) -> Option<String> {
    if packed == described {
        return None;
    }
    for member in ["name", "version"] {
        if packed.get(member) != described.get(member) {
            return Some(differs(&format!("the {member}"), packed.get(member), described.get(member)));
        }
    }
    let endpoints = |manifest: &Value| manifest.get("endpoints").and_then(Value::as_array).cloned().unwrap_or_default();
    let (packed, described) = (endpoints(packed), endpoints(described));
    let find = |list: &[Value], label: &str| list.iter().find(|endpoint| route(endpoint) == label).cloned();
    for endpoint in &described {
        let label = route(endpoint);
        let Some(other) = find(&packed, &label) else {
            return Some(format!("the component has the endpoint {label}, and the package does not"));
        };
        for (member, word) in MEMBERS {
            if other.get(member) != endpoint.get(member) {
                return Some(differs(&format!("{label}: the {word}"), other.get(member), endpoint.get(member)));
            }
        }
    }
    if let Some(other) = packed.iter().map(route).find(|label| find(&described, label).is_none()) {
        return Some(format!("the package has the endpoint {other}, and the component does not"));
    }
    Some("the manifests differ in the order of their endpoints, or in members that this host does not know".to_owned())
}

fn route(endpoint: &Value) -> String {
    let text = |member: &str| endpoint.get(member).and_then(Value::as_str).unwrap_or("?");
    excerpt(&format!("{} {}", text("method"), text("path")), SHOWN)
}

fn differs(what: &str, packed: Option<&Value>, described: Option<&Value>) -> String {
    let shown = |value: Option<&Value>| match value {
        Some(Value::String(text)) => excerpt(text, SHOWN),
        Some(value) => excerpt(&value.to_string(), SHOWN),
        None => "nothing".to_owned(),
    };
    format!("{what} is {} in the package, and {} in the component", shown(packed), shown(described))
}
