//! Makes the form of an endpoint's input out of its schema.

use coinslot_plugin::{EndpointInfo, Segment};
use http::Method;
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::field::{Control, Field, Part, plain, resolved};
use crate::example::ExampleRequest;
use crate::schema::essence;

/// The most fields of a form. A body with more of them is written as JSON.
const MAX_FIELDS: usize = 60;

const JSON: &str = "application/json";
const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// The form of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct InputForm {
    fields: Vec<Field>,
    body: BodyForm,
}

/// The body of the requests that the form makes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum BodyForm {
    None,
    /// The fields of the body, in this media type.
    Fields(String),
    /// One text or file, which is the body.
    Whole {
        media_type: String,
        is_file: bool,
    },
}

impl InputForm {
    /// The form, which begins with the values of a request that was made: its path parameters and its query.
    pub(super) fn of(info: &EndpointInfo, params: &[(String, String)], query: Option<&str>) -> Self {
        let empty = json!({});
        let root = info.input_schema.as_ref().unwrap_or(&empty);
        let schema = resolved(root, root);
        let part =
            |name: &str| schema.get("properties").and_then(|parts| parts.get(name)).map(|part| resolved(root, part));
        let mut fields = path_fields(info, root, part("path"));
        fields.extend(properties(root, Part::Query, part("query"), false));
        fields.truncate(MAX_FIELDS);
        let (body_fields, body) = body_form(info, root, part("body"));
        fields.extend(body_fields);
        let asked: Vec<(String, String)> =
            query.map(|query| form_urlencoded::parse(query.as_bytes()).into_owned().collect()).unwrap_or_default();
        for field in &mut fields {
            let given = match field.part {
                Part::Path => params,
                Part::Query => &asked,
                Part::Body => &[],
            };
            let values: Vec<&str> =
                given.iter().filter(|(name, _)| *name == field.name).map(|(_, value)| value.as_str()).collect();
            if !values.is_empty() && !matches!(field.control, Control::File { .. }) {
                field.value = values.join("\n");
            }
        }
        Self { fields, body }
    }

    /// The fields, one below the other.
    pub(super) fn markup(&self) -> Markup {
        html! { @for (index, field) in self.fields.iter().enumerate() { (markup(index, field)) } }
    }

    /// True if a browser sends the right request by itself, without the script.
    pub(super) fn is_native(&self, info: &EndpointInfo) -> bool {
        let has_path = self.fields.iter().any(|field| field.part == Part::Path);
        let is_sent = |field: &Field| match info.method {
            Method::GET => field.part == Part::Query && !matches!(field.control, Control::Lines { .. }),
            _ => false,
        };
        let bare_post = info.method == Method::POST && self.fields.is_empty() && self.body == BodyForm::None;
        !has_path && (bare_post || (info.method == Method::GET && self.fields.iter().all(is_sent)))
    }

    /// The media type of the body, and how it is made, for the script.
    pub(super) fn data(&self) -> Value {
        match &self.body {
            BodyForm::None => json!({ "kind": "none" }),
            BodyForm::Fields(media) => json!({ "kind": "fields", "mediaType": media }),
            BodyForm::Whole { media_type, .. } => json!({ "kind": "whole", "mediaType": media_type }),
        }
    }
}

fn path_fields(info: &EndpointInfo, root: &Value, schema: Option<&Value>) -> Vec<Field> {
    let properties = schema.and_then(|schema| schema.get("properties"));
    let names = info.path.segments().iter().filter_map(Segment::name);
    let any = json!({});
    let field = |name: &str| {
        let schema = properties.and_then(|properties| properties.get(name)).unwrap_or(&any);
        Field::of(root, Part::Path, name, schema, true, false)
    };
    names.map(field).collect()
}

/// The fields of the properties of an object.
fn properties(root: &Value, part: Part, schema: Option<&Value>, files: bool) -> Vec<Field> {
    let empty = Map::new();
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object).unwrap_or(&empty);
    let required: Vec<&str> = schema
        .and_then(|schema| schema.get("required"))
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let field = |(name, schema): (&String, &Value)| {
        Field::of(root, part, name, schema, required.contains(&name.as_str()), files)
    };
    let mut fields: Vec<Field> = properties.iter().take(MAX_FIELDS + 1).map(field).collect();
    // What must be given comes first.
    fields.sort_by_key(|field| !field.is_required);
    fields
}

