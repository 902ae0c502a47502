//! Reads `[plugin.NAME]`: what one plugin is granted, bounded by and held to, and what is served otherwise than it
//! declares, by the name in its manifest.
//!
//! Secrets are named here, and looked up when a host is built.

use std::path::Path;

use coinslot_plugin::{Allowed, Limits, Origin, OutputLevel, Quota, Reuse, Secret, SecretError, SecretPlace};
use coinslot_x402::header::is_payment_header;
use coinslot_x402::price::Decimal;
use http::HeaderName;

use super::reader::{Field, Section};
use super::settlement::KeySource;
use super::types::{PluginConfig, SecretSource};
use super::values::{AmountText, ByteSize, OneOrMore, Scalar};
use super::{limits, overrides};
use crate::catalog::PluginPins;
use crate::endpoint::PluginPages;

/// The most that keys and values of `wasi:config` may have together, in bytes.
const MAX_CONFIG: usize = 64 << 10;

/// Requests at once in one instance: they share one processor, and fail together.
const MAX_CONCURRENT: u64 = 1_000;

const KIB: ByteSize = ByteSize(1 << 10);

/// Reads one table. What it leaves out of its limits is as in `all`.
pub(super) fn read(name: &str, mut section: Section<'_, '_>, base: &Path, all: &Limits) -> PluginConfig {
    if !coinslot_plugin::is_name(name) {
        section.problem("not a plugin's name: lower-case letters, digits and hyphens, at most 64");
    }
    let http = http(&mut section);
    let secrets = section.sections("secrets").into_iter().filter_map(|entry| secret(entry, &http, base)).collect();
    let (config, keyvalue) = (config(&mut section), keyvalue(&mut section));
    let own = limits::limits(&mut section.section("limits"), all);
    let mut own = limits::health(&mut section.section("health"), own);
    own.reuse = section.field("reuse").and_then(reuse);
    let pins = pins(name, &mut section);
    let overrides = overrides::read(name, &mut section);
    let validate = validate(&mut section);
    let pages = pages(&mut section);
    let limits = (own != *all).then_some(own);
    let log = log(&mut section);
    PluginConfig { http, secrets, config, keyvalue, limits, pins, overrides, validate, pages, log }
}

/// The lines of the plugin that get into the log.
fn log(section: &mut Section<'_, '_>) -> OutputLevel {
    let Some(name) = section.read::<String>("log") else { return OutputLevel::default() };
    OutputLevel::parse(&name).unwrap_or_else(|| {
        section
            .key_problem("log", "write \"info\", which is the default, \"warn\" for lines of stderr alone, or \"off\"");
        OutputLevel::default()
    })
}

/// The check of its requests against the schemas that it declares.
fn validate(section: &mut Section<'_, '_>) -> bool {
    match section.read::<String>("validate").as_deref() {
        None | Some("input") => true,
        Some("off") => false,
        Some(_) => {
            section.key_problem("validate", "write \"input\", which is the default, or \"off\"");
            true
        }
    }
}

/// The origin of its pages in a browser.
fn pages(section: &mut Section<'_, '_>) -> PluginPages {
    match section.read::<String>("pages").as_deref() {
        None | Some("sandboxed") => PluginPages::Sandboxed,
        Some("same-origin") => PluginPages::SameOrigin,
        Some(_) => {
            section.key_problem("pages", "write \"sandboxed\", which is the default, or \"same-origin\"");
            PluginPages::Sandboxed
        }
    }
}

/// The conditions for a component of this name.
fn pins(name: &str, section: &mut Section<'_, '_>) -> PluginPins {
    let file = section.read::<String>("file");
    if file.as_ref().is_some_and(|file| !file.ends_with(".wasm") || file.contains('/')) {
        section.key_problem("file", "name a file of the plugin folder, such as \"rates.wasm\"");
    }
    let builds = section.read::<OneOrMore>("sha256").map(|builds| builds.0);
    let sha256: Vec<String> = builds.iter().flatten().map(|build| build.to_ascii_lowercase()).collect();
    let is_digest = |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if builds.is_some() && (sha256.is_empty() || !sha256.iter().all(is_digest)) {
        section.key_problem("sha256", "64 hexadecimal digits each, as `sha256sum FILE` and `coinslot inspect` show");
    }
    let prefix = section.read::<String>("prefix");
    if prefix.as_ref().is_some_and(|prefix| !prefix.starts_with('/')) {
        section.key_problem("prefix", format!("a path begins with a slash: write \"/{name}\""));
    }
    let (min_price, max_price) = (price(section, "min_price"), price(section, "max_price"));
    if let (Some(least), Some(most)) = (&min_price, &max_price)
        && least.is_above(most)
    {
        section.key_problem("min_price", format!("above max_price, which is {}: no price fits both", most.digits));
    }
    PluginPins { file, sha256, prefix, min_price, max_price }
}

fn price(section: &mut Section<'_, '_>, key: &'static str) -> Option<Decimal> {
    let text = section.read::<AmountText>(key)?.0;
    let price = Decimal::parse(&text).map_err(|problem| section.key_problem(key, problem)).ok()?;
    if price.digits.bytes().all(|digit| matches!(digit, b'0' | b'.')) {
        section.key_problem(key, "above zero; leave it out for no bound");
    }
    Some(price)
}

