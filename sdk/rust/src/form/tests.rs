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
    parse_query(text).and_then(|pairs| query(&pairs)).map_err(|error| error.to_string())
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
    assert_eq!(query::<BTreeMap<String, String>>(&pairs(&[("a", "1")])).unwrap()["a"], "1");
}

#[test]
fn a_value_that_does_not_fit_is_an_error_that_names_the_key() {
    for (text, part) in [
        ("", "missing field `q`"),
        ("q=1&q=2", "`q`: it stands more than once"),
        ("q=&limit=256", "`limit`: \"256\" is not a whole number from 0 to 255"),
        ("q=&limit=", "`limit`: \"\" is not"),
        ("q=&exact=yes", "`exact`: \"yes\" is not `true` or `false`"),
        ("q=&order=left", "`order`: unknown variant `left`"),
        ("q=&weight=NaN", "`weight`: \"NaN\" is not a number"),
        ("q=%4", "percent sign"),
        ("q=%zz", "percent sign"),
        ("q=%ff", "not UTF-8"),
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
    assert_eq!(parse_query("a+b=c+d%2B").unwrap(), pairs(&[("a b", "c d+")]));
    assert_eq!(decode("a+b").unwrap(), "a+b");
}