fn body_form(info: &EndpointInfo, root: &Value, schema: Option<&Value>) -> (Vec<Field>, BodyForm) {
    let takes_body = matches!(info.method, Method::POST | Method::PUT | Method::PATCH);
    let Some(schema) = schema else {
        if !takes_body {
            return (Vec::new(), BodyForm::None);
        }
        let whole = |media_type: &str| BodyForm::Whole { media_type: media_type.to_owned(), is_file: false };
        return (vec![body_field(Control::Text { is_long: true, input: "text", most: None })], whole("text/plain"));
    };
    let declared = schema.get("contentMediaType").and_then(Value::as_str);
    let is_text = schema.get("type").and_then(Value::as_str) == Some("string");
    let media_type = match declared {
        Some(declared) => declared.to_owned(),
        None if is_text && schema.get("format").and_then(Value::as_str) == Some("binary") => {
            "application/octet-stream".to_owned()
        }
        None => JSON.to_owned(),
    };
    let kind = essence(&media_type).to_ascii_lowercase();
    let is_form = kind == URLENCODED || kind == MULTIPART;
    let has_files = schema.get("properties").and_then(Value::as_object).is_some_and(|properties| {
        let file = |property: &Value| {
            matches!(Field::of(root, Part::Body, "", property, false, true).control, Control::File { .. })
        };
        properties.values().any(file)
    });
    let fields = properties(root, Part::Body, Some(schema), is_form || (declared.is_none() && has_files));
    let is_json = kind == JSON || kind.ends_with("+json");
    let sent_as = match () {
        () if is_json && has_files && declared.is_none() && ExampleRequest::is_form(info) => MULTIPART.to_owned(),
        () => media_type.clone(),
    };
    let is_object = (is_json || is_form) && !fields.is_empty() && fields.len() <= MAX_FIELDS;
    if is_object
        && !schema.as_object().is_some_and(|schema| schema.contains_key("oneOf") || schema.contains_key("anyOf"))
    {
        return (fields, BodyForm::Fields(sent_as));
    }
    let is_file = !is_json && !kind.starts_with("text/");
    let control = match () {
        () if is_json => Control::Json,
        () if is_file => Control::File { are_several: false },
        () => Control::Text { is_long: true, input: "text", most: schema.get("maxLength").and_then(Value::as_u64) },
    };
    let mut field = body_field(control);
    field.is_required = true;
    let example = schema.get("examples").and_then(|list| list.get(0)).or_else(|| schema.get("default"));
    if let (Some(example), false) = (example, is_file) {
        field.value = if is_json { format!("{example:#}") } else { plain(example) };
    }
    (vec![field], BodyForm::Whole { media_type, is_file })
}

/// The field of a body that is one value. Its name is empty: a pointer to the body leads to it.
fn body_field(control: Control) -> Field {
    let label = match control {
        Control::Json => "Body (JSON)",
        _ => "Body",
    };
    Field {
        part: Part::Body,
        name: String::new(),
        label: label.to_owned(),
        hint: String::new(),
        is_required: false,
        control,
        value: String::new(),
    }
}

fn markup(index: usize, field: &Field) -> Markup {
    let (id, hint_id, error_id) = (format!("field-{index}"), format!("hint-{index}"), format!("error-{index}"));
    let has_hint = !field.hint.is_empty();
    let described = if has_hint { format!("{hint_id} {error_id}") } else { error_id.clone() };
    html! {
        div.field {
            label for=(id) { (field.label) @if !field.is_required { " " span.quiet { "(optional)" } } }
            (control(&id, &described, field))
            @if has_hint { p.hint id=(hint_id) { (field.hint) } }
            p.wrong id=(error_id) {}
        }
    }
}

/// The element of a field. `data-in`, `data-name` and `data-type` tell the script what its value becomes.
fn control(id: &str, described: &str, field: &Field) -> Markup {
    let (part, name, required, value) = (field.part.as_str(), field.name.as_str(), field.is_required, &field.value);
    // Without the script only a query is sent by the names of its fields.
    let native = (field.part == Part::Query).then_some(name);
    html! {
        @match &field.control {
            Control::Text { is_long: true, most, .. } => {
                textarea id=(id) name=[native] rows=(if required { "5" } else { "2" }) maxlength=[most.as_ref()] required[required]
                    aria-describedby=(described) data-in=(part) data-name=(name) data-type="text" { (value) }
            }
            Control::Text { input, most, .. } => {
                input id=(id) name=[native] type=(input) maxlength=[most.as_ref()] required[required] value=(value)
                    autocomplete="off" aria-describedby=(described) data-in=(part) data-name=(name) data-type="text";
            }
            Control::Number { least, most, is_whole } => {
                input id=(id) name=[native] type="number" min=[least.as_ref()] max=[most.as_ref()]
                    step=(if *is_whole { "1" } else { "any" }) required[required] value=(value)
                    aria-describedby=(described) data-in=(part) data-name=(name) data-type="number";
            }
            Control::Choice { values, are_numbers } => {
                select id=(id) name=[native] required[required] aria-describedby=(described)
                    data-in=(part) data-name=(name) data-type=(if *are_numbers { "number" } else { "text" }) {
                    @if !required || value.is_empty() { option value="" { "choose" } }
                    @for choice in values { option value=(choice) selected[choice == value] { (choice) } }
                }
            }
            Control::Flag => {
                select id=(id) name=[native] required[required] aria-describedby=(described)
                    data-in=(part) data-name=(name) data-type="flag" {
                    @if !required || value.is_empty() { option value="" { "choose" } }
                    @for choice in ["true", "false"] {
                        option value=(choice) selected[choice == value] {
                            (if choice == "true" { "yes" } else { "no" })
                        }
                    }
                }
            }
            Control::File { are_several } => {
                input id=(id) type="file" multiple[*are_several] required[required] aria-describedby=(described)
                    data-in=(part) data-name=(name) data-type="file";
            }
            Control::Lines { are_texts } => {
                textarea id=(id) rows="3" required[required] aria-describedby=(described) data-in=(part)
                    data-name=(name) data-type=(if *are_texts { "lines" } else { "values" }) { (value) }
                p.hint { "One value in each line." }
            }
            Control::Json => {
                textarea.code id=(id) rows=(if required { "5" } else { "2" }) spellcheck="false" required[required]
                    aria-describedby=(described) data-in=(part) data-name=(name) data-type="json" { (value) }
                p.hint { "A value of JSON: a text stands in quotation marks." }
            }
        }
    }
}
