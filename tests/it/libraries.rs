//! Pays for plugins that sell what libraries do: zod, marked and the OpenAI client of npm; Markdown, Jinja, slugify and
//! pydantic 1 of PyPI. The libraries are the published ones, at pinned versions.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use coinslot_tests::{DevHost, node_modules, run};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Builds a module of `tests` in a folder with packages, and returns the component.
fn build(dir: &Path, module: &str, packages: Option<&Path>) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(module);
    let name = source.file_name().expect("a file").to_str().expect("UTF-8");
    fs::copy(&source, dir.join(name)).expect("a module");
    if let Some(folder) = packages {
        symlink(folder, dir.join("node_modules")).expect("a link");
    } else {
        fs::copy(source.with_file_name("requirements.txt"), dir.join("requirements.txt")).expect("a list");
    }
    let built = run(dir, &["build", name, "-o", "plugin.wasm"]);
    assert!(built.status.success(), "{module}: {}", String::from_utf8_lossy(&built.stderr));
    dir.join("plugin.wasm")
}

/// Pays for the answer to a JSON document. Returns its status and text.
async fn buy(host: &DevHost, path: &str, document: &Value) -> (u16, String) {
    let ask = || host.client().post(host.url(path)).json(document);
    let challenge = ask().send().await.expect("a challenge");
    assert_eq!(challenge.status(), 402, "{path}: {}", host.log());
    let payment = host.payer(0).pay(&challenge).header();
    let answer = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// Asserts that the host refuses a document before it is paid, and says which field is wrong.
async fn refused(host: &DevHost, path: &str, document: &Value, pointer: &str) {
    let answer = host.client().post(host.url(path)).json(document).send().await.expect("an answer");
    assert_eq!(answer.status(), 400, "{path}");
    let refusal: Value = answer.json().await.expect("JSON");
    assert_eq!(refusal["error"], "invalid_body", "{path}");
    assert!(refusal["message"].as_str().is_some_and(|message| message.contains(pointer)), "{path}: {refusal}");
}

#[tokio::test]
async fn zod_and_marked_are_paid() {
    let dir = tempfile::tempdir().expect("a folder");
    let component = build(dir.path(), "libraries/documents.ts", Some(node_modules()));
    let host = DevHost::builder().plugin("documents.wasm", &component).start().await;
    let document = json!({ "title": "Hi", "text": "*some* text\n\n| a |\n|---|\n| 1 |\n", "tags": ["draft"] });
    let (status, page) = buy(&host, "/html", &document).await;
    assert_eq!(status, 200, "{page}\n{}", host.log());
    assert!(
        page.starts_with("<h1>Hi</h1>\n<b>draft</b><p><em>some</em> text</p>") && page.contains("<td>1</td>"),
        "{page}"
    );
    assert_eq!(buy(&host, "/html", &json!({ "title": "Hi" })).await, (200, "<h1>Hi</h1>\n".to_owned()));
    refused(&host, "/html", &json!({ "title": "" }), "/body/title").await;
    refused(&host, "/html", &json!({ "title": "Hi", "tags": ["other"] }), "/body/tags/0").await;
}

/// Answers as the chat API of OpenAI does, to whoever shows the key: whole, or in events.
async fn chat(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let has_key = request.headers().get("authorization").is_some_and(|key| key == "Bearer hunter2");
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !has_key || path != "/v1/chat/completions" {
        let error = json!({ "error": { "message": "no such key", "type": "invalid_request_error" } });
        return Ok(Response::builder().status(401).body(Full::from(error.to_string())).expect("a response"));
    }
    let said = format!("You asked: {}", asked["messages"][0]["content"].as_str().unwrap_or_default());
    if asked["stream"] != true {
        let message = json!({ "role": "assistant", "content": said });
        let whole = json!({ "id": "1", "object": "chat.completion", "choices": [{ "index": 0, "message": message }] });
        let response = Response::builder().header("content-type", "application/json");
        return Ok(response.body(Full::from(whole.to_string())).expect("a response"));
    }
    let part = |text: &str| {
        let choice = json!({ "index": 0, "delta": { "content": text } });
        format!("data: {}\n\n", json!({ "id": "1", "object": "chat.completion.chunk", "choices": [choice] }))
    };
    let events: String = said.split_inclusive(' ').map(part).chain(["data: [DONE]\n\n".to_owned()]).collect();
    Ok(Response::builder().header("content-type", "text/event-stream").body(Full::from(events)).expect("a response"))
}

/// The API on this machine. Returns its origin.
async fn chat_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(chat)),
            );
        }
    });
    origin
}

#[tokio::test]
async fn the_client_of_openai_asks_with_a_key_that_it_does_not_have() {
    let dir = tempfile::tempdir().expect("a folder");
    let component = build(dir.path(), "libraries/chat.ts", Some(node_modules()));
    let origin = chat_service().await;
    let builder = DevHost::builder().plugin("chat.wasm", &component).arguments(&["--config", "coinslot.toml"]);
    let grants = format!(
        "[plugin.chat]\nhttp = [\"{origin}\"]\n[[plugin.chat.secrets]]\norigin = \"{origin}\"\n\
         header = \"Authorization\"\nprefix = \"Bearer \"\nvalue_env = \"OPENAI_API_KEY\"\n\
         [plugin.chat.config]\napi = \"{origin}/v1\"\n"
    );
    fs::write(builder.path("coinslot.toml"), grants).expect("a file");
    let host = builder.environment("OPENAI_API_KEY", "hunter2").start().await;
    let question = json!({ "question": "what is new?" });
    let (status, answer) = buy(&host, "/ask", &question).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"answer":"You asked: what is new?"}"#), "{}", host.log());
    let (status, events) = buy(&host, "/ask/stream", &question).await;
    assert_eq!(status, 200, "{events}\n{}", host.log());
    let said: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect();
    assert_eq!(said.join(" "), "You asked: what is new?", "{events}");
    refused(&host, "/ask", &json!({ "question": "" }), "/body/question").await;
}

#[tokio::test]
async fn markdown_jinja_slugify_and_pydantic_are_paid() {
    let dir = tempfile::tempdir().expect("a folder");
    let component = build(dir.path(), "../sdk/python/tests/plugins/libraries/app.py", None);
    let host = DevHost::builder().plugin("libraries.wasm", &component).start().await;
    let document = json!({ "title": "<t>", "items": ["a"], "text": "# Hi\n\n|a|\n|-|\n|1|\n" });
    let (status, html) = buy(&host, "/markdown", &document).await;
    assert!(status == 200 && html.starts_with("<h1>Hi</h1>\n<table>"), "{status} {html}\n{}", host.log());
    let (status, page) = buy(&host, "/page", &document).await;
    assert_eq!((status, page.as_str()), (200, "<h1>&lt;t&gt;</h1><p>a</p>"), "{}", host.log());
    let (status, defaults) = buy(&host, "/document", &json!({ "title": "x" })).await;
    assert_eq!((status, defaults.as_str()), (200, r#"{"title":"x","items":[],"text":""}"#), "{}", host.log());
    let ask = || host.client().get(host.url("/slug?text=H%C3%A9llo+W"));
    let payment = host.payer(0).pay(&ask().send().await.expect("a challenge")).header();
    let slug = ask().header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    assert_eq!(slug.text().await.expect("text"), "hello-w");
    refused(&host, "/page", &json!({ "title": "" }), "/body/title").await;
}
