//! Lists every setting of a configuration: its value, its default, and when a change of it takes effect.
//!
//! Every struct is destructured without `..`: a new setting does not compile until it is listed here. The same list is
//! what operators are shown, what the audit log compares, and what says that a change waits for a restart. Values are
//! written as the file takes them. A secret is not among them: the file only names where it is. Paths and queries of
//! URLs and values of `[plugin.NAME.config]` may be secrets against all advice, and are not shown either.

mod changes;
mod of_host;
mod of_payments;
mod of_plugins;
mod written;

use std::borrow::Cow;
use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use self::written::Written;
use super::types::Config;

pub use self::changes::{SettingChange, SettingInForce, changes, in_force, needs_restart};
pub(super) use self::written::public_part;

/// The word in the place of a value that is set and not shown.
const HIDDEN: &str = "set";

/// The most entries of a list that are shown.
const SHOWN_ENTRIES: usize = 8;

/// The moment at which a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesEffect {
    /// As soon as the file is read again.
    Reload,
    Restart,
}

/// One setting of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its table: `server`, `plugin.echo.limits`, `accept[eip155:8453/USDC]`; empty for the top of the file.
    pub table: String,
    /// Its key. Empty for the table itself, where its presence is what counts.
    pub key: Cow<'static, str>,
    /// None: it is not set, and has no default.
    pub value: Option<Value>,
    /// The value in force where it is not set. None: there is no default.
    pub default: Option<Value>,
    /// Of a value that is not shown: tells it from others.
    digest: Option<[u8; 32]>,
    rule: Rule,
}

/// The value of a setting, as the file takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    One(String),
    /// The entries of a list.
    List(Vec<String>),
}

/// The moments at which changes of the settings of a table take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    changed: TakesEffect,
    /// The table is new.
    added: TakesEffect,
    /// The table is gone.
    removed: TakesEffect,
}

impl Rule {
    const fn all(when: TakesEffect) -> Self {
        Self { changed: when, added: when, removed: when }
    }
}

impl Value {
    /// The value in one line, with the first entries of a long list.
    pub fn shown(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::List(entries) if entries.is_empty() => "none".to_owned(),
            Self::List(entries) if entries.len() <= SHOWN_ENTRIES => entries.join(", "),
            Self::List(entries) => {
                let more = entries.len() - SHOWN_ENTRIES;
                format!("{} and {more} more", entries[..SHOWN_ENTRIES].join(", "))
            }
        }
    }

    /// The value as it is shown beside another one: of a long list its length, and the entries that the other one lacks.
    fn shown_beside(&self, other: Option<&Self>) -> String {
        let Self::List(entries) = self else { return self.shown() };
        if entries.len() <= SHOWN_ENTRIES {
            return self.shown();
        }
        let others: BTreeSet<&String> = match other {
            Some(Self::List(others)) => others.iter().collect(),
            Some(Self::One(_)) | None => BTreeSet::new(),
        };
        let own: Vec<&str> = entries.iter().filter(|entry| !others.contains(entry)).map(String::as_str).collect();
        let count = format!("{} entries", entries.len());
        if own.is_empty() { count } else { format!("{count}, among them {}", own.join(", ")) }
    }
}

impl Setting {
    /// The key with its table, as messages name it: `server.keep_alive`, `listen`, `[admin]`.
    pub fn path(&self) -> String {
        match (&*self.table, &*self.key) {
            (table, "") => format!("[{table}]"),
            ("", key) => key.to_owned(),
            (table, key) => format!("{table}.{key}"),
        }
    }

    /// The table that it is shown below: `admin` for `admin.tls` too, `plugin.echo` for all of one plugin, and each entry
    /// of a list by itself, as in `accept[eip155:8453/USDC]`.
    pub fn section(&self) -> &str {
        let end = |text: &str| text.find('.').unwrap_or(text.len());
        match self.table.split_once('.') {
            Some((top @ ("plugin" | "facilitator"), name)) => &self.table[..top.len() + 1 + end(name)],
            // An entry of a list has no tables of its own, and dots in its name.
            _ if self.table.contains('[') => &self.table,
            _ => &self.table[..end(&self.table)],
        }
    }

    pub fn is_default(&self) -> bool {
        self.value.is_none() || self.value == self.default
    }

    /// The moment at which a change of its value takes effect.
    pub fn takes_effect(&self) -> TakesEffect {
        self.rule.changed
    }

    fn differs(&self, other: &Self) -> bool {
        (&self.value, &self.digest) != (&other.value, &other.digest)
    }
}

/// The settings of one table, while they are listed.
struct Table<'l> {
    list: &'l mut Vec<Setting>,
    path: String,
    rule: Rule,
}

impl<'l> Table<'l> {
    fn new(list: &'l mut Vec<Setting>, path: impl Into<String>, when: TakesEffect) -> Self {
        Self { list, path: path.into(), rule: Rule::all(when) }
    }

    /// The same table, whose changes take effect at another moment.
    fn at(&mut self, when: TakesEffect) -> Table<'_> {
        Table { list: self.list, path: self.path.clone(), rule: Rule { changed: when, ..self.rule } }
    }

    fn push(&mut self, key: impl Into<Cow<'static, str>>, value: Option<Value>, default: Option<Value>) {
        let (table, key) = (self.path.clone(), key.into());
        self.list.push(Setting { table, key, value, default, digest: None, rule: self.rule });
    }

    /// A setting that has a default.
    fn put(&mut self, key: &'static str, value: &(impl Written + ?Sized), default: &(impl Written + ?Sized)) {
        self.push(key, value.written(), default.written());
    }

    /// A setting without a default, which is set or not.
    fn set(&mut self, key: &'static str, value: &(impl Written + ?Sized)) {
        self.push(key, value.written(), None);
    }

    /// A setting that may be missing, and what is in force then.
    fn or(&mut self, key: &'static str, value: &(impl Written + ?Sized), missing: &str) {
        let missing = Some(Value::One(missing.to_owned()));
        self.push(key, value.written().or_else(|| missing.clone()), missing);
    }

    /// A setting whose value is not shown.
    fn hidden(&mut self, key: String, value: &str) {
        self.push(key, Some(Value::One(HIDDEN.to_owned())), None);
        if let Some(setting) = self.list.last_mut() {
            setting.digest = Some(Sha256::digest(value).into());
        }
    }
}

/// Every setting of a configuration, in the order of the file that the documentation shows. `started` is the
/// configuration that the host was built with: assets that it does not name are not taken yet.
pub fn settings(config: &Config, started: &Config) -> Vec<Setting> {
    let Config {
        base,
        server,
        plugins,
        payment,
        state,
        admin,
        webhooks,
        allowances,
        refunds,
        log,
        telemetry,
        discover,
    } = config;
    let mut list = Vec::new();
    of_host::server(&mut list, server);
    of_host::folders(&mut list, base, plugins, state);
    of_payments::terms(&mut list, payment, &started.payment);
    of_plugins::limits(&mut list, plugins);
    of_plugins::each(&mut list, plugins);
    of_payments::facilitators(&mut list, payment);
    of_payments::rates_and_receipts(&mut list, payment);
    of_host::records(&mut list, state);
    of_host::admin(&mut list, admin.as_ref());
    of_payments::allowances(&mut list, allowances);
    of_payments::refunds(&mut list, refunds.as_ref());
    of_host::webhooks(&mut list, webhooks);
    of_host::log(&mut list, log.as_deref());
    of_host::telemetry(&mut list, telemetry.as_ref());
    of_host::discover(&mut list, discover);
    list
}

#[cfg(test)]
mod tests;
