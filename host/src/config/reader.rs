//! Reads a TOML document key by key, and reports every problem with the path of its key.
//!
//! Each table is a [`Section`]. The parser takes the keys that it knows out of it; what is left when the section is
//! dropped is a problem: an old key by its new name, any other key as unknown. So the keys that a message or a test
//! lists are the keys that the parser asked for, and no second list can disagree with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use toml::de::{DeTable, DeValue};

use super::values::{FromToml, Ranged, found};
use super::{renamed, unknown_key};

/// The problems of one document, and the keys that its parser asked for.
#[derive(Debug, Default)]
pub(super) struct Reader {
    problems: RefCell<Vec<String>>,
    /// By the kind of their table, such as `plugin.NAME.limits`.
    known: RefCell<BTreeMap<String, Vec<&'static str>>>,
}

/// One table while it is read.
pub(super) struct Section<'r, 'i> {
    reader: &'r Reader,
    /// `plugin.echo.limits`; empty for the document itself.
    path: String,
    /// The path without names and numbers: `plugin.NAME.limits`.
    kind: String,
    fields: BTreeMap<String, DeValue<'i>>,
    /// The reason why each key is refused, while keys are read that do not belong here.
    refusing: Option<&'static str>,
}

/// One value, and where it stands.
pub(super) struct Field<'r, 'i> {
    reader: &'r Reader,
    path: String,
    kind: String,
    value: DeValue<'i>,
}

impl Reader {
    /// The document's own table. Fails with the parser's message, which shows the line.
    pub(super) fn document<'r, 'i>(&'r self, text: &'i str) -> Result<Section<'r, 'i>, String> {
        let table = DeTable::parse(text).map_err(|error| error.to_string())?.into_inner();
        Ok(Section::new(self, String::new(), String::new(), table))
    }

    /// All problems, in the order in which they were found.
    pub(super) fn into_problems(self) -> Vec<String> {
        self.problems.into_inner()
    }

    /// The keys that the parser asked for, such as `accept[].network` and `plugin.NAME.limits.memory`.
    #[cfg(test)]
    pub(super) fn known(&self) -> std::collections::BTreeSet<String> {
        let known = self.known.borrow();
        known.iter().flat_map(|(kind, keys)| keys.iter().map(|key| below(kind, key))).collect()
    }

    pub(super) fn problem(&self, path: &str, text: impl Display) {
        self.problems.borrow_mut().push(format!("{path}: {text}"));
    }
}

/// The path of a key in a table.
fn below(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

impl<'r, 'i> Section<'r, 'i> {
    fn new(reader: &'r Reader, path: String, kind: String, table: DeTable<'i>) -> Self {
        let fields = table.into_iter().map(|(key, value)| (key.into_inner().into_owned(), value.into_inner()));
        Self { reader, path, kind, fields: fields.collect(), refusing: None }
    }

    /// Reports a problem with this table.
    pub(super) fn problem(&self, text: impl Display) {
        self.reader.problem(&self.path, text);
    }

    /// Reports a problem with a key of this table, which may have an index: `http[1]`.
    pub(super) fn key_problem(&self, key: &str, text: impl Display) {
        self.reader.problem(&below(&self.path, key), text);
    }

    /// True if a key is there and not taken yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// Takes a key, if it is there.
    pub(super) fn field(&mut self, key: &'static str) -> Option<Field<'r, 'i>> {
        // Every key that the parser asks for is known, whether the file has it or not.
        {
            let mut known = self.reader.known.borrow_mut();
            let keys = known.entry(self.kind.clone()).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let value = self.fields.remove(key)?;
        if let Some(reason) = self.refusing {
            self.key_problem(key, reason);
            return None;
        }
        Some(Field { reader: self.reader, path: below(&self.path, key), kind: below(&self.kind, key), value })
    }

    /// Takes and reads a key; none if it is missing or wrong.
    pub(super) fn read<T: FromToml>(&mut self, key: &'static str) -> Option<T> {
        self.field(key)?.read()
    }

    /// Takes and reads a key that must be there.
    pub(super) fn required<T: FromToml>(&mut self, key: &'static str, advice: &str) -> Option<T> {
        match self.field(key) {
            Some(field) => field.read(),
            None => {
                self.key_problem(key, format!("is missing: {advice}"));
                None
            }
        }
    }

    /// Takes a number, a duration or a size; `default` if it is missing or outside of the range.
    pub(super) fn within<T: Ranged>(&mut self, key: &'static str, range: RangeInclusive<T>, default: T) -> T {
        self.optional_within(key, range).unwrap_or(default)
    }

    /// Takes a number, a duration or a size; none if it is missing or outside of the range.
    pub(super) fn optional_within<T: Ranged>(&mut self, key: &'static str, range: RangeInclusive<T>) -> Option<T> {
        let value = self.read(key)?;
        if range.contains(&value) {
            return Some(value);
        }
        let (least, most) = (range.start().shown(), range.end().shown());
        self.key_problem(key, format!("from {least} to {most}, and not {}", value.shown()));
        None
    }

    /// Takes a number, a duration or a size that has no upper bound; `default` if it is missing or too small.
    pub(super) fn at_least<T: Ranged>(&mut self, key: &'static str, least: T, default: T) -> T {
        match self.read(key) {
            Some(value) if value >= least => value,
            Some(_) => {
                self.key_problem(key, format!("at least {}", least.shown()));
                default
            }
            None => default,
        }
    }

    /// Refuses every key that `read` would take, for this reason.
    pub(super) fn refusing<T>(&mut self, reason: &'static str, read: impl FnOnce(&mut Self) -> T) {
        self.refusing = Some(reason);
        read(self);
        self.refusing = None;
    }

    /// Takes a table; one without keys if it is missing.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'r, 'i> {
        let (path, kind) = (below(&self.path, key), below(&self.kind, key));
        let table = self.optional_section(key);
        table.unwrap_or_else(|| Section::new(self.reader, path, kind, DeTable::new()))
    }

    /// Takes a table, if it is there.
    pub(super) fn optional_section(&mut self, key: &'static str) -> Option<Section<'r, 'i>> {
        self.field(key)?.section()
    }

    /// Takes a table of tables with names of the operator's choice: `[plugin.NAME]`.
    pub(super) fn named_sections(&mut self, key: &'static str) -> Vec<(String, Section<'r, 'i>)> {
        let fields = self.field(key).map(|field| field.named("NAME")).unwrap_or_default();
        let sections = fields.into_iter().filter_map(|(name, field)| match field.is_table() {
            true => Some((name, field.section()?)),
            false => {
                field.problem(format!("{} is not a table: write [{key}.NAME] above the keys", found(&field.value)));
                None
            }
        });
        sections.collect()
    }

    /// Takes a list of tables: `[[accept]]`.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'r, 'i>> {
        let Some(field) = self.field(key) else { return Vec::new() };
        if field.is_table() {
            field.problem(format!("a table is not a list: write [[{}]]", field.path));
            return Vec::new();
        }
        field.list().into_iter().filter_map(Field::section).collect()
    }

    /// Takes everything that is left, so that none of it is a problem.
    pub(super) fn ignore_the_rest(&mut self) {
        self.fields.clear();
    }
}

