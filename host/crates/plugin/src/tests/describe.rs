//! Tests of manifests.

use super::*;

#[tokio::test]
async fn a_manifest_is_read_as_it_was_declared() {
    let plugin = load("quoter").await;
    let info = plugin.info();
    assert_eq!((info.name.as_str(), info.version.as_str()), ("quoter", "0.1.0-rc.1"));
    assert!(plugin.quotes());
    assert_eq!(
        info.endpoints,
        [EndpointInfo {
            method: http::Method::POST,
            path: Template::parse("/quoter/{kind}").unwrap(),
            price: DeclaredPrice::Quoted("1".into()),
            summary: "Priced by length".into(),
            description: String::new(),
            mime_type: "text/plain; charset=utf-8".into(),
            input_schema: Some(serde_json::json!({"type": "object"})),
            output_schema: None,
            quote_headers: vec!["x-pages".into()],
            extensions: Vec::new(),
        }]
    );
    assert!(!load("echo").await.quotes());
}

#[tokio::test]
async fn all_problems_are_reported_at_once() {
    let sentence = refused(&guest("describe-many")).await;
    let lines: Vec<&str> = sentence.lines().collect();
    for (line, expected) in lines.iter().zip([
        "name \"Describe Many\"",
        "version \"1.0\"",
        "endpoint 1 (GET /a/{name}): matches the same requests as endpoint 0",
        "endpoint 2 (get /b): method",
        "endpoint 3 (POST /c): price \"-1\"",
        "endpoint 4 (POST /d): price: it is quoted",
        "endpoint 5 (GET no-slash): path",
        "endpoint 6 (GET /e): input-schema",
        "endpoint 7 (GET /f): summary",
        "endpoint 8 (GET /g): mime-type",
    ]) {
        assert!(line.starts_with(expected), "{line}\nis not about {expected}");
    }
    assert_eq!(lines.len(), 10, "{sentence}");
}

#[tokio::test]
async fn the_reason_of_a_refusal_to_load_is_passed_on() {
    assert_eq!(refused(&guest("describe-error")).await, "it refuses to be loaded: the moon is not full");
}

#[tokio::test]
async fn a_guest_describes_itself_alike_whenever_it_is_asked() {
    let said = refused(&guest("describe-world")).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(refused(&guest("describe-world")).await, said);
}

#[tokio::test]
async fn describing_has_a_second() {
    let sentence = refused(&guest("describe-spin")).await;
    // On a busy machine the wall clock may be first.
    assert!(sentence.contains("CPU time") || sentence.contains("took longer"), "{sentence}");
}

#[test]
fn names_versions_paths_and_types_follow_their_grammar() {
    use crate::bindings::manifest as wit;

    #[track_caller]
    fn check(name: &str, version: &str, path: &str, mime: &str, expected: Result<(), &str>) {
        let info = wit::PluginInfo {
            name: name.into(),
            version: version.into(),
            endpoints: vec![wit::Endpoint {
                method: "GET".into(),
                path: path.into(),
                price: wit::Price::Free,
                summary: String::new(),
                description: String::new(),
                mime_type: mime.into(),
                input_schema: None,
                output_schema: None,
                quote_headers: Vec::new(),
                extensions: vec![("unknown".into(), "ignored".into())],
            }],
            extensions: Vec::new(),
        };
        match (crate::load::manifest::check(info, false), expected) {
            (Ok(_), Ok(())) => {}
            (Err(problems), Err(word)) => {
                assert_eq!(problems.len(), 1, "{problems:?}");
                assert!(problems[0].contains(word), "{problems:?}");
            }
            (outcome, expected) => panic!("{outcome:?} instead of {expected:?}"),
        }
    }

    // The cases of templates are in a table that the tests of `Template` read.
    check("a", "1.0.0", "/a/{b}", "text/html", Ok(()));
    check("a", "1.0.0", "/a/{1b}", "text/html", Err("path: "));
    for name in ["", "A", "1a", "-a", "a_b", "a.b", &"a".repeat(65)] {
        check(name, "1.0.0", "/", "text/html", Err("name"));
    }
    check(&"a".repeat(64), "1.0.0", "/", "text/html", Ok(()));
    for version in ["0.0.0", "1.2.3-rc.1", "1.2.3-0a.b", "1.2.3+build.01", "1.2.3-x+y"] {
        check("a", version, "/", "text/html", Ok(()));
    }
    for version in ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "v1.2.3", "1.2.3-a_b"] {
        check("a", version, "/", "text/html", Err("version"));
    }
    for mime in ["application/json", "text/plain; charset=utf-8", "image/svg+xml"] {
        check("a", "1.0.0", "/", mime, Ok(()));
    }
    for mime in ["", "json", "a/", "/b", "a/b/c", "text/html\r\nx: y", "a b/c"] {
        check("a", "1.0.0", "/", mime, Err("mime-type"));
    }
}

#[test]
fn a_schema_is_an_object_or_true_and_anything_else_is_named() {
    use crate::bindings::manifest as wit;

    let check = |schema: &str| {
        let endpoint = wit::Endpoint {
            method: "GET".into(),
            path: "/".into(),
            price: wit::Price::Free,
            summary: String::new(),
            description: String::new(),
            mime_type: "application/json".into(),
            input_schema: None,
            output_schema: Some(schema.into()),
            quote_headers: Vec::new(),
            extensions: Vec::new(),
        };
        let (name, version) = ("a".into(), "1.0.0".into());
        let info = wit::PluginInfo { name, version, endpoints: vec![endpoint], extensions: Vec::new() };
        let checked = crate::load::manifest::check(info, false);
        checked.map(|info| info.endpoints[0].output_schema.clone().expect("a schema"))
    };
    // What `Json<serde_json::Value>` in Rust makes.
    assert_eq!(check("true"), Ok(serde_json::json!({})));
    assert_eq!(check("{\"type\": \"object\"}"), Ok(serde_json::json!({"type": "object"})));
    for (schema, kind) in
        [("false", "false"), ("null", "null"), ("7", "a number"), ("\"x\"", "a string"), ("[{}]", "an array")]
    {
        let problems = check(schema).expect_err("no schema");
        assert!(problems[0].contains(&format!("and this is {kind}")), "{problems:?}");
    }
}

#[test]
fn amounts_are_plain_decimals_with_an_optional_symbol() {
    for amount in ["0", "1", "0.01", "10.50 USDC", "0001.0"] {
        assert!(crate::bindings::is_amount(amount), "{amount}");
    }
    for amount in ["", ".", "1.", ".1", "-1", "+1", "1e2", "1,000", "1  USDC", "1 ", " 1", "1 US DC", "\u{661}"] {
        assert!(!crate::bindings::is_amount(amount), "{amount}");
    }
}
