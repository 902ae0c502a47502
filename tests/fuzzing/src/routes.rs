//! Path templates, request paths and tables of routes.
//!
//! An input is text: one route in a line, such as `GET /items/{id}`, an empty line, and then requests in the same form.

use coinslot::route::{RequestPath, RouteTaken, Routes};
use coinslot_plugin::{Segment, Template};
use http::Method;

/// The most routes and the most requests of one input.
const MOST: usize = 48;

/// Fills a table of routes, looks requests up in it, and compares each with all templates one by one.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (routes, requests) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut table = Routes::new();
    let mut inserted: Vec<(Method, Template)> = Vec::new();
    for (method, template) in routes.split('\n').take(MOST).filter_map(line) {
        let template = match Template::parse(template) {
            Ok(template) => template,
            Err(mistake) => {
                assert!(!mistake.to_string().is_empty());
                continue;
            }
        };
        check_template(&template);
        let taken = inserted.iter().any(|(other, known)| *other == method && known.is_alike(&template));
        let result = table.insert(method.clone(), &template, inserted.len());
        assert_eq!(result, if taken { Err(RouteTaken) } else { Ok(()) }, "{method} {template}");
        if !taken {
            inserted.push((method, template));
        }
    }
    for (method, raw) in requests.split('\n').take(MOST).filter_map(line) {
        match RequestPath::parse(raw) {
            Ok(path) => {
                check_canonical(&path);
                check_request(&table, &inserted, &method, &path);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// A method and what stands behind the first space.
fn line(line: &str) -> Option<(Method, &str)> {
    let (method, rest) = line.split_once(' ')?;
    Some((Method::from_bytes(method.as_bytes()).ok()?, rest))
}

/// A template matches the path that is made of its own segments, and its values come back.
fn check_template(template: &Template) {
    assert_eq!(Template::parse(template.as_str()).as_ref(), Ok(template));
    let segments = template.segments();
    let parts: Vec<&str> = segments.iter().map(example).collect();
    let path = format!("/{}", parts.join("/"));
    let captures = template.captures(&path).expect("a template matches its own example");
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for segment in segments {
        if let Segment::Parameter(name) | Segment::Rest(name) = segment {
            names.push(name.as_str());
            values.push(example(segment));
        }
    }
    let captured: Vec<(&str, &str)> = captures.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(captured, names.iter().copied().zip(values).collect::<Vec<_>>());
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{template}: a name twice");
    let canonical = RequestPath::parse(&path).expect("a client sends it as it is");
    assert_eq!(canonical.as_str(), path);
    let mut alone = Routes::new();
    alone.insert(Method::GET, template, ()).expect("the table is empty");
    assert!(alone.find(&Method::GET, &canonical).is_some());
    assert!(template.overlaps(template) && template.is_alike(template));
}

/// A text that a segment matches.
fn example(segment: &Segment) -> &str {
    match segment {
        Segment::Literal(literal) => literal,
        Segment::Parameter(_) => "x",
        Segment::Rest(_) => "y/z",
    }
}

/// A canonical path is ASCII, and is its own canonical notation.
fn check_canonical(path: &RequestPath) {
    assert_eq!(RequestPath::parse(path.as_str()).as_ref(), Ok(path));
    assert!(path.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"\\?#\"<>".contains(&byte)));
    assert!(path.as_str().split('/').all(|part| part != "." && part != ".."));
}

/// The order of templates: a literal goes before a parameter and a parameter before a rest, from left to right.
fn rank(template: &Template) -> Vec<u8> {
    let of = |segment: &Segment| match segment {
        Segment::Literal(_) => 0,
        Segment::Parameter(_) => 1,
        Segment::Rest(_) => 2,
    };
    template.segments().iter().map(of).collect()
}

fn check_request(table: &Routes<usize>, routes: &[(Method, Template)], method: &Method, path: &RequestPath) {
    let decoded = decoded(path.as_str());
    let matching = |method: &Method| -> Vec<usize> {
        let fits = |at: &usize| routes[*at].0 == *method && routes[*at].1.captures(&decoded).is_some();
        (0..routes.len()).filter(fits).collect()
    };
    let best = |method: &Method| matching(method).into_iter().min_by_key(|at| rank(&routes[*at].1));
    let found = table.find(method, path);
    assert_eq!(found.as_ref().map(|found| *found.target), best(method), "{method} {decoded:?}");
    if let Some(found) = found {
        assert_eq!(Some(found.params), routes[*found.target].1.captures(&decoded));
    }
    // No two handlers of one request stand at the same place of the order, and each pair is known to overlap.
    let all = matching(method);
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            let (one, other) = (&routes[*one].1, &routes[*other].1);
            assert!(rank(one) != rank(other), "{one} and {other} match {decoded:?}");
            assert!(one.overlaps(other) && other.overlaps(one), "{one} and {other} match {decoded:?}");
        }
    }
    let mut methods: Vec<&Method> = routes.iter().map(|(method, _)| method).collect();
    methods.sort_unstable_by_key(|method| method.as_str());
    methods.dedup();
    let mut expected: Vec<usize> = methods.into_iter().filter_map(best).collect();
    let mut targets: Vec<usize> = table.targets(path).into_iter().copied().collect();
    expected.sort_unstable();
    targets.sort_unstable();
    assert_eq!(targets, expected, "{decoded:?}");
}

/// Undoes the percent-encoding of a canonical path.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        let Some(digits) = (*byte == b'%').then(|| rest.split_at_checked(2)).flatten() else {
            bytes.push(*byte);
            continue;
        };
        let hex = std::str::from_utf8(digits.0).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(hex.expect("a canonical path has two digits behind each `%`"));
        rest = digits.1;
    }
    String::from_utf8(bytes).expect("a canonical path is UTF-8")
}
