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

fn said(routes: &Routes<&'static str>, method: &Method, path: &Path) -> String {
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
    let found = match Path::parse(path) {
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
        let once = Path::parse(raw).expect("a path");
        let twice = Path::parse(once.as_str()).expect("a canonical path");
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
