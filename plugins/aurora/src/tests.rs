use coinslot_sdk::testing::{self, TestRequest};
use serde_json::{Value, json};

fn refused(request: TestRequest) -> (u16, String, String) {
    let refusal = request.quote().expect_err("refused before payment");
    (refusal.status(), refusal.code().to_owned(), refusal.message().to_owned())
}

fn sold(request: TestRequest) -> Value {
    let answer = request.send();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_str(answer.text()).expect("an answer in JSON")
}

#[test]
fn a_union_of_stacks_is_sold_as_text_and_an_unknown_one_refused() {
    let answer = testing::get("/api/gitignore?stack=rust+js%2Cmacos").send();
    assert_eq!(answer.status(), 200);
    for heading in ["# === Rust ===", "# === Node.js ===", "# === macOS ==="] {
        assert!(answer.text().contains(heading), "{}", answer.text());
    }
    let (status, code, message) = refused(testing::get("/api/gitignore?stack=rsut"));
    assert_eq!((status, code.as_str()), (400, "unknown_stack"));
    assert!(message.contains("rust"), "{message}");
    let (status, code, message) = refused(testing::get("/api/gitignore?stack="));
    assert_eq!((status, code.as_str()), (400, "missing_stack"));
    assert!(message.contains("kubernetes"), "{message}");
}

#[test]
fn a_review_is_sold_as_json_and_bad_code_refused() {
    let review = sold(testing::post("/api/code-review").header("content-type", "application/json").json(&json!({
        "code": "def f(a=[]):\n    return eval(a)\n", "filename": "f.py"
    })));
    assert_eq!(review["language"], "python");
    assert_eq!(review["findings"][0]["rule"], "python/eval");
    assert_eq!((&review["findings"][0]["line"], &review["findings"][0]["column"]), (&json!(2), &json!(12)));
    assert_eq!(review["counts"]["warning"], 1);
    for (body, status, code) in [
        (json!({"code": " "}), 400, "empty_code"),
        (json!({"code": "hello there"}), 422, "unknown_language"),
        (json!({"code": "x".repeat(crate::review::LONGEST_CODE + 1)}), 413, "code_too_long"),
    ] {
        let (was, named, _) =
            refused(testing::post("/api/code-review").header("content-type", "application/json").json(&body));
        assert_eq!((was, named.as_str()), (status, code));
    }
    let (status, ..) = refused(
        testing::post("/api/code-review")
            .header("content-type", "application/json")
            .json(&json!({"code": "x", "language": "cobol"})),
    );
    assert!((400..500).contains(&status));
}

#[test]
fn a_known_error_is_explained_and_an_unknown_one_refused() {
    let ask = |error: &str| {
        testing::post("/api/debug-error").header("content-type", "application/json").json(&json!({"error": error}))
    };
    let told = sold(ask("Error: listen EADDRINUSE: address already in use :::8402"));
    assert_eq!(told["matches"][0]["id"], "node-eaddrinuse");
    assert_eq!(told["matches"][0]["captured"]["port"], "8402");
    let (status, code, _) = refused(ask("it does not work"));
    assert_eq!((status, code.as_str()), (422, "unknown_error"));
}

#[test]
fn insights_are_sold_by_topic_and_an_unknown_topic_refused() {
    let told = sold(testing::get("/api/agent-insights?topic=payments&limit=2"));
    assert_eq!(told["insights"].as_array().map(Vec::len), Some(2));
    assert_eq!(told["insights"][0]["topic"], "payments");
    assert_eq!(
        sold(testing::get("/api/agent-insights"))["total"].as_u64(),
        Some(crate::insights::all().count() as u64)
    );
    let (status, code, message) = refused(testing::get("/api/agent-insights?topic=weather"));
    assert_eq!((status, code.as_str()), (400, "unknown_topic"));
    assert!(message.contains("budgets"), "{message}");
}

#[test]
fn the_manifest_has_the_four_routes() {
    let manifest = testing::manifest().expect("a manifest that loads");
    let mut routes: Vec<_> =
        manifest.endpoints.iter().map(|endpoint| format!("{} {}", endpoint.method, endpoint.path)).collect();
    routes.sort();
    assert_eq!(
        routes,
        ["GET /api/agent-insights", "GET /api/gitignore", "POST /api/code-review", "POST /api/debug-error"]
    );
}
