use proptest::prelude::*;

use super::*;

fn routes() -> Routes<&'static str> {
    let mut routes = Routes::new();
    routes.insert(Method::GET, "/api/gitignore", "get").expect("a route");
    routes.insert(Method::POST, "/api/gitignore", "post").expect("a route");
    routes.insert(Method::GET, "/items/{id}", "item").expect("a route");
    routes.insert(Method::DELETE, "/items/{name}", "delete").expect("a route");
    routes.insert(Method::GET, "/files/{*rest}", "files").expect("a route");
    routes
}

fn said(routes: &Routes<&'static str>, method: &Method, path: &RequestPath) -> String {
    match routes.find(method, path) {
        Found::Endpoint { target, params } => {
            params.iter().fold((*target).to_owned(), |text, (name, value)| format!("{text} {name}={value}"))
        }
        Found::OtherMethods(methods) => format!("not {method} but {}", methods.len()),
        Found::Nothing => "nothing".to_owned(),
    }
}

#[track_caller]
fn check(method: Method, path: &str, expected: &str) {
    let routes = routes();
    let found = match RequestPath::parse(path) {
        Err(error) => format!("{error:?}"),
        Ok(path) => said(&routes, &method, &path),
    };
    assert_eq!(found, expected, "{method} {path}");
}

#[test]
fn a_path_means_one_endpoint() {
    check(Method::GET, "/api/gitignore", "get");
    check(Method::POST, "/api/gitignore", "post");
    check(Method::PUT, "/api/gitignore", "not PUT but 2");
    check(Method::GET, "/items/7", "item id=7");
    check(Method::DELETE, "/items/7", "delete name=7");
    check(Method::GET, "/items/a%20b", "item id=a b");
    check(Method::GET, "/files/a/b", "files rest=a/b");
}

#[test]
fn an_alias_of_a_path_is_the_path_or_nothing() {
    check(Method::GET, "/api/git%69gnore", "get");
    check(Method::GET, "/api/gitignore/", "nothing");
    check(Method::GET, "/API/gitignore", "nothing");
    check(Method::GET, "//api/gitignore", "EmptySegment");
    check(Method::GET, "/api//gitignore", "EmptySegment");
    check(Method::GET, "/api/./gitignore", "DotSegment");
    check(Method::GET, "/api/x/../gitignore", "DotSegment");
    check(Method::GET, "/api/%2e%2e/gitignore", "DotSegment");
    check(Method::GET, "/api%2Fgitignore", "Forbidden");
    check(Method::GET, "/api%5Cgitignore", "Forbidden");
    check(Method::GET, "/api\\gitignore", "Forbidden");
    check(Method::GET, "/api/gitignore%00", "Forbidden");
    check(Method::GET, "/api/gitignore%", "BadEncoding");
    check(Method::GET, "/api/gitignore%zz", "BadEncoding");
    check(Method::GET, "/api/%ff", "BadEncoding");
    check(Method::GET, "/api/gitignore;x=1", "nothing");
    check(Method::GET, "/api/%2567itignore", "nothing");
    check(Method::GET, "api/gitignore", "NotAbsolute");
}

#[test]
fn a_canonical_path_is_canonical() {
    for raw in ["/", "/a", "/a/", "/a%20b/%C3%A9", "/a%2bb", "/%7euser"] {
        let once = RequestPath::parse(raw).expect("a path");
        let twice = RequestPath::parse(once.as_str()).expect("a canonical path");
        assert_eq!(once, twice, "{raw}");
    }
}

#[test]
fn a_route_is_served_once() {
    let mut routes = routes();
    let taken = routes.insert(Method::GET, "/items/{other}", "again");
    assert!(matches!(taken, Err(RouteError::Taken { .. })), "{taken:?}");
    for bad in ["x", "/a//b", "/{a", "/{a}/{a}", "/{*a}/b", "/a%20", "/a?b", "/..", "/{}"] {
        let refused = routes.insert(Method::GET, bad, "bad");
        assert!(matches!(refused, Err(RouteError::Template { .. })), "{bad}: {refused:?}");
    }
}

#[test]
fn templates_overlap_where_a_path_matches_both() {
    for (one, other, expected) in [
        ("/items/{id}", "/items/special", true),
        ("/items/{id}", "/items/{id}/parts", false),
        ("/items/{id}", "/items/", false),
        ("/items/{id}", "/items", false),
        ("/{kind}/7", "/items/{id}", true),
        ("/{kind}/7", "/items/8", false),
        ("/files/{*rest}", "/files/a/b", true),
        ("/files/{*rest}", "/files/{name}", true),
        ("/files/{*rest}", "/files/", false),
        ("/files/{*rest}", "/filed/a", false),
        ("/files/{*rest}", "/{any}/x/{*rest}", true),
        ("/a/b", "/a/c", false),
        ("/{*all}", "/items/{id}", false),
        // One and the same.
        ("/items/{id}", "/items/{name}", false),
        ("/items", "/items", false),
    ] {
        assert_eq!(overlap(one, other), expected, "{one} {other}");
        assert_eq!(overlap(other, one), expected, "{other} {one}");
    }
}

