//! Checks that no spelling of a path or a method reaches a paid endpoint without a payment.

use coinslot_tests::{DevHost, DevHostBuilder, declaring, guest, raw};

/// Sends these bytes and returns the status line.
async fn status_line(host: &DevHost, request: &str) -> String {
    let answer = raw(&host.url(""), request.as_bytes()).await;
    answer.lines().next().unwrap_or("closed").to_owned()
}

/// More than sixty spellings of `/api/gitignore`, its parents and its children.
const SPELLINGS: &[&str] = &[
    "/api/gitignore",
    "//api/gitignore",
    "/api//gitignore",
    "/api/gitignore/",
    "/api/./gitignore",
    "/api/x/../gitignore",
    "/api/gitignore/.",
    "/api/gitignore/..",
    "/API/GITIGNORE",
    "/Api/gitignore",
    "/api/gitIgnore",
    "/api%2Fgitignore",
    "/api%2fgitignore",
    "/%61pi/gitignore",
    "/api/git%69gnore",
    "/api/gitignore%00",
    "/api/gitignore%20",
    "/api/gitignore%0a",
    "/api/gitignore%0d%0a",
    "/api/gitignore;a=b",
    "/api;a=b/gitignore",
    "/api\\gitignore",
    "/api%5Cgitignore",
    "/api%5cgitignore",
    "/api/%2e/gitignore",
    "/api/%2E%2E/api/gitignore",
    "/api/gitignore%",
    "/api/gitignore%2",
    "/api/gitignore%zz",
    "/api/gitignore%252F",
    "/api/%2567itignore",
    "/api/gitignore?",
    "/api/gitignore??",
    "/api/gitignore?stack",
    "/api/gitignore#x",
    "/./api/gitignore",
    "/../api/gitignore",
    "/api/gitignore/index",
    "/api/gitignore.json",
    "/api/gitignore.wasm",
    "/api/*",
    "/*",
    "/api/{x}",
    "/api/%7Bx%7D",
    "/api/gitignore&stack=rust",
    "/api/gitignore%3Fstack=rust",
    "/api/gitignore%26",
    "/api/%ff",
    "/api/gitignore%c0%af",
    "/api/%c3%a9",
    "/api/gitignore%E2%80%A8",
    "/api/gitignore%u0065",
    "/api/gitignore+",
    "/api/+gitignore",
    "/ api/gitignore",
    "/api/gitignore\t",
    "/api/gitignore%09",
    "/%",
    "/",
    "",
    "api/gitignore",
    "//evil.example/api/gitignore",
    "/\\evil.example/api/gitignore",
    "http://evil.example/api/gitignore",
    "http:///api/gitignore",
    "http://a@a/api/gitignore",
    "*",
];

/// Installs the guest `declared` with this route and price, or several between semicolons.
fn declared(builder: &DevHostBuilder, file: &str, declaration: &str) {
    std::fs::write(builder.path("plugins").join(file), declaring(declaration)).expect("a component");
}

/// Method and status of the answers to a target, for several methods and versions of HTTP.
async fn answers(host: &DevHost, target: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        for version in ["1.1", "1.0"] {
            let request = format!("{method} {target} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n");
            let status = status_line(host, &request).await;
            answers.push(format!("{method} {}", status.split(' ').nth(1).unwrap_or("closed")));
        }
    }
    answers
}

#[tokio::test]
async fn no_spelling_of_a_path_avoids_the_price() {
    assert!(SPELLINGS.len() >= 60);
    let builder = DevHost::builder();
    declared(&builder, "paid.wasm", "/api/gitignore exact 0.01");
    let host = builder.start().await;
    for spelling in SPELLINGS {
        for answer in answers(&host, spelling).await {
            let (method, status) = answer.split_once(' ').expect("two words");
            let fine = matches!(status, "402" | "400" | "404" | "405" | "closed") || is_index(spelling, status);
            assert!(fine || (method == "OPTIONS" && status == "204"), "{spelling:?}: {answer}");
        }
    }
    assert!(!host.log().contains("ERROR"), "{}", host.log());
}

/// True for the host's own page, which lists what is sold.
fn is_index(spelling: &str, status: &str) -> bool {
    spelling == "/" && status == "200"
}

