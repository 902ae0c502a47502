use proptest::prelude::*;

use super::*;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A table whose targets are `METHOD`, a space and the template.
fn table<'t>(routes: impl IntoIterator<Item = (&'t str, &'t str)>) -> Routes<String> {
    let mut table = Routes::new();
    for (method, path) in routes {
        let target = format!("{method} {path}");
        table.insert(method.parse().expect("a method"), &template(path), target).expect("a route");
    }
    table
}

fn routes() -> Routes<String> {
    table([
        ("GET", "/api/gitignore"),
        ("POST", "/api/gitignore"),
        ("GET", "/items/{id}"),
        ("DELETE", "/items/{name}"),
        ("PUT", "/items/special"),
        ("GET", "/files/{*rest}"),
    ])
}

/// The result of a request: a target with its parameters, the other methods of the path, or nothing.
fn found(routes: &Routes<String>, method: &Method, path: &RequestPath) -> String {
    if let Some(FoundRoute { target, params }) = routes.find(method, path) {
        return params.iter().fold(target.clone(), |text, (name, value)| format!("{text} {name}={value}"));
    }
    let mut methods: Vec<&str> =
        routes.targets(path).into_iter().filter_map(|target| target.split(' ').next()).collect();
    methods.sort_unstable();
    if methods.is_empty() { "nothing".to_owned() } else { format!("only {}", methods.join(" ")) }
}

#[track_caller]
fn check(method: Method, path: &str, expected: &str) {
    let routes = routes();
    let found = match RequestPath::parse(path) {
        Err(error) => format!("{error:?}"),
        Ok(path) => found(&routes, &method, &path),
    };
    assert_eq!(found, expected, "{method} {path}");
}

#[test]
fn a_path_means_one_endpoint() {
    check(Method::GET, "/api/gitignore", "GET /api/gitignore");
    check(Method::POST, "/api/gitignore", "POST /api/gitignore");
    check(Method::PUT, "/api/gitignore", "only GET POST");
    check(Method::GET, "/items/7", "GET /items/{id} id=7");
    check(Method::DELETE, "/items/7", "DELETE /items/{name} name=7");
    check(Method::GET, "/items/a%20b", "GET /items/{id} id=a b");
    check(Method::GET, "/files/a/b", "GET /files/{*rest} rest=a/b");
    check(Method::PUT, "/items/7", "only DELETE GET");
}

#[test]
fn a_literal_path_of_one_method_hides_no_template_of_another() {
    check(Method::PUT, "/items/special", "PUT /items/special");
    check(Method::GET, "/items/special", "GET /items/{id} id=special");
    check(Method::POST, "/items/special", "only DELETE GET PUT");
}

#[test]
fn an_alias_of_a_path_is_the_path_or_nothing() {
    check(Method::GET, "/api/git%69gnore", "GET /api/gitignore");
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
fn two_templates_of_one_shape_are_one_route() {
    let mut routes = routes();
    let target = || "again".to_owned();
    assert_eq!(routes.insert(Method::GET, &template("/items/{other}"), target()), Err(RouteTaken));
    assert_eq!(routes.insert(Method::GET, &template("/files/{*other}"), target()), Err(RouteTaken));
    assert_eq!(routes.insert(Method::POST, &template("/items/{other}"), target()), Ok(()));
    assert_eq!(routes.insert(Method::GET, &template("/files/{other}"), target()), Ok(()));
}

#[test]
fn requests_are_routed_as_the_table_of_cases_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/path-templates.txt");
    let cases = std::fs::read_to_string(file).expect("the table of cases");
    let (mut routes, mut checked) = (Routes::new(), 0);
    for line in cases.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["routes", endpoints @ ..] => routes = table(endpoints.chunks(2).map(|pair| (pair[0], pair[1]))),
            ["request", method, path, expected @ ..] => {
                let expected = match expected {
                    ["serve", served @ ..] => format!("{method} {}", served.join(" ")),
                    ["allow", methods @ ..] => format!("only {}", methods.join(" ")),
                    _ => "nothing".to_owned(),
                };
                let path = RequestPath::parse(path).expect("a path");
                assert_eq!(found(&routes, &method.parse().expect("a method"), &path), expected, "{line}");
                checked += 1;
            }
            _ => {}
        }
    }
    assert!(checked > 15, "{checked} requests");
}

#[test]
fn a_spelling_of_a_path_is_what_the_table_of_cases_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/request-paths.txt");
    let (cases, mut checked) = (std::fs::read_to_string(file).expect("the table of cases"), 0);
    for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (kind, case) = line.split_once(' ').expect("a kind and its words");
        let (spelling, expected) = case.split_once(' ').expect("a spelling and what it means");
        let expected = if kind == "path" { Ok(expected.to_owned()) } else { Err(expected.to_owned()) };
        let found =
            RequestPath::parse(spelling).map(|path| path.as_str().to_owned()).map_err(|error| error.to_string());
        assert_eq!(found, expected, "{line}");
        checked += 1;
    }
    assert!(checked > 40, "{checked} spellings");
}

// === Against models that share nothing with the table. ===

