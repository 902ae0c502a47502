//! Declares an endpoint to facilitators that list what is sold: the extension `bazaar` of version 2, and
//! `outputSchema` of version 1.
//!
//! A facilitator reads the declaration in the payment that a client makes of a challenge. The challenge has little room,
//! so the declaration comes in several forms, each shorter than the one before it.

use serde_json::{Map, Value};

use crate::Object;

/// The key among a challenge's extensions.
pub const KEY: &str = "bazaar";

/// The bytes of `,"bazaar":` before the extension.
const KEY_BYTES: usize = r#","bazaar":"#.len();

/// The declaration of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bazaar {
    forms: Vec<BazaarForm>,
    /// `outputSchema` of version 1.
    output_schema: Option<Object>,
}

/// The extension, and its length as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BazaarForm {
    extension: Value,
    bytes: usize,
}

impl Bazaar {
    /// A declaration of these forms of the extension, the whole one first. The last one says nothing of what goes in and
    /// comes out.
    pub fn new(forms: Vec<Value>, output_schema: Option<Object>) -> Self {
        let form = |extension: Value| BazaarForm { bytes: json_bytes(&extension), extension };
        Self { forms: forms.into_iter().map(form).collect(), output_schema }
    }

    /// `outputSchema` of version 1.
    pub fn output_schema(&self) -> Option<&Object> {
        self.output_schema.as_ref()
    }

    /// The first form that has at most so many bytes, for a request with these path parameters.
    pub fn within(&self, most: usize, params: &[(String, String)]) -> Option<Value> {
        fitting(&self.forms, most, params)
    }

    /// The first form that fits into so many bytes, of those that say what goes in.
    pub(crate) fn detailed(&self, room: usize, params: &[(String, String)]) -> Option<Value> {
        let (_, detailed) = self.forms.split_last()?;
        fitting(detailed, room, params)
    }

    /// The last form, if it fits into so many bytes.
    pub(crate) fn least(&self, room: usize, params: &[(String, String)]) -> Option<Value> {
        fitting(self.forms.last().map_or(&[], std::slice::from_ref), room, params)
    }
}

impl BazaarForm {
    fn with(&self, params: &[(String, String)]) -> Value {
        let mut extension = self.extension.clone();
        if !params.is_empty()
            && let Some(input) = extension.pointer_mut("/info/input").and_then(Value::as_object_mut)
        {
            input.insert("pathParams".to_owned(), object(params).into());
        }
        extension
    }
}

fn fitting(forms: &[BazaarForm], room: usize, params: &[(String, String)]) -> Option<Value> {
    let own = if params.is_empty() { 0 } else { r#","pathParams":"#.len() + json_bytes(&object(params).into()) };
    let found = forms.iter().find(|form| form.bytes + own + KEY_BYTES <= room)?;
    Some(found.with(params))
}

fn object(params: &[(String, String)]) -> Map<String, Value> {
    params.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

/// The length of a value as JSON.
pub(crate) fn json_bytes(value: &Value) -> usize {
    value.to_string().len()
}
