use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Pairs, decode, parse_query, path, query};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Order {
    Up,
    Down,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Search {
    q: String,
    #[serde(default)]
    stack: Vec<String>,
    limit: Option<u8>,
    exact: Option<bool>,
    order: Option<Order>,
    weight: Option<f64>,
}

fn search(text: &str) -> Result<Search, String> {
    query(&parse_query(text)).map_err(|error| error.to_string())
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_query_becomes_the_type_it_fits() {
    assert_eq!(
        search("q=a+b%20c%26&stack=rust&stack=c%2B%2B&limit=7&exact=true&order=down&weight=-0.5&unknown=1").unwrap(),
        Search {
            q: "a b c&".into(),
            stack: vec!["rust".into(), "c++".into()],
            limit: Some(7),
            exact: Some(true),
            order: Some(Order::Down),
            weight: Some(-0.5),
        }
    );
    assert_eq!(search("&q=&&").unwrap().q, "");
    assert_eq!(query::<BTreeMap<String, String>>(&parse_query("a=1")).unwrap()["a"], "1");
}

#[test]
fn a_value_that_does_not_fit_is_an_error_that_names_the_key() {
    for (text, part) in [
        ("", "`q`: it is missing"),
        ("q=1&q=2", "`q`: it stands more than once"),
        ("q=&limit=256", "`limit`: \"256\" is not a whole number from 0 to 255"),
        ("q=&limit=", "`limit`: \"\" is not"),
        ("q=&exact=yes", "`exact`: \"yes\" is not `true` or `false`"),
        ("q=&order=left", "`order`: unknown variant `left`"),
        ("q=&weight=NaN", "`weight`: \"NaN\" is not a number"),
        ("q=%4", "`q`: it is not percent-encoded UTF-8: write %25 for a percent sign"),
        ("q=%zz", "percent sign"),
        ("q=%ff", "`q`: it is not percent-encoded UTF-8"),
        ("q=&stack=rust&stack=%", "`stack`: it is not percent-encoded"),
    ] {
        let error = search(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn path_parameters_are_read_by_name_by_order_or_alone() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Named {
        id: u32,
        name: String,
    }
    let two = pairs(&[("id", "7"), ("name", "x")]);
    assert_eq!(path::<Named>(&two).unwrap(), Named { id: 7, name: "x".into() });
    assert_eq!(path::<(u32, String)>(&two).unwrap(), (7, "x".into()));
    assert_eq!(path::<u32>(&pairs(&[("id", "7")])).unwrap(), 7);
    assert_eq!(path::<Order>(&pairs(&[("order", "up")])).unwrap(), Order::Up);
    assert!(path::<u32>(&two).is_err());
    assert!(path::<(u32,)>(&pairs(&[("id", "x")])).is_err());
}

#[test]
fn a_plus_is_a_space_in_queries_only() {
    assert_eq!(query::<BTreeMap<String, String>>(&parse_query("a+b=c+d%2B")).unwrap()["a b"], "c d+");
    assert_eq!(decode("a+b").unwrap(), "a+b");
    for text in ["%", "%2", "%zz", "a%", "%ff", "%2%35"] {
        assert_eq!(decode(text), None, "{text}");
    }
}

/// The plugin refused the whole query, and the host and plugins in other languages did not.
#[test]
fn what_nobody_reads_need_not_be_encoded() {
    for text in ["q=a&unknown=100%", "%=1&q=a", "q=a&x=%ff", "q=a&%zz"] {
        assert_eq!(search(text).map(|search| search.q).as_deref(), Ok("a"), "{text}");
    }
    assert_eq!(
        parse_query("q=100%&x=%ff&%41%4=%c3%a9").iter().map(|f| (&*f.name, &*f.text)).collect::<Vec<_>>(),
        [("q", "100%"), ("x", "\u{fffd}"), ("A%4", "\u{e9}"),]
    );
}

/// A key was looked for among all others, so a form of short keys took the square of their number.
#[test]
fn many_keys_are_read_in_little_time() {
    let keys: String = (0..200_000).map(|number| format!("{number:x}&")).collect();
    let started = std::time::Instant::now();
    assert_eq!(search(&(keys + "q=a")).unwrap().q, "a");
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}