impl Drop for Section<'_, '_> {
    /// Reports the keys that were not taken.
    fn drop(&mut self) {
        for (key, value) in &self.fields {
            if let Some(text) = renamed::advice(&self.kind, key, value) {
                self.key_problem(key, text);
                continue;
            }
            self.key_problem(key, unknown_key::advice(&self.reader.known.borrow(), &self.kind, key));
        }
    }
}

impl<'r, 'i> Field<'r, 'i> {
    /// Reports a problem with this value.
    pub(super) fn problem(&self, text: impl Display) {
        self.reader.problem(&self.path, text);
    }

    /// Reads the value; none if it is wrong, which is reported.
    pub(super) fn read<T: FromToml>(self) -> Option<T> {
        T::from_toml(&self.value).map_err(|text| self.problem(text)).ok()
    }

    /// True if the value is a table.
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// True if the value is true or false.
    pub(super) fn is_bool(&self) -> bool {
        self.value.is_bool()
    }

    /// The value as a table.
    pub(super) fn section(self) -> Option<Section<'r, 'i>> {
        match self.value {
            DeValue::Table(table) => Some(Section::new(self.reader, self.path, self.kind, table)),
            ref other => {
                self.problem(format!("{} is not a table", found(other)));
                None
            }
        }
    }

    /// The entries of a list, each with its index.
    pub(super) fn list(self) -> Vec<Self> {
        let DeValue::Array(array) = self.value else {
            self.problem(format!("{} is not a list", found(&self.value)));
            return Vec::new();
        };
        let entries = array.into_iter().enumerate().map(|(index, value)| Self {
            reader: self.reader,
            path: format!("{}[{index}]", self.path),
            kind: format!("{}[]", self.kind),
            value: value.into_inner(),
        });
        entries.collect()
    }

    /// The entries of a table whose keys are names of the operator's choice; `stands_for` is the word for such a
    /// name in the lists of keys.
    pub(super) fn named(self, stands_for: &'static str) -> Vec<(String, Self)> {
        let DeValue::Table(table) = self.value else {
            self.problem(format!("{} is not a table", found(&self.value)));
            return Vec::new();
        };
        let kind = below(&self.kind, stands_for);
        let entries = table.into_iter().map(|(name, value)| {
            let name = name.into_inner().into_owned();
            let is_bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            let path = if is_bare { below(&self.path, &name) } else { below(&self.path, &format!("{name:?}")) };
            (name, Self { reader: self.reader, path, kind: kind.clone(), value: value.into_inner() })
        });
        entries.collect()
    }
}
