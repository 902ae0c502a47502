//! Reads the texts of paths, queries and forms as values of the types that a schema declares.
//!
//! A URL has no numbers: `limit=5` is a text. A schema that declares an integer means the number, so a text is
//! converted if it is one in the declared type, and stays a text otherwise, which the schema then refuses. Nothing is
//! guessed: no default is filled in, and a name that the schema does not know stays a text.
//!
//! Where a schema allows several types, a text may have several readings: `12` under a union of strings and integers.
//! Types alone do not say which fits, because a branch may have a pattern or list its values. So the text stays a text
//! first, and [`Coerced::reread`] takes the next reading of a field that does not fit.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Number, Value};

use super::document::escaped;
use super::form::FormField;
use super::types::{FieldTypes, TextTypes};

/// A value that was made of texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Coerced {
    pub(super) value: Value,
    others: Vec<OtherReadings>,
}

/// The further readings of a text.
#[derive(Clone, Debug)]
struct OtherReadings {
    /// A JSON pointer to the text in its value.
    pointer: String,
    /// The next reading is the last.
    values: Vec<Value>,
}

/// The name of a described field that is not percent-encoded UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotEncoded(pub(super) String);

impl Coerced {
    /// A value that has no other reading.
    pub(super) fn only(value: Value) -> Self {
        Self { value, others: Vec::new() }
    }

    /// Puts a reading into this one, which is an object.
    pub(super) fn insert(&mut self, name: &str, part: Self) {
        self.value[name] = part.value;
        let others = part.others.into_iter();
        self.others.extend(others.map(|other| OtherReadings { pointer: format!("/{name}{}", other.pointer), ..other }));
    }

    /// True if a text at or below this place has another reading.
    pub(super) fn has_others_below(&self, place: &str) -> bool {
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with('/');
        self.others.iter().any(|other| other.pointer.strip_prefix(place).is_some_and(is_below))
    }

    /// Takes the next reading of each text at, below or above one of these places. False if there is none.
    pub(super) fn reread(&mut self, places: &[String]) -> bool {
        // There may be thousands of both.
        let at: HashSet<&str> = places.iter().map(String::as_str).collect();
        let above: HashSet<&str> = places.iter().flat_map(|place| self_and_above(place)).collect();
        let mut has_changed = false;
        for OtherReadings { pointer, values } in &mut self.others {
            let is_meant = above.contains(pointer.as_str()) || self_and_above(pointer).any(|place| at.contains(place));
            if !is_meant {
                continue;
            }
            if let (Some(value), Some(next)) = (self.value.pointer_mut(pointer), values.pop()) {
                *value = next;
                has_changed = true;
            }
        }
        self.others.retain(|other| !other.values.is_empty());
        has_changed
    }
}

/// A JSON pointer, and the pointers to what its value is in.
fn self_and_above(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |pointer| Some(pointer.rsplit_once('/')?.0))
}

impl FieldTypes {
    /// The object that fields stand for. A name that occurs several times has an array. Fails on a field that cannot be
    /// decoded and that the schema describes: what the schema does not look at is not refused.
    pub(super) fn object(&self, fields: Vec<FormField>) -> Result<Coerced, NotEncoded> {
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for FormField { name, text, is_encoded } in fields {
            if !is_encoded && self.describes(&name) {
                return Err(NotEncoded(name));
            }
            texts.entry(name).or_default().push(text);
        }
        let mut reading = Coerced { value: Map::new().into(), others: Vec::new() };
        for (name, texts) in texts {
            let types = self.of(&name);
            let value = reading.read(format!("/{}", escaped(&name)), types, texts);
            reading.value[name.as_str()] = value;
        }
        Ok(reading)
    }
}

impl Coerced {
    /// The first reading of the texts of one name. Notes the others.
    fn read(&mut self, pointer: String, types: &TextTypes, mut texts: Vec<String>) -> Value {
        let (none, is_scalar) = (TextTypes::default(), types.integer || types.number || types.boolean || types.string);
        let items = types.items.as_deref().unwrap_or(&none);
        if texts.len() > 1 || (types.array && !is_scalar) {
            // A name that occurs twice where one value is wanted is an array, too, which the schema refuses.
            let read = |(index, text)| self.first(format!("{pointer}/{index}"), items.readings(text));
            return Value::Array(texts.into_iter().enumerate().map(read).collect());
        }
        let text = texts.pop().unwrap_or_default();
        let lists = if types.array { items.readings(text.clone()) } else { Vec::new() };
        let mut readings = types.readings(text);
        readings.extend(lists.into_iter().map(|item| Value::Array(vec![item])));
        self.first(pointer, readings)
    }

    /// The first of some readings. Notes the others.
    fn first(&mut self, pointer: String, mut readings: Vec<Value>) -> Value {
        readings.reverse();
        let first = readings.pop().unwrap_or_default();
        if !readings.is_empty() {
            self.others.push(OtherReadings { pointer, values: readings });
        }
        first
    }
}

impl TextTypes {
    /// The readings of a text in these types, in the order of preference. There is at least one.
    fn readings(&self, text: String) -> Vec<Value> {
        let number = (self.integer || self.number).then(|| self.number(&text)).flatten().map(Value::Number);
        let boolean = self.boolean.then(|| text.parse().ok().map(Value::Bool)).flatten();
        let other = number.or(boolean);
        let is_text = self.string || other.is_none();
        is_text.then_some(Value::String(text)).into_iter().chain(other).collect()
    }

    /// A text as a number: a whole one where no fraction is allowed.
    fn number(&self, text: &str) -> Option<Number> {
        let signed = || text.parse::<i64>().map(Number::from);
        if let Ok(whole) = text.parse::<u64>().map(Number::from).or_else(|_| signed()) {
            return Some(whole);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let begins_as_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        // `inf` and `NaN` are numbers for Rust, and not for JSON.
        let may_be = is_whole || (self.number && begins_as_number);
        may_be.then(|| text.parse().ok().and_then(Number::from_f64)).flatten()
    }
}
