//! Checks what the origin publishes about the endpoint against what the endpoint says itself.

use coinslot_x402::price::{Amount, Asset, Decimal};
use serde_json::Value;

use crate::doctor::check::{Check, Verdict};
use crate::doctor::description::DescribedOperation;
use crate::doctor::documents::NoDocument;
use crate::doctor::facts::{ChallengeFacts, Reach};
use crate::doctor::observation::Observed;

/// The deepest level of a catalogue at which an endpoint is looked for.
const DEEPEST: usize = 8;

/// The checks that are about free endpoints, too.
pub(super) const OF_FREE: &[Check<Observed>] = &[OPENAPI, INPUT_SCHEMA];

const OPENAPI: Check<Observed> = Check {
    name: "openapi",
    why: "directories register what /openapi.json describes, and refuse an origin without it",
    advice: "publish /openapi.json (3.1) with the operation, its `x-payment-info`, a response 402 and a contact",
    judge: openapi,
};

const INPUT_SCHEMA: Check<Observed> = Check {
    name: "input-schema",
    why: "agents can only call what they know the input of, and directories skip the rest",
    advice: "describe parameters and body in /openapi.json, or in the extension `bazaar` of the challenge",
    judge: input_schema,
};

pub(super) const CHECKS: &[Check<Observed>] = &[
    OPENAPI,
    Check {
        name: "openapi-price",
        why: "a buyer chooses by the published price, and stops at a challenge that asks for more",
        advice: "make both of one declaration: `x-payment-info.price` in dollars, the amount of the challenge in \
              atomic units",
        judge: openapi_price,
    },
    INPUT_SCHEMA,
    Check {
        name: "well-known",
        why: "some directories read the addresses of endpoints from /.well-known/x402",
        advice: "list the endpoint's URL in `resources` of /.well-known/x402, or publish no such document",
        judge: well_known,
    },
    Check {
        name: "catalog",
        why: "a catalogue that names another price than the challenge misleads whoever reads it",
        advice: "make /catalog.json and the challenge of one declaration",
        judge: catalog,
    },
];

fn openapi(observed: &Observed) -> Verdict {
    let document = match &observed.documents.openapi {
        Ok(document) => document,
        Err(NoDocument::Missing) if observed.reach != Reach::Public => {
            return Verdict::skipped("there is none, and no directory reaches this server");
        }
        Err(error) => return Verdict::warning(format!("/openapi.json: {error}")),
    };
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    let mut warnings = Vec::new();
    if !version.starts_with("3.") {
        warnings.push(format!("`openapi` is {version:?}, not 3.x"));
    }
    match &observed.target.operation {
        None => {
            let url = observed.url();
            warnings.push(format!("{} {} is not described", observed.target.request.method, url.path()));
        }
        Some(_) if observed.is_free() => {}
        Some(operation) => {
            if operation.payment_info.is_none() {
                warnings.push("the operation has no x-payment-info".to_owned());
            }
            if !operation.describes_402 {
                warnings.push("the operation has no response 402".to_owned());
            }
        }
    }
    Verdict::of(Vec::new(), warnings, format!("described in OpenAPI {version}"))
}

/// A published price in dollars: from, and to.
fn published(operation: &DescribedOperation) -> Option<(Decimal, Decimal)> {
    let info = operation.payment_info.as_ref()?;
    let price = info.get("price")?;
    let in_dollars = |value: &Value| match value {
        Value::String(text) => Decimal::parse(text).ok(),
        Value::Number(number) => Decimal::parse(&number.to_string()).ok(),
        _ => None,
    };
    let of = |object: &Value, key: &str| object.get(key).and_then(in_dollars);
    let is_dollar = |price: &Value| price.get("currency").is_none_or(|currency| currency == "USD");
    if let Some(fixed) = in_dollars(price) {
        return Some((fixed.clone(), fixed));
    }
    if !is_dollar(price) {
        return None;
    }
    if let Some(fixed) = of(price, "amount") {
        return Some((fixed.clone(), fixed));
    }
    let (least, most) =
        (of(price, "min").or_else(|| of(info, "minPrice")), of(price, "max").or_else(|| of(info, "maxPrice")));
    let zero = Decimal { digits: "0".to_owned(), symbol: None };
    Some((least.unwrap_or(zero), most?))
}

/// The price of the challenge in dollars, where the first token that is one is known.
fn asked(challenge: &ChallengeFacts) -> Option<(Amount, Asset)> {
    challenge.entries().iter().find_map(|entry| {
        let asset = entry.known_asset().filter(|asset| asset.dollar)?;
        Some((Amount::parse_atomic(entry.amount()?).ok()?, asset))
    })
}

fn openapi_price(observed: &Observed) -> Verdict {
    let Some(operation) = &observed.target.operation else { return Verdict::skipped("the endpoint is not described") };
    let Some((least, most)) = published(operation) else { return Verdict::skipped("no price in dollars is published") };
    let Some((amount, asset)) = observed.challenge.as_ref().and_then(asked) else {
        return Verdict::skipped("the challenge has no price in dollars that is known here");
    };
    let price = Decimal { digits: amount.decimal(asset.decimals), symbol: None };
    let range = if least == most { most.digits.clone() } else { format!("{} to {}", least.digits, most.digits) };
    if price.is_above(&most) {
        Verdict::failed(format!("the challenge asks for {}, /openapi.json says {range}", price.digits))
    } else if least.is_above(&price) {
        Verdict::warning(format!("the challenge asks for {}, /openapi.json says {range}", price.digits))
    } else {
        Verdict::ok(format!("{} as published", price.digits))
    }
}

