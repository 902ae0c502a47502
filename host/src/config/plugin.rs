//! `[plugin.NAME]`: what is said of one plugin, by the name in its manifest.
//!
//! Nothing here reads a secret: it is named, and looked up when a host is put together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::HeaderName;
use serde::Deserialize;

use super::KeySource;
use super::limits::{self, RawHealth, RawLimits};
use coinslot_plugin::{Allowed, Limits, Origin, Quota, Reuse, Secret};

/// What the operator says of one plugin.
#[derive(Clone, Debug, Default)]
pub struct PluginConfig {
    /// Where its requests may go.
    pub http: Vec<Allowed>,
    /// What is added to some of them.
    pub secrets: Vec<SecretSource>,
    /// What `wasi:config` tells it.
    pub config: Vec<(String, String)>,
    /// How much `wasi:keyvalue` keeps for it, if anything.
    pub keyvalue: Option<Quota>,
    /// Its own bounds, if anything is said of them.
    pub limits: Option<Limits>,
}

/// A header field that is added to requests to one origin, and where its value comes from.
#[derive(Clone, Debug)]
pub struct SecretSource {
    pub origin: Origin,
    pub header: HeaderName,
    /// Stands before the value, for example `Bearer `.
    pub prefix: String,
    pub value: KeySource,
}

/// Keys and values of `wasi:config` together, in bytes.
const MAX_CONFIG: usize = 64 << 10;