// === Against a model that knows nothing of the table. ===

/// What the table of these tests serves, said again in another way: decoded segments, one by one.
fn model(method: &str, segments: &[String]) -> String {
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let of_path: &[(&str, String)] = match path.as_slice() {
        ["api", "gitignore"] => &[("GET", "get".to_owned()), ("POST", "post".to_owned())],
        ["items", id] if !id.is_empty() => &[("GET", format!("item id={id}")), ("DELETE", format!("delete name={id}"))],
        ["files", first, ..] if path.len() > 2 || !first.is_empty() => {
            &[("GET", format!("files rest={}", path[1..].join("/")))]
        }
        _ => return "nothing".to_owned(),
    };
    let found = of_path.iter().find(|(known, _)| *known == method);
    found.map_or_else(|| format!("not {method} but {}", of_path.len()), |(_, target)| target.clone())
}

/// A path's bytes as the model reads them: what is a matter of notation is undone, once, byte by byte.
fn segments(raw: &str) -> Option<Vec<String>> {
    let mut segments = vec![Vec::new()];
    let mut bytes = raw.strip_prefix('/')?.bytes();
    while let Some(byte) = bytes.next() {
        let (byte, encoded) = match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits).ok().filter(|text| !text.starts_with('+'))?;
                (u8::from_str_radix(digits, 16).ok()?, true)
            }
            byte => (byte, false),
        };
        if byte == b'/' && encoded {
            return None;
        }
        if byte == b'/' {
            segments.push(Vec::new());
        } else {
            segments.last_mut()?.push(byte);
        }
    }
    let count = segments.len();
    let read = segments.into_iter().map(String::from_utf8).collect::<Result<Vec<_>, _>>().ok()?;
    let odd = |(at, segment): (usize, &String)| {
        let inner = segment.is_empty() && at + 1 != count;
        inner || segment == "." || segment == ".." || segment.chars().any(|c| c.is_control() || c == '\\')
    };
    (!read.iter().enumerate().any(odd)).then_some(read)
}

/// Pieces that routers have stumbled over, in any order.
fn any_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        5 => Just("/".to_owned()),
        4 => prop::sample::select(vec!["api", "gitignore", "items", "files", "7"]).prop_map(str::to_owned),
        3 => prop::sample::select(vec![
            "//", "/./", "/../", ".", "..", "%2e", "%2E%2e", "%2f", "%2F", "\\", "%5c", ";", ";a=b", "%00", "%", "%4",
            "%zz", "%+1", "%252f", "%61pi", "git%69gnore", "API", "{", "{id}", "{*rest}", "*", "?", "#", "+", " ",
            "%20", "%c3%a9", "%c0%af", "%ff", "\u{e9}", "\u{202e}", "\u{7f}", "\t",
        ]).prop_map(str::to_owned),
        2 => any::<char>().prop_map(String::from),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn whatever_the_path_is_the_table_says_what_the_model_says(
        path in any_path(),
        method in prop::sample::select(vec!["GET", "POST", "DELETE", "PUT", "HEAD", "get"]),
    ) {
        let routes = routes();
        let expected = segments(&path).map(|segments| model(method, &segments));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let found = RequestPath::parse(&path).ok().map(|path| said(&routes, &method, &path));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn whatever_the_bytes_are_a_path_has_one_notation(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let raw = String::from_utf8_lossy(&bytes).into_owned();
        for raw in [raw.clone(), format!("/{raw}")] {
            let Ok(path) = RequestPath::parse(&raw) else { continue };
            prop_assert!(path.as_str().starts_with('/') && path.as_str().is_ascii());
            prop_assert_eq!(RequestPath::parse(path.as_str()), Ok(path));
        }
    }

    /// Whatever order plugins come in, a request means the same, and no template takes what another one had.
    #[test]
    fn whatever_the_templates_are_inserting_answers(
        templates in prop::collection::vec("(/(a|b|\\{x\\}|\\{y\\}|\\{\\*z\\}|[{}*%.a/]{0,4})){0,3}/?", 0..8),
        path in "(/(a|b|c)){0,3}/?",
    ) {
        let mut routes = Routes::new();
        let mut served = Vec::new();
        for (index, template) in templates.iter().enumerate() {
            let before = RequestPath::parse(&path).ok().map(|path| said(&routes, &Method::GET, &path));
            match routes.insert(Method::GET, template, "route") {
                Ok(()) => served.push(index),
                Err(_) => prop_assert_eq!(
                    RequestPath::parse(&path).ok().map(|path| said(&routes, &Method::GET, &path)),
                    before,
                    "refused, and yet the table has changed"
                ),
            }
        }
        if let (true, Ok(path)) = (served.is_empty(), RequestPath::parse(&path)) {
            prop_assert_eq!(said(&routes, &Method::GET, &path), "nothing");
        }
    }
}
