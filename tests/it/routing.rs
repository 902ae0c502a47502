//! Whatever way a path or a method is written, a paid endpoint is never served unpaid.

use coinslot_tests::{Host, guest, raw};

/// Sends bytes as they are and gives the status line.
async fn status_line(host: &Host, request: &str) -> String {
    let answer = raw(&host.url(""), request.as_bytes()).await;
    answer.lines().next().unwrap_or("closed").to_owned()
}

#[tokio::test]
async fn no_spelling_of_a_path_dodges_the_price() {
    let host = Host::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    let spellings = [
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
    ];
    assert!(spellings.len() >= 60);
    for spelling in spellings {
        let status =
            status_line(&host, &format!("GET {spelling} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        let code = status.split(' ').nth(1).unwrap_or("closed");
        assert!(matches!(code, "402" | "400" | "404" | "closed"), "{spelling:?}: {status}");
    }
}

#[tokio::test]
async fn no_method_dodges_the_price() {
    let host = Host::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    for (method, expected) in [
        ("GET", "402"),
        ("HEAD", "402"),
        ("OPTIONS", "204"),
        ("POST", "405"),
        ("PUT", "405"),
        ("DELETE", "405"),
        ("PATCH", "405"),
        ("TRACE", "405"),
        ("CONNECT", "400"),
        ("get", "405"),
        ("Get", "405"),
        ("GETX", "405"),
    ] {
        let request =
            format!("{method} /api/gitignore HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let status = status_line(&host, &request).await;
        let code = status.split(' ').nth(1).unwrap_or("closed");
        assert!(code == expected || (method == "CONNECT" && code != "200"), "{method}: {status}");
    }
    let overridden = status_line(
        &host,
        "GET /api/gitignore HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: OPTIONS\r\nConnection: close\r\n\r\n",
    );
    assert!(overridden.await.contains(" 402"));
}

#[tokio::test]
async fn an_odd_host_is_refused() {
    let host = Host::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
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