/// With a free route beside a paid one, a spelling reaches the free route or nothing.
#[tokio::test]
async fn no_spelling_of_a_free_path_reaches_another_route() {
    let builder = DevHost::builder();
    declared(&builder, "free.wasm", "/api/gitignore free");
    // Another route that an odd spelling could reach.
    let beside = builder.plugin("echo.wasm", &guest("echo"));
    let host = beside.start().await;
    let mut served = 0;
    for spelling in SPELLINGS {
        for answer in answers(&host, spelling).await {
            let (method, status) = answer.split_once(' ').expect("two words");
            let fine = matches!(status, "200" | "400" | "404" | "405" | "closed");
            assert!(fine || (method == "OPTIONS" && status == "204"), "{spelling:?}: {answer}");
            served += usize::from(status == "200" && !is_index(spelling, status));
        }
    }
    // The path with and without query or fragment, and with encoded letters; GET and HEAD, HTTP/1.0 and 1.1.
    assert_eq!(served, 7 * 4);
    let same = status_line(&host, "GET /api/%67itignore HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(same.await.contains(" 200"));
}

/// Spellings of a request target.
const FORMS: &[&str] = &["/echo", "http://a/echo", "HTTP://A/echo", "/%65cho", "/echo?"];

/// Header fields that give the length of a body, and the body.
const LENGTHS: &[(&str, &str)] = &[
    ("", ""),
    ("Content-Length: 0\r\n", ""),
    ("Content-Length: 2\r\n", "{}"),
    ("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"),
    ("Content-Length: 2\r\nContent-Length: 0\r\n", "{}"),
    ("Content-Length: 2, 2\r\n", "{}"),
    ("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "0\r\n\r\n"),
];

/// Headers that make other servers treat one method as another.
const OVERRIDES: &[&str] = &[
    "",
    "X-HTTP-Method-Override: GET\r\n",
    "X-HTTP-Method: OPTIONS\r\nX-Method-Override: GET\r\n",
    "X-Original-URL: /free\r\nX-Rewrite-URL: /free\r\n",
];

/// GET of the path is free and POST is paid, so that a confused method would show.
#[tokio::test]
async fn no_method_avoids_the_price() {
    let builder = DevHost::builder();
    declared(&builder, "free.wasm", "/free free");
    let host = builder.plugin("echo.wasm", &guest("echo")).start().await;
    let methods = [
        ("GET", "200"),
        ("HEAD", "200"),
        ("OPTIONS", "204"),
        ("POST", "402"),
        ("PUT", "405"),
        ("DELETE", "405"),
        ("PATCH", "405"),
        ("TRACE", "405"),
        ("QUERY", "405"),
        ("get", "405"),
        ("Get", "405"),
        ("post", "405"),
        ("POSTX", "405"),
        ("GET,POST", "400"),
    ];
    let mut runs = 0;
    for (method, expected) in methods {
        for form in FORMS {
            for (length, body) in LENGTHS {
                for more in OVERRIDES {
                    let request =
                        format!("{method} {form} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}{length}\r\n{body}");
                    let answer = raw(&host.url(""), request.as_bytes()).await;
                    let statuses: Vec<_> = answer.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
                    // A repeated length may be refused for every method.
                    let doubtful = length.matches(": ").count() > 1 || length.contains(',');
                    let fine = statuses == [expected] || (doubtful && statuses == ["400"]);
                    assert!(fine, "{request:?}: {answer}");
                    runs += usize::from(statuses == ["200"]);
                }
            }
        }
    }
    assert_eq!(host.log().matches("echo got").count(), runs, "every run was answered");
    for target in ["/echo", "a:80", "a", "http://a/echo", "*"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let status = status_line(&host, &request).await;
        assert!(
            ["400", "404", "405"].iter().any(|code| status.contains(code)) || status == "closed",
            "{request}{status}"
        );
    }
    let star = status_line(&host, "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(star.contains(" 204"), "{star}");
}

/// A path of one plugin that has a literal for one method and a template for others.
#[tokio::test]
async fn a_literal_path_hides_no_template_of_another_method() {
    let builder = DevHost::builder();
    declared(&builder, "items.wasm", "/items/special free;POST:/items/{id} exact 0.01;DELETE:/items/{x} free");
    let host = builder.start().await;
    let ask = async |method: &str, path: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        host.client().request(method, host.url(path)).send().await.expect("an answer")
    };
    for (method, path, expected) in [
        ("GET", "/items/special", 200),
        ("HEAD", "/items/special", 200),
        ("POST", "/items/special", 402),
        ("DELETE", "/items/special", 200),
        ("POST", "/items/7", 402),
        ("DELETE", "/items/7", 200),
        ("GET", "/items/7", 405),
        ("HEAD", "/items/7", 405),
        ("PATCH", "/items/special", 405),
        ("PATCH", "/items", 404),
    ] {
        assert_eq!(ask(method, path).await.status(), expected, "{method} {path}");
    }
    for (method, path, expected) in [
        ("PATCH", "/items/special", ["DELETE", "GET", "HEAD", "OPTIONS", "POST"].as_slice()),
        ("OPTIONS", "/items/special", &["DELETE", "GET", "HEAD", "OPTIONS", "POST"]),
        ("GET", "/items/7", &["DELETE", "OPTIONS", "POST"]),
    ] {
        let reply = ask(method, path).await;
        let allowed = reply.headers()["allow"].to_str().expect("ASCII");
        let mut allowed: Vec<&str> = allowed.split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_missing_duplicate_or_conflicting_host_is_refused() {
    let host = DevHost::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    for request in [
        "GET /api/gitignore HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /api/gitignore HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET /api/gitignore HTTP/1.1\r\nHost: user@a\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/api/gitignore HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /api/gitignore HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n",
    ] {
        let status = status_line(&host, request).await;
        assert!(status.contains(" 400"), "{request:?}: {status}");
    }
}