/// Origins, each a text, or a table that allows private addresses too.
fn http(section: &mut Section<'_, '_>) -> Vec<Allowed> {
    let mut allowed: Vec<Allowed> = Vec::new();
    let entries = section.field("http").map(Field::list).unwrap_or_default();
    for (index, entry) in entries.into_iter().enumerate() {
        let (text, private) = if entry.is_table() {
            let Some(mut table) = entry.section() else { continue };
            let origin = table.required("origin", "write { origin = \"http://billing.internal\", private = true }");
            (origin, table.read("private").unwrap_or(false))
        } else {
            (entry.read::<String>(), false)
        };
        let Some(text) = text else { continue };
        let key = format!("http[{index}]");
        match Origin::parse(&text) {
            Ok(origin) if allowed.iter().any(|other| other.origin == origin) => {
                section.key_problem(&key, format!("{origin} is named twice"));
            }
            Ok(origin) if private && origin.is_any() => {
                section.key_problem(&key, format!("{origin} is for public servers: name the private ones"));
            }
            Ok(origin) => allowed.push(Allowed { origin, private }),
            Err(problem) => section.key_problem(&key, problem),
        }
    }
    allowed
}

fn secret(mut section: Section<'_, '_>, http: &[Allowed], base: &Path) -> Option<SecretSource> {
    let origin = secret_origin(&mut section, http);
    let place = secret_place(&mut section);
    let prefix = section.read("prefix").unwrap_or_default();
    let value = match (section.read("value_env"), section.read::<String>("value_file")) {
        (Some(name), None) => Some(KeySource::Env(name)),
        (None, Some(file)) => Some(KeySource::File(base.join(file))),
        (None, None) | (Some(_), Some(_)) => {
            section.problem("name the secret's variable in value_env, or its file in value_file");
            None
        }
    };
    Some(SecretSource { origin: origin?, place: place?, prefix, value: value? })
}

/// One of the origins of `http`, exactly, and not one where the secret would be readable on its way.
fn secret_origin(section: &mut Section<'_, '_>, http: &[Allowed]) -> Option<Origin> {
    let text: String = section.required("origin", "name the origin that the secret is sent to")?;
    let origin = Origin::parse(&text).map_err(|problem| section.key_problem("origin", problem)).ok()?;
    let problem = match http.iter().find(|entry| entry.origin.covers(&origin)) {
        _ if !origin.is_exact() => "a secret belongs to one origin: write it without `*`".to_owned(),
        None => format!("the plugin's `http` does not allow {origin}"),
        Some(entry) if origin.is_plain() && !entry.is_inside() => {
            "a secret is not sent over http:// to the Internet: use https://".to_owned()
        }
        Some(_) => return Some(origin),
    };
    section.key_problem("origin", problem);
    None
}

/// Reads the header field or the parameter that carries a secret, of which exactly one is named.
fn secret_place(section: &mut Section<'_, '_>) -> Option<SecretPlace> {
    match (section.read::<String>("header"), section.read::<String>("query")) {
        (Some(header), None) => secret_header(section, header).map(SecretPlace::Header),
        (None, Some(name)) => {
            Secret::check_parameter(&name).map_err(|error| section.key_problem("query", error)).ok()?;
            Some(SecretPlace::Query(name))
        }
        (None, None) | (Some(_), Some(_)) => {
            section.problem("name the header field that carries the secret in header, or the parameter in query");
            None
        }
    }
}

fn secret_header(section: &mut Section<'_, '_>, text: String) -> Option<HeaderName> {
    let Ok(header) = HeaderName::try_from(&text) else {
        section.key_problem("header", format!("`{text}` is not the name of a header field"));
        return None;
    };
    let usable =
        if is_payment_header(header.as_str()) { Err(SecretError::Header) } else { Secret::check_header(&header) };
    usable.map_err(|error| section.key_problem("header", error)).ok()?;
    Some(header)
}

/// The pairs of `wasi:config`, sorted by key.
fn config(section: &mut Section<'_, '_>) -> Vec<(String, String)> {
    let fields = section.field("config").map(|field| field.named("KEY")).unwrap_or_default();
    let pairs = fields.into_iter().filter_map(|(key, field)| Some((key, field.read::<Scalar>()?.0)));
    let config: Vec<(String, String)> = pairs.collect();
    if config.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_CONFIG {
        section.key_problem("config", format!("more than {MAX_CONFIG} bytes"));
    }
    config
}

/// `true`, or a table with any of its bounds.
fn keyvalue(section: &mut Section<'_, '_>) -> Option<Quota> {
    let default = Quota::default();
    let field = section.field("keyvalue")?;
    if !field.is_table() {
        if !field.is_bool() {
            field.problem("write `keyvalue = true`, or a table with any of total_size, keys and value_size");
            return None;
        }
        return field.read::<bool>()?.then_some(default);
    }
    let mut table = field.section()?;
    let most = ByteSize(16 << 30);
    let bytes = table.within("total_size", KIB..=most, ByteSize(default.bytes)).0;
    let keys = table.within("keys", 1..=100_000_000, default.keys);
    // A guest hands over at most 8 MiB in one call.
    let value = table.within("value_size", KIB..=ByteSize(4 << 20), ByteSize::of(default.value)).bytes();
    Some(Quota { bytes, keys, value })
}

fn reuse(field: Field<'_, '_>) -> Option<Reuse> {
    let mut section = field.section()?;
    let total: Option<u64> = section.required("total", "how many requests an instance answers in its life");
    if total.is_some_and(|total| !(2..=1_000_000).contains(&total)) {
        section.key_problem("total", "from 2 to 1000000; leave `reuse` out for a fresh instance for each request");
    }
    let concurrent = section.within("concurrent", 1..=MAX_CONCURRENT, 1);
    if total.is_some_and(|total| concurrent > total) {
        section.key_problem("concurrent", "more than total, which is all that an instance ever answers");
    }
    Some(Reuse { total: u32::try_from(total?).ok()?, concurrent: u32::try_from(concurrent).ok()? })
}
