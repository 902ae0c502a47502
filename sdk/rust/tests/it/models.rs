#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use coinslot_sdk::testing::{self, TestRequest};
use coinslot_sdk::{Json, Query, Value, endpoint, json, model};

/// What to print.
#[model]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order<'a> {
    /// The number of copies.
    #[schemars(range(min = 1, max = 9))]
    copy_count: u8,
    #[serde(default)]
    paper: Paper,
    pages: Vec<Page<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<std::borrow::Cow<'a, str>>,
    #[serde(flatten)]
    size: Size,
}

#[model]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Paper {
    #[default]
    Plain,
    /// Shines.
    Glossy,
}

#[model]
struct Page<T> {
    content: T,
}

#[model]
struct Size {
    width: f32,
}

#[model]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Shape {
    Circle { radius: f64 },
    Text(Page<String>),
    Nothing,
}

#[model]
#[serde(transparent)]
struct Total(u32);

/// Cannot be read: it borrows for ever.
#[model(output)]
struct Printed {
    by: &'static str,
    total: Total,
    shapes: BTreeMap<String, Shape>,
}

/// Cannot be written.
#[model(input)]
struct Filter {
    paper: Option<Paper>,
}

/// The derives are the author's own, with the crates that the author names.
#[model]
#[derive(coinslot_sdk::Deserialize, coinslot_sdk::Serialize)]
#[serde(crate = "coinslot_sdk::serde")]
struct Own {
    shape: Shape,
}

#[endpoint(post, "/print", price = "0.01", summary = "Prints")]
fn print(Json(order): Json<Order<'static>>) -> Json<Printed> {
    let pages = order.pages.iter().map(|page| page.content.len() as u32).sum::<u32>();
    let shapes = BTreeMap::from([
        ("none".to_owned(), Shape::Nothing),
        ("o".to_owned(), Shape::Circle { radius: order.size.width.into() }),
        ("note".to_owned(), Shape::Text(Page { content: order.note.unwrap_or_default().into_owned() })),
    ]);
    Json(Printed { by: "ada", total: Total(u32::from(order.copy_count) * pages), shapes })
}

#[endpoint(get, "/papers", free, summary = "Lists papers")]
fn papers(Query(filter): Query<Filter>) -> Json<Vec<Paper>> {
    Json(
        [Paper::Plain, Paper::Glossy]
            .into_iter()
            .filter(|one| filter.paper.is_none_or(|paper| paper == *one))
            .collect(),
    )
}

#[endpoint(post, "/own", free, summary = "The author's own derives")]
fn own(Json(own): Json<Own>) -> Json<Shape> {
    Json(own.shape)
}

fn print_request(order: &Value) -> TestRequest {
    testing::post("/print").json(order)
}

#[test]
fn a_model_is_read_and_written_with_the_attributes_of_serde() {
    let order = json!({ "copyCount": 2, "pages": [{ "content": "abc" }], "width": 1.5, "note": "n" });
    let printed = json!({
        "by": "ada", "total": 6,
        "shapes": {
            "none": { "kind": "nothing" },
            "note": { "kind": "text", "content": "n" },
            "o": { "kind": "circle", "radius": 1.5 },
        },
    });
    assert_eq!(print_request(&order).send().json::<Value>(), printed);
    assert_eq!(testing::get("/papers?paper=glossy").send().text(), r#"["glossy"]"#);
    let own = json!({ "shape": { "kind": "nothing" } });
    assert_eq!(testing::post("/own").json(&own).send().text(), r#"{"kind":"nothing"}"#);
    let unknown = print_request(&json!({ "copies": 2, "pages": [], "width": 1 })).quote().unwrap_err();
    assert!(unknown.message().contains("copyCount"), "{unknown}");
}

#[test]
fn the_schema_of_a_model_has_its_documentation_its_bounds_and_its_variants() {
    let manifest = testing::manifest().unwrap();
    let of = |path: &str| manifest.endpoints.iter().find(|e| e.path == path).unwrap();
    let json = |text: &Option<String>| serde_json::from_str::<Value>(text.as_deref().unwrap()).unwrap();

    let input = json(&of("/print").input_schema);
    let body = &input["properties"]["body"];
    assert_eq!(body["description"], "What to print.");
    assert_eq!(body["properties"]["copyCount"]["description"], "The number of copies.");
    assert_eq!(
        (&body["properties"]["copyCount"]["minimum"], &body["properties"]["copyCount"]["maximum"]),
        (&json!(1), &json!(9))
    );
    assert_eq!(body["required"], json!(["copyCount", "pages", "width"]));
    assert_eq!(input["$defs"]["Paper"]["oneOf"][1]["description"], "Shines.");

    let output = json(&of("/print").output_schema);
    assert_eq!(output["properties"]["total"]["type"], "integer");
    assert_eq!(output["$defs"]["Shape"]["oneOf"][0]["properties"]["kind"]["const"], "circle");
}