/// The routes of these tests as a list of cases: decoded segments, one by one.
fn model(method: &str, segments: &[String]) -> String {
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    let of_path: &[(&str, String)] = match path.as_slice() {
        ["api", "gitignore"] => &[("GET", "GET /api/gitignore".to_owned()), ("POST", "POST /api/gitignore".to_owned())],
        ["items", "special"] => &[
            ("DELETE", "DELETE /items/{name} name=special".to_owned()),
            ("GET", "GET /items/{id} id=special".to_owned()),
            ("PUT", "PUT /items/special".to_owned()),
        ],
        ["items", id] if !id.is_empty() => {
            &[("DELETE", format!("DELETE /items/{{name}} name={id}")), ("GET", format!("GET /items/{{id}} id={id}"))]
        }
        ["files", first, ..] if path.len() > 2 || !first.is_empty() => {
            &[("GET", format!("GET /files/{{*rest}} rest={}", path[1..].join("/")))]
        }
        _ => return "nothing".to_owned(),
    };
    let found = of_path.iter().find(|(known, _)| *known == method);
    let methods = || of_path.iter().map(|(method, _)| *method).collect::<Vec<_>>().join(" ");
    found.map_or_else(|| format!("only {}", methods()), |(_, target)| target.clone())
}

/// The segments of a path as the model reads them: byte by byte, percent-decoded once.
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

/// Pieces of paths that other routers got wrong, in any order.
fn any_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        5 => Just("/".to_owned()),
        4 => prop::sample::select(vec!["api", "gitignore", "items", "special", "files", "7"]).prop_map(str::to_owned),
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

/// A route of a random table: a method and a template of few different segments.
fn any_route() -> impl Strategy<Value = (&'static str, String)> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT"]);
    let template = prop::string::string_regex("((/(a|b|ab|\\{[xy]\\})){0,3}(/\\{\\*z\\})?)|/").expect("an expression");
    (method, template).prop_filter("a valid template", |(_, text)| Template::parse(text).is_ok())
}

/// The result of a request in a list of templates that are tried one by one. Their order is that of their segments:
/// a literal before a parameter before a rest.
fn searched(routes: &[(&str, String)], method: &str, path: &RequestPath) -> String {
    let rank = |template: &Template| -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Parameter(_) => 1,
            Segment::Rest(_) => 2,
        };
        template.segments().iter().map(rank).collect()
    };
    let matching = routes.iter().filter_map(|(method, text)| {
        let template = template(text);
        Some((*method, text, template.captures(path.decoded())?, rank(&template)))
    });
    let matching: Vec<_> = matching.collect();
    if let Some((_, text, params, _)) =
        matching.iter().filter(|(other, ..)| *other == method).min_by(|one, other| one.3.cmp(&other.3))
    {
        return params
            .iter()
            .fold(format!("{method} {text}"), |found, (name, value)| format!("{found} {name}={value}"));
    }
    let methods: std::collections::BTreeSet<&str> = matching.iter().map(|(method, ..)| *method).collect();
    if methods.is_empty() {
        return "nothing".to_owned();
    }
    format!("only {}", methods.into_iter().collect::<Vec<_>>().join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_table_finds_what_the_list_of_cases_finds(
        path in any_path(),
        method in prop::sample::select(vec!["GET", "POST", "DELETE", "PUT", "HEAD", "get"]),
    ) {
        let routes = routes();
        let expected = segments(&path).map(|segments| model(method, &segments));
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let found = RequestPath::parse(&path).ok().map(|path| found(&routes, &method, &path));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn every_path_has_one_canonical_notation(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let raw = String::from_utf8_lossy(&bytes).into_owned();
        for raw in [raw.clone(), format!("/{raw}")] {
            let Ok(path) = RequestPath::parse(&raw) else { continue };
            prop_assert!(path.as_str().starts_with('/') && path.as_str().is_ascii());
            prop_assert_eq!(RequestPath::parse(path.as_str()), Ok(path));
        }
    }

    /// The order of insertion decides only which of two templates of one shape is refused.
    #[test]
    fn a_random_table_finds_what_a_search_of_its_templates_finds(
        routes in prop::collection::vec(any_route(), 0..12),
        method in prop::sample::select(vec!["GET", "POST", "PUT", "PATCH"]),
        path in "(/(a|b|ab|c)){1,4}/?|/",
    ) {
        let mut table = Routes::new();
        let mut served: Vec<(&str, String)> = Vec::new();
        for (method, text) in routes {
            let same = |(other, known): &(&str, String)| *other == method && template(known).is_alike(&template(&text));
            let taken = served.iter().any(same);
            let inserted = table.insert(method.parse().expect("a method"), &template(&text), format!("{method} {text}"));
            prop_assert_eq!(inserted.is_err(), taken, "{}", text);
            if !taken {
                served.push((method, text));
            }
        }
        let path = RequestPath::parse(&path).expect("a path");
        let found = found(&table, &method.parse().expect("a method"), &path);
        prop_assert_eq!(found, searched(&served, method, &path));
    }

    /// Two templates overlap exactly if some path of a few segments matches both: no longer path is needed.
    #[test]
    fn templates_overlap_exactly_where_a_path_matches_both((_, one) in any_route(), (_, other) in any_route()) {
        let (one, other) = (template(&one), template(&other));
        let parts = ["a", "b", "ab", "c"];
        let mut paths = vec!["/".to_owned()];
        let mut longest = vec![String::new()];
        for _ in 0..4 {
            longest = longest.iter().flat_map(|path| parts.map(|part| format!("{path}/{part}"))).collect();
            paths.extend(longest.iter().cloned());
        }
        let both = |path: &String| one.captures(path).is_some() && other.captures(path).is_some();
        prop_assert_eq!(one.overlaps(&other), paths.iter().any(both), "{} {}", one, other);
    }
}
