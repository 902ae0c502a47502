//! Checks what the challenge says about the thing that is sold.

use coinslot_base::text::drives_terminal;
use serde_json::Value;
use url::Url;

use crate::doctor::check::{Check, Verdict};
use crate::doctor::facts::{ChallengeFacts, Reach};

/// The longest description that no directory was seen to refuse, in characters.
const LONG_TEXT: usize = 500;
/// The longest texts of `serviceName` and of a tag.
const LONG_LABEL: usize = 32;
/// The most tags.
const MOST_TAGS: usize = 5;
/// The longest `iconUrl`.
const LONG_ICON: usize = 2_048;

pub(super) const CHECKS: &[Check<ChallengeFacts>] = &[
    Check {
        name: "resource-url",
        why: "directories list resource.url and clients pay for it: if it is another address, the endpoint is \
              listed wrongly or not paid",
        advice: "name the public address of the endpoint, with https and the path that is called; behind a proxy \
              configure it (Coinslot: `public_url`)",
        judge: resource_url,
    },
    Check {
        name: "resource-texts",
        why: "over-long or odd descriptions make directories drop an endpoint silently, and agents read them as \
              instructions",
        advice: "describe it in plain text of at most 500 characters; serviceName and tags are printable ASCII \
              of at most 32",
        judge: texts,
    },
];

fn resource_url(facts: &ChallengeFacts) -> Verdict {
    let named = facts.document().and_then(|document| match &facts.v2 {
        Some(_) => document.get("resource")?.get("url")?.as_str(),
        None => facts.entries_of(1).first()?.text("resource"),
    });
    let Some(text) = named.filter(|text| !text.is_empty()) else {
        return Verdict::skipped("the challenge names no resource");
    };
    let Ok(named) = Url::parse(text) else { return Verdict::failed(format!("{text:?} is no absolute URL")) };
    if !matches!(named.scheme(), "http" | "https") {
        return Verdict::failed(format!("{text:?} is no URL of http or https"));
    }
    let Some(called) = &facts.called else { return Verdict::ok(text) };
    let differences = differences(&named, called);
    if Reach::of(called) == Reach::Public && Reach::of(&named) != Reach::Public {
        return Verdict::failed(format!("it is {text}, which nobody else can reach"));
    }
    match differences.is_empty() {
        true => Verdict::ok(text),
        false => Verdict::failed(format!("it is {text}, and {called} was called: {} differ", differences.join(", "))),
    }
}

/// The parts in which two URLs differ. A challenge may leave the query out.
fn differences(named: &Url, called: &Url) -> Vec<&'static str> {
    let mut parts = Vec::new();
    let mut compare = |part, differs: bool| {
        if differs {
            parts.push(part)
        }
    };
    compare("the schemes", named.scheme() != called.scheme());
    compare("the hosts", named.host_str() != called.host_str());
    let is_default = |url: &Url| url.port().is_none();
    compare(
        "the ports",
        named.port_or_known_default() != called.port_or_known_default() && !(is_default(named) && is_default(called)),
    );
    compare(
        "the paths",
        named.path().trim_end_matches('/') != called.path().trim_end_matches('/') && !is_template(named),
    );
    compare("the queries", named.query().is_some() && named.query() != called.query());
    parts
}

/// True for the path of a template, which stands for every path of it.
fn is_template(url: &Url) -> bool {
    let path = url.path();
    path.contains("%7B") || path.contains('{') || path.contains("/:")
}

fn texts(facts: &ChallengeFacts) -> Verdict {
    let resource = facts.v2.as_ref().and_then(|document| document.get("resource")?.as_object());
    let v1 = facts.entries_of(1);
    let description = resource.and_then(|resource| resource.get("description"));
    let description = description.or_else(|| v1.first().and_then(|entry| entry.object.get("description")));
    if resource.is_none() && description.is_none() {
        return Verdict::skipped("the challenge describes no resource");
    }
    let mut warnings = Vec::new();
    match description {
        Some(Value::String(text)) if text.chars().count() > LONG_TEXT => {
            warnings.push(format!("the description has {} characters", text.chars().count()));
        }
        Some(Value::String(text)) if text.chars().any(|c| drives_terminal(c) && !matches!(c, '\n' | '\t')) => {
            warnings.push("the description has control characters".to_owned());
        }
        Some(Value::String(text)) if text.contains("</") || text.contains("<script") => {
            warnings.push("the description has markup".to_owned());
        }
        Some(Value::String(_)) => {}
        Some(_) => warnings.push("the description is no text".to_owned()),
        None => {}
    }
    let label = |value: &Value| {
        value.as_str().is_some_and(|text| {
            (1..=LONG_LABEL).contains(&text.len()) && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        })
    };
    if let Some(resource) = resource {
        if resource.get("serviceName").is_some_and(|name| !label(name)) {
            warnings.push("serviceName is not 1 to 32 characters of printable ASCII".to_owned());
        }
        let tags = resource.get("tags");
        let are_good =
            |tags: &Value| tags.as_array().is_some_and(|tags| tags.len() <= MOST_TAGS && tags.iter().all(label));
        if tags.is_some_and(|tags| !are_good(tags)) {
            warnings.push("tags are not at most 5 of 1 to 32 characters of printable ASCII".to_owned());
        }
        let icon = resource.get("iconUrl");
        let is_good = |icon: &Value| {
            icon.as_str().is_some_and(|icon| {
                icon.len() <= LONG_ICON && (icon.starts_with("https://") || icon.starts_with("http://"))
            })
        };
        if icon.is_some_and(|icon| !is_good(icon)) {
            warnings.push("iconUrl is no URL of http or https".to_owned());
        }
    }
    Verdict::of(Vec::new(), warnings, "plain and short")
}
