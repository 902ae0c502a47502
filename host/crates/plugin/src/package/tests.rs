use http::Method;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::contract::{DeclaredPrice, EndpointInfo};
use crate::template::Template;

/// An empty component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn info(price: &str) -> PluginInfo {
    let endpoint = EndpointInfo {
        method: Method::GET,
        path: Template::parse("/a/{id}").unwrap(),
        price: DeclaredPrice::Exact(price.to_owned()),
        summary: "Says \"a\"\u{1f600}".to_owned(),
        description: String::new(),
        mime_type: "text/plain".to_owned(),
        input_schema: Some(json!({ "type": "object", "additionalProperties": false, "maximum": 1e300 })),
        output_schema: None,
        quote_headers: Vec::new(),
        extensions: vec![("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())],
    };
    PluginInfo { name: "a".to_owned(), version: "1.0.0".to_owned(), endpoints: vec![endpoint] }
}

fn facts() -> PackageFacts {
    let source = PackedSource { commit: "c0ffee".to_owned(), path: Some("plugins/a".to_owned()), ..Default::default() };
    PackageFacts { language: Some("rust".to_owned()), license: Some("MIT".to_owned()), source: Some(source) }
}

#[test]
fn a_package_is_read_as_it_was_written_and_the_same_facts_give_the_same_bytes() {
    let packed = Package::pack(COMPONENT, &info("0.01"), facts()).unwrap();
    assert_eq!(packed, Package::pack(COMPONENT, &info("0.01"), facts()).unwrap());
    wasmparser::Validator::new().validate_all(&packed).unwrap();
    let package = Package::read(&packed).unwrap().unwrap();
    assert_eq!(package.license.as_deref(), Some("MIT"));
    assert_eq!(package.source, facts().source);
    assert_eq!(Package::bare(&packed), Ok(COMPONENT));
    assert_eq!(package.check(&info("0.01")), Ok(()));
    assert_eq!(Package::read(COMPONENT), Ok(None));
    let document = find(&packed).unwrap().unwrap();
    let text = std::str::from_utf8(document).unwrap();
    assert!(text.starts_with(r#"{"component":{"language":"rust","sha256":""#), "{text}");
    assert!(text.ends_with(&format!(r#","tool":{{"name":"coinslot","version":"{}"}}}}"#, env!("CARGO_PKG_VERSION"))));
}

/// A change of a manifest.
type Change = &'static dyn Fn(&mut PluginInfo);

#[test]
fn a_manifest_that_differs_is_told_by_its_first_difference() {
    let packed = Package::pack(COMPONENT, &info("0.01"), facts()).unwrap();
    let package = Package::read(&packed).unwrap().unwrap();
    let said = |change: &dyn Fn(&mut PluginInfo)| {
        let mut other = info("0.01");
        change(&mut other);
        package.check(&other).expect_err("it differs").to_string()
    };
    let cases: [(Change, &str); 6] = [
        (&|i: &mut PluginInfo| i.name = "b".into(), "the name is a in the package, and b"),
        (&|i: &mut PluginInfo| i.version = "1.0.1".into(), "the version is 1.0.0 in the package, and 1.0.1"),
        (
            &|i: &mut PluginInfo| i.endpoints[0].price = DeclaredPrice::Free,
            r#"GET /a/{id}: the price is {"exact":"0.01"} in the package, and free in the component"#,
        ),
        (
            &|i: &mut PluginInfo| i.endpoints[0].path = Template::parse("/b").unwrap(),
            "the component has the endpoint GET /b, and the package does not",
        ),
        (&|i: &mut PluginInfo| i.endpoints[0].input_schema = None, "the input schema is"),
        (&|i: &mut PluginInfo| i.endpoints.clear(), "the package has the endpoint GET /a/{id}"),
    ];
    for (change, expected) in cases {
        let said = said(change);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_was_changed_after_it_was_packed_is_not_read() {
    let packed = Package::pack(COMPONENT, &info("0.01"), facts()).unwrap();
    let document = find(&packed).unwrap().unwrap().to_vec();
    let with = |document: &[u8]| [COMPONENT, &section(document)].concat();
    let replaced = |from: &str, to: &str| {
        let text = String::from_utf8(document.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        with(text.replacen(from, to, 1).as_bytes())
    };
    let other = [COMPONENT, &[0, 2, 1, b'x'], &section(&document)].concat();
    let cases: [(Vec<u8>, &str); 8] = [
        (other, "belongs to other bytes"),
        ([packed.as_slice(), &[0, 2, 1, b'x']].concat(), "is not the last section"),
        ([packed.as_slice(), &section(&document)].concat(), "stands there twice"),
        (with(b"{}"), "is no document of a package"),
        (with(b"\xff"), "is no document of a package"),
        (replaced("{\"component\"", "{ \"component\""), "is not in the form"),
        (replaced("\"format\":1", "\"format\":2"), "format 2"),
        (replaced("\"license\":\"MIT\"", "\"license\":\"MIT\\n\""), "`license`"),
    ];
    for (bytes, expected) in cases {
        let said = Package::read(&bytes).expect_err(expected).to_string();
        assert!(said.contains(expected), "{said}");
    }
    // A section within a module of the component is that module's own.
    let nested = [COMPONENT, &[1, 8], b"\0asm\x01\0\0\0"].concat();
    assert_eq!(Package::read(&nested), Ok(None));
}

#[test]
fn a_document_that_is_too_large_is_not_parsed() {
    let long = format!("\"{}\"", "a".repeat(MAX_DOCUMENT));
    let error = Package::read(&[COMPONENT, &section(long.as_bytes())].concat()).expect_err("too large");
    assert!(error.to_string().contains("is larger than"), "{error}");
    let quoted = format!("{{\"format\":\"{}\"}}", "a".repeat(100_000));
    let error = Package::read(&[COMPONENT, &section(quoted.as_bytes())].concat()).expect_err("no number").to_string();
    assert!(error.len() < 1_000 && error.contains("is no document"), "{error}");
}

proptest! {
    #[test]
    fn no_change_of_a_packed_file_makes_the_reader_panic(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let mut packed = Package::pack(COMPONENT, &info("0.01"), facts()).unwrap();
        let at = at.index(packed.len());
        packed[at] = byte;
        let _ = Package::read(&packed);
        let _ = Package::read(&packed[..cut.index(packed.len())]);
        let _ = Package::bare(&packed);
    }

    #[test]
    fn any_document_is_read_or_refused(document in prop::collection::vec(any::<u8>(), 0..200)) {
        let file = [COMPONENT, &section(&document)].concat();
        prop_assert!(Package::read(&file).is_err());
        prop_assert_eq!(Package::bare(&file), Ok(COMPONENT));
    }
}
