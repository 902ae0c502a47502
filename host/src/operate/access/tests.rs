use axum::http::Method;

use super::*;

fn asked(access: &AdminAccess, method: &Method, fields: &[(&str, &str)]) -> Result<(), &'static str> {
    asked_at(access, "/api/v1/status", method, fields)
}

fn asked_at(access: &AdminAccess, path: &str, method: &Method, fields: &[(&str, &str)]) -> Result<(), &'static str> {
    let request = fields
        .iter()
        .fold(Request::builder().uri(path).method(method), |request, (name, value)| request.header(*name, *value));
    let request = request.body(Body::empty()).expect("a request");
    access.check_source(&request).map_err(|error| error.code)?;
    let client = IpAddr::from([192, 0, 2, 1]);
    access.admit(&request, client, Instant::now()).map(|_| ()).map_err(|error| error.code)
}

#[test]
fn a_name_that_a_page_may_own_is_refused() {
    let config = AdminConfig { hosts: vec!["ops.example".to_owned()], ..AdminConfig::default() };
    let access = AdminAccess::new(&config, None);
    for host in ["127.0.0.1:8405", "localhost", "LOCALHOST:1", "[::1]:8405", "10.1.2.3", "ops.example:8405"] {
        assert_eq!(asked(&access, &Method::GET, &[("host", host)]), Ok(()), "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8405"] {
        assert_eq!(asked(&access, &Method::GET, &[("host", host)]), Err("unknown_host"), "{host}");
    }
    assert_eq!(asked(&access, &Method::GET, &[]), Err("no_host"));
}

#[test]
fn a_page_of_another_origin_neither_asks_nor_changes_anything() {
    let access = AdminAccess::new(&AdminConfig::default(), None);
    let host = ("host", "127.0.0.1:8405");
    for fields in [
        &[host][..],
        &[host, ("origin", "http://127.0.0.1:8405")],
        &[host, ("origin", "http://127.0.0.1:8405"), ("sec-fetch-site", "same-origin")],
    ] {
        assert_eq!(asked(&access, &Method::POST, fields), Ok(()), "{fields:?}");
    }
    for fields in [
        &[host, ("origin", "http://127.0.0.1:8402")][..],
        &[host, ("origin", "null")],
        &[host, ("origin", "https://evil.example")],
        &[host, ("sec-fetch-site", "cross-site")],
        &[host, ("sec-fetch-site", "same-site")],
    ] {
        assert_eq!(asked(&access, &Method::POST, fields), Err("cross_origin"), "{fields:?}");
        assert_eq!(asked(&access, &Method::GET, fields), Err("cross_origin"), "{fields:?}");
    }
    let referer = |page| [host, ("referer", page)];
    assert_eq!(asked(&access, &Method::GET, &referer("http://127.0.0.1:8405/money")), Ok(()));
    assert_eq!(asked(&access, &Method::GET, &referer("https://evil.example/x")), Err("cross_origin"));
}

#[test]
fn a_link_of_another_page_leads_to_the_dashboard_and_to_nothing_else() {
    let access = AdminAccess::new(&AdminConfig::default(), None);
    let fields = |mode, dest| {
        let host = ("host", "localhost:8405");
        [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]
    };
    let link = fields("navigate", "document");
    assert_eq!(asked_at(&access, "/money", &Method::GET, &link), Ok(()));
    for path in ["/api/v1/revenue", "/metrics", "/assets/icon.svg"] {
        assert_eq!(asked_at(&access, path, &Method::GET, &link), Err("cross_origin"), "{path}");
    }
    assert_eq!(asked_at(&access, "/money", &Method::POST, &link), Err("cross_origin"));
    for [mode, dest] in [["no-cors", "image"], ["cors", "empty"], ["navigate", "iframe"]] {
        assert_eq!(asked_at(&access, "/money", &Method::GET, &fields(mode, dest)), Err("cross_origin"), "{dest}");
    }
}

#[test]
fn a_request_carries_the_token_where_there_is_one() {
    let access = AdminAccess::new(&AdminConfig::default(), Some("correct horse battery"));
    let host = ("host", "127.0.0.1:8405");
    for token in ["Bearer correct horse battery", "bearer  correct horse battery"] {
        assert_eq!(asked(&access, &Method::GET, &[host, ("authorization", token)]), Ok(()), "{token}");
    }
    for (token, error) in [
        ("Bearer wrong", "token_wrong"),
        ("Bearer ", "token_wrong"),
        ("Basic correct horse battery", "token_missing"),
        ("correct", "token_missing"),
    ] {
        let given = asked(&access, &Method::GET, &[host, ("authorization", token)]);
        assert_eq!(given, Err(error), "{token}");
    }
    assert_eq!(asked(&access, &Method::GET, &[host]), Err("token_missing"));
}

#[test]
fn an_address_has_few_tries_and_others_have_their_own() {
    let access = AdminAccess::new(&AdminConfig::default(), Some("correct horse battery"));
    let now = Instant::now();
    let (guesser, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let tried = |token: &str, client, now| access.sign_in(token, client, now).map_err(|error| error.code);
    for _ in 0..10 {
        assert_eq!(tried("a guess", guesser, now), Err("token_wrong"));
    }
    assert_eq!(tried("correct horse battery", guesser, now), Err("too_many_tokens"), "not even the right one");
    let session = tried("correct horse battery", other, now).expect("a session");
    assert!(access.sessions.has(&session, now));
    assert!(tried("correct horse battery", guesser, now + std::time::Duration::from_secs(60)).is_ok());
    let [one, neighbour]: [IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().expect("an address"));
    assert_eq!(client_network(one), client_network(neighbour));
}