/// Requests at once in one instance: they share one processor, and fail together.
const MAX_CONCURRENT: u32 = 1_000;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlugin {
    #[serde(default)]
    http: Vec<RawAllowed>,
    #[serde(default)]
    secrets: Vec<RawSecret>,
    #[serde(default)]
    config: BTreeMap<String, Scalar>,
    keyvalue: Option<RawKeyValue>,
    limits: Option<RawLimits>,
    health: Option<RawHealth>,
    reuse: Option<RawReuse>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReuse {
    total: u32,
    #[serde(default = "one")]
    concurrent: u32,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "an origin such as \"https://api.example.com\", or { origin = \"http://billing.internal\", private = true }"
)]
enum RawAllowed {
    Origin(String),
    Table(RawOrigin),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOrigin {
    origin: String,
    #[serde(default)]
    private: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSecret {
    origin: String,
    header: String,
    #[serde(default)]
    prefix: String,
    value_env: Option<String>,
    value_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, a whole number, or true or false")]
enum Scalar {
    Text(String),
    Number(i64),
    Flag(bool),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "true, or a table with any of total_kib, keys and value_kib")]
enum RawKeyValue {
    Flag(bool),
    Table(RawQuota),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuota {
    total_kib: Option<u64>,
    keys: Option<u64>,
    value_kib: Option<u64>,
}

/// Reads all tables, each problem with its key. What is not said of a plugin's bounds is as for `all`.
pub(super) fn read(
    raw: BTreeMap<String, RawPlugin>,
    base: &Path,
    all: &Limits,
    problems: &mut Vec<String>,
) -> BTreeMap<String, PluginConfig> {
    let mut plugins = BTreeMap::new();
    for (name, table) in raw {
        let mut found = Vec::new();
        if !coinslot_plugin::is_name(&name) {
            found.push(": not a plugin's name: lower-case letters, digits and hyphens, at most 64".to_owned());
        }
        plugins.insert(name.clone(), plugin(table, base, all, &mut found));
        problems.extend(found.into_iter().map(|problem| format!("plugin.{name}{problem}")));
    }
    plugins
}

fn plugin(raw: RawPlugin, base: &Path, all: &Limits, problems: &mut Vec<String>) -> PluginConfig {
    let limits = bounds(&raw, all, problems);
    let mut http: Vec<Allowed> = Vec::new();
    for (index, entry) in raw.http.into_iter().enumerate() {
        let (text, private) = match entry {
            RawAllowed::Origin(text) => (text, false),
            RawAllowed::Table(table) => (table.origin, table.private),
        };
        match Origin::parse(&text) {
            Ok(origin) if http.iter().any(|other| other.origin == origin) => {
                problems.push(format!(".http[{index}]: {origin} is named twice"));
            }
            Ok(origin) => http.push(Allowed { origin, private }),
            Err(problem) => problems.push(format!(".http[{index}]: {problem}")),
        }
    }
    let mut secrets = Vec::new();
    for (index, entry) in raw.secrets.into_iter().enumerate() {
        match secret(entry, &http, base) {
            Ok(secret) => secrets.push(secret),
            Err(list) => problems.extend(list.into_iter().map(|problem| format!(".secrets[{index}]{problem}"))),
        }
    }
    let config: Vec<(String, String)> = raw
        .config
        .into_iter()
        .map(|(key, value)| match value {
            Scalar::Text(text) => (key, text),
            Scalar::Number(number) => (key, number.to_string()),
            Scalar::Flag(flag) => (key, flag.to_string()),
        })
        .collect();
    if config.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MAX_CONFIG {
        problems.push(format!(".config: more than {MAX_CONFIG} bytes"));
    }
    let keyvalue = match raw.keyvalue {
        None | Some(RawKeyValue::Flag(false)) => None,
        Some(RawKeyValue::Flag(true)) => Some(Quota::default()),
        Some(RawKeyValue::Table(raw)) => Some(quota(&raw, problems)),
    };
    PluginConfig { http, secrets, config, keyvalue, limits }
}

fn secret(raw: RawSecret, http: &[Allowed], base: &Path) -> Result<SecretSource, Vec<String>> {
    let mut problems = Vec::new();
    let origin = Origin::parse(&raw.origin).map_err(|problem| problems.push(format!(".origin: {problem}"))).ok();
    if let Some(origin) = &origin {
        match http.iter().find(|entry| entry.origin.covers(origin)) {
            _ if !origin.is_exact() => {
                problems.push(".origin: a secret belongs to one origin: write it without `*`".to_owned());
            }
            None => problems.push(format!(".origin: the plugin's `http` does not allow {origin}")),
            // What another plugin's neighbour on the way could read is no secret.
            Some(entry) if origin.is_plain() && !entry.is_inside() => {
                problems.push(".origin: a secret is not sent over http:// to the Internet: use https://".to_owned());
            }
            Some(_) => {}
        }
    }
    let header = match HeaderName::try_from(&raw.header) {
        Ok(header) => match Secret::check_header(&header) {
            Ok(()) => Some(header),
            Err(error) => {
                problems.push(format!(".header: {error}"));
                None
            }
        },
        Err(_) => {
            problems.push(format!(".header: `{}` is not the name of a header field", raw.header));
            None
        }
    };
    let value = match (raw.value_env, raw.value_file) {
        (Some(name), None) => Some(KeySource::Env(name)),
        (None, Some(file)) => Some(KeySource::File(base.join(file))),
        (None, None) | (Some(_), Some(_)) => {
            problems.push(": name the secret's variable in value_env, or its file in value_file".to_owned());
            None
        }
    };
    match (origin, header, value) {
        (Some(origin), Some(header), Some(value)) if problems.is_empty() => {
            Ok(SecretSource { origin, header, prefix: raw.prefix, value })
        }
        _ => Err(problems),
    }
}

fn quota(raw: &RawQuota, problems: &mut Vec<String>) -> Quota {
    let default = Quota::default();
    let mut number = |key: &str, value: Option<u64>, most: u64, default: u64| match value {
        Some(value) if !(1..=most).contains(&value) => {
            problems.push(format!(".keyvalue.{key}: from 1 to {most}"));
            default
        }
        Some(value) => value,
        None => default,
    };
    let bytes = number("total_kib", raw.total_kib, 16 << 20, default.bytes >> 10) << 10;
    let keys = number("keys", raw.keys, 100_000_000, default.keys);
    // What a guest hands over in one call is at most 8 MiB.
    let value = number("value_kib", raw.value_kib, 4 << 10, (default.value >> 10) as u64) << 10;
    Quota { bytes, keys, value: usize::try_from(value).unwrap_or(default.value) }
}

/// Its own limits, if the table has any.
fn bounds(table: &RawPlugin, all: &Limits, problems: &mut Vec<String>) -> Option<Limits> {
    let mut own = all.clone();
    if let Some(raw) = &table.limits {
        own = limits::read(".limits", raw, all, problems);
        own.instances = limits::instances(".limits.instances", raw.instances, all.instances, problems);
        if raw.instances_per_plugin.is_some() {
            problems.push(".limits.instances_per_plugin: here it is `instances`".to_owned());
        }
    }
    if let Some(raw) = &table.health {
        own.patience = limits::health(".health", raw, all.patience, problems);
    }
    if let Some(raw) = &table.reuse {
        if !(2..=1_000_000).contains(&raw.total) {
            problems.push(
                ".reuse.total: from 2 to 1000000; leave `reuse` out for a fresh instance for each request".to_owned(),
            );
        }
        if !(1..=MAX_CONCURRENT).contains(&raw.concurrent) {
            problems.push(format!(".reuse.concurrent: from 1 to {MAX_CONCURRENT}"));
        } else if raw.concurrent > raw.total {
            problems.push(".reuse.concurrent: more than total, which is all that an instance ever answers".to_owned());
        }
        own.reuse = Some(Reuse { total: raw.total, concurrent: raw.concurrent });
    }
    (own != *all).then_some(own)
}