fn input_schema(observed: &Observed) -> Verdict {
    let bazaar =
        observed.challenge.as_ref().and_then(|challenge| challenge.document()?.get("extensions")?.get("bazaar"));
    let of_bazaar = bazaar.and_then(|bazaar| bazaar.get("info")?.get("input")).is_some();
    let of_v1 = observed
        .challenge
        .as_ref()
        .and_then(|challenge| challenge.entries_of(1).first()?.object.get("outputSchema")?.get("input").map(|_| ()));
    let operation = observed.target.operation.as_ref();
    if operation.is_some_and(|operation| operation.has_input_schema) {
        return match operation.is_some_and(|operation| operation.has_output_schema) || of_bazaar {
            true => Verdict::ok("described in /openapi.json"),
            false => Verdict::warning("/openapi.json describes the input, and not the output"),
        };
    }
    if of_bazaar || of_v1.is_some() {
        return Verdict::ok("described in the challenge");
    }
    if observed.reach != Reach::Public || observed.target.request.method == http::Method::GET && operation.is_some() {
        return Verdict::skipped("no input is described, and none may be needed");
    }
    Verdict::warning("nothing describes the input")
}

fn well_known(observed: &Observed) -> Verdict {
    let document = match &observed.documents.well_known {
        Ok(document) => document,
        Err(NoDocument::Missing) => return Verdict::skipped("there is no /.well-known/x402"),
        Err(error) => return Verdict::warning(format!("/.well-known/x402: {error}")),
    };
    let Some(resources) = document.get("resources").and_then(Value::as_array) else {
        return Verdict::warning("/.well-known/x402 has no list `resources`");
    };
    let url = observed.url();
    let bare = &url[..url::Position::AfterPath];
    let template = observed.target.operation.as_ref().map(|operation| operation.path.as_str());
    let is_it = |resource: &Value| {
        let listed = resource.as_str().or_else(|| resource.get("url")?.as_str()).unwrap_or_default();
        // A list may name the method before the URL.
        let listed = listed.rsplit(' ').next().unwrap_or_default();
        listed == bare
            || listed == url.as_str()
            || template.is_some_and(|template| {
                listed.strip_suffix(template).is_some_and(|rest| url.as_str().starts_with(rest))
            })
    };
    match resources.iter().any(is_it) {
        true => Verdict::ok("listed"),
        false => Verdict::warning(format!("{bare} is not listed")),
    }
}

fn catalog(observed: &Observed) -> Verdict {
    let document = match &observed.documents.catalog {
        Ok(document) => document,
        Err(NoDocument::Missing) => return Verdict::skipped("there is no /catalog.json"),
        Err(error) => return Verdict::warning(format!("/catalog.json: {error}")),
    };
    let Some(challenge) = &observed.challenge else { return Verdict::skipped("there is no challenge") };
    let Some(entry) = listed(document, observed, 0) else { return Verdict::skipped("it does not list the endpoint") };
    let mut amounts = Vec::new();
    atomic(entry, 0, &mut amounts);
    let asked: Vec<&str> = challenge.entries().iter().filter_map(|entry| entry.amount()).collect();
    if amounts.is_empty() || asked.is_empty() {
        return Verdict::skipped("it names no amount in atomic units");
    }
    match asked.iter().all(|asked| amounts.contains(asked)) {
        true => Verdict::ok("the price of the challenge is listed"),
        false if is_at_most(entry) => Verdict::ok("the price depends on the request"),
        false => Verdict::failed(format!(
            "the challenge asks for {}, /catalog.json says {}",
            asked.join(", "),
            amounts.join(", ")
        )),
    }
}

/// The object of a catalogue that is about the endpoint: that with its path or URL, and with its method if it has one.
fn listed<'d>(value: &'d Value, observed: &Observed, depth: usize) -> Option<&'d Value> {
    if depth > DEEPEST {
        return None;
    }
    let url = observed.url();
    let template = observed.target.operation.as_ref().map_or(url.path(), |operation| operation.path.as_str());
    match value {
        Value::Object(object) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            let is_method = text("method")
                .is_none_or(|method| method.eq_ignore_ascii_case(observed.target.request.method.as_str()));
            let is_path = text("path").is_some_and(|path| path == url.path() || path == template);
            let is_url =
                ["url", "resource"].into_iter().filter_map(text).any(|it| it == &url[..url::Position::AfterPath]);
            if is_method && (is_path || is_url) {
                return Some(value);
            }
            object.values().find_map(|value| listed(value, observed, depth + 1))
        }
        Value::Array(list) => list.iter().find_map(|value| listed(value, observed, depth + 1)),
        _ => None,
    }
}

/// The amounts in atomic units below an entry of a catalogue.
fn atomic<'d>(value: &'d Value, depth: usize, found: &mut Vec<&'d str>) {
    const KEYS: [&str; 4] = ["amount", "atomicAmount", "atomic", "maxAmountRequired"];
    match value {
        _ if depth > DEEPEST => {}
        Value::Object(object) => {
            for (key, value) in object {
                match value.as_str().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())) {
                    Some(digits) if KEYS.contains(&key.as_str()) => found.push(digits),
                    _ => atomic(value, depth + 1, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| atomic(value, depth + 1, found)),
        _ => {}
    }
}

/// True for an entry whose price is quoted for each request.
fn is_at_most(entry: &Value) -> bool {
    let is_dynamic = |value: &Value| matches!(value.as_str(), Some("quoted" | "dynamic" | "up-to" | "metered"));
    entry.get("quoted") == Some(&Value::Bool(true))
        || ["pricing", "price", "mode"].into_iter().filter_map(|key| entry.get(key)).any(|value| {
            is_dynamic(value) || value.get("mode").is_some_and(is_dynamic) || value.get("kind").is_some_and(is_dynamic)
        })
}
