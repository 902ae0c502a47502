//! Checks the description of the admin API: it is valid, it has every path and method that the listener serves and the
//! documentation names, and every answer is as it says.

use std::collections::BTreeSet;

use coinslot_tests::{Receiver, component, judge_api};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::admin::{ask, becomes};
use crate::refunds::BY_COMMAND;
use crate::refunds::by_hand::pay_by_hand;
use crate::refunds::seller::Seller;

/// The methods that a path may be asked by.
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// A path of the description, by a method of it.
type Operation = (String, String);

/// Questions and answers of a listener, as the judge takes them.
struct Exchanges {
    base: String,
    client: Client,
    all: Vec<Value>,
}

impl Exchanges {
    fn new(base: String) -> Self {
        Self { base, client: Client::new(), all: Vec::new() }
    }

    /// Asks for this address of a path of the description, and keeps the answer. Returns its status.
    async fn ask(&mut self, method: Method, path: &str, address: &str, body: Option<&Value>) -> u16 {
        self.ask_as(method, path, address, body, |request| request).await
    }

    async fn ask_as(
        &mut self,
        method: Method,
        path: &str,
        address: &str,
        body: Option<&Value>,
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> u16 {
        let mut request = self.client.request(method.clone(), format!("{}{address}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = with(request).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let fields = answer.headers();
        let field = |name: &str| fields.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        match status {
            401 => assert_eq!(field("www-authenticate").as_deref(), Some("Bearer realm=\"coinslot\"")),
            429 => assert!(field("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok())),
            _ => {}
        }
        let kind = field("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().to_owned();
        let text = answer.text().await.expect("text");
        self.all.push(json!({
            "method": method.as_str(),
            "path": path,
            "request": body,
            "status": status,
            "type": kind,
            "body": text,
        }));
        status
    }

    /// The operations that were answered so.
    fn answered(&self, is_it: impl Fn(u64) -> bool) -> BTreeSet<Operation> {
        let text = |exchange: &Value, name: &str| exchange[name].as_str().expect("a text").to_owned();
        let found = self.all.iter().filter(|exchange| is_it(exchange["status"].as_u64().expect("a status")));
        found.map(|exchange| (text(exchange, "method"), text(exchange, "path"))).collect()
    }

    /// Asserts that the description is valid, and that every answer is as it says.
    fn are_as_described(&self, description: &Value) {
        let faults = judge_api(&json!({ "description": description, "exchanges": self.all }));
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

/// Every path and method of a description.
fn described(description: &Value) -> BTreeSet<Operation> {
    let paths = description["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").keys();
        methods.map(|method| (method.to_uppercase(), path.clone()))
    });
    operations.collect()
}

/// An address of a path, of things that this host has.
fn address(path: &str, payment: &str) -> String {
    path.replace("{id}", payment).replace("{plugin}", "upfront")
}

/// A seller with a webhook, an allowance, a key and a refund's wallet, that has sold, failed and owes. Returns the payment
/// that it owes an answer for.
async fn seller(receiver: &Receiver) -> (Seller, String) {
    let more = format!(
        "[[webhook]]\nurl = \"{}\"\nsecret_file = \"key\"\n\
         [[allow]]\nplugin = \"echo\"\nrequests = 2\nper = \"address\"\nevery = \"1d\"\n",
        receiver.url()
    );
    let seller = Seller::start_with(BY_COMMAND, &more).await;
    let host = &seller.host;
    for name in ["unruly", "echo"] {
        host.install(&format!("{name}.wasm"), &component(name));
    }
    let active = |files: &Value| {
        let files = files.as_array().expect("files");
        files.iter().filter(|file| !file["active"].is_null()).count() == 3
    };
    becomes(host, "/api/v1/plugins", active).await;
    let minute = std::time::Duration::from_secs(60);
    assert_eq!(host.buy(seller.chain.payer(1), "/unruly?recurse", minute).await.statuses, [500]);
    let free = Client::new().post(host.url("/echo")).body("mine").send().await.expect("an answer");
    assert_eq!(free.status(), 200, "{}", host.log());
    seller.local(["keys", "add", "acme", "--quota", "5", "--every", "1d"].map(Into::into).to_vec()).await;
    host.install_another_build("upfront");
    becomes(host, "/api/v1/plugins", |files| {
        files.as_array().expect("files").iter().any(|file| !file["previous"].is_null())
    })
    .await;
    let debt = seller.owe(0).await;
    for list in
        ["payments", "failed", "owed", "free", "free/totals", "keys", "allowances", "webhooks/attempts", "audit"]
    {
        becomes(host, &format!("/api/v1/{list}"), |found| !found[0].is_null() || !found["allow"].is_null()).await;
    }
    (seller, debt.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_is_described_and_answers_as_described() {
    let receiver = Receiver::start().await;
    let (seller, payment) = seller(&receiver).await;
    let description = ask(&seller.host, "/api/v1/openapi.json").await;
    let operations = described(&description);
    assert_eq!(operations, documented(), "the description, and the table of host/docs/admin.md");

    let mut exchanges = Exchanges::new(seller.host.admin());
    for (_, path) in operations.iter().filter(|(method, _)| method == "GET") {
        assert_eq!(exchanges.ask(Method::GET, path, &address(path, &payment), None).await, 200, "{path}");
    }
    let changes = changes(&payment, &pay_by_hand(&seller, &payment).await, &receiver.url());
    for (path, body, status) in &changes {
        let what = format!("{path} {body}\n{}", seller.host.log());
        assert_eq!(exchanges.ask(Method::POST, path, path, Some(body)).await, *status, "{what}");
    }
    assert_eq!(exchanges.answered(|status| status < 300), operations, "each was asked for, and answered well");

    // How each is refused before it is asked.
    for (method, path) in &operations {
        let (method, address) = (Method::from_bytes(method.as_bytes()).expect("a method"), address(path, &payment));
        for (field, value, status) in [("host", "evil.example", 421), ("origin", "https://evil.example", 403)] {
            let foreign = |request: RequestBuilder| request.header(field, value);
            assert_eq!(exchanges.ask_as(method.clone(), path, &address, None, foreign).await, status, "{path}");
        }
        if method == Method::POST {
            assert_eq!(exchanges.ask(method, path, &address, Some(&json!({ "colour": "red" }))).await, 400, "{path}");
        }
    }
    with_other_methods(&exchanges, &operations, &payment).await;
    for address in ["/api/v1/payments?colour=red", "/api/v1/audit?kind=x", "/api/v1/webhooks/attempts?limit=0"] {
        let path = address.split('?').next().expect("a path");
        assert_eq!(exchanges.ask(Method::GET, path, address, None).await, 400, "{address}");
    }
    for (path, address, status) in [
        ("/api/v1/payments/{id}", "/api/v1/payments/abc", 404),
        ("/api/v1/payments/{id}", "/api/v1/payments/%ff", 400),
        ("/api/v1/plugins/{plugin}/logs", "/api/v1/plugins/nobody/logs", 404),
    ] {
        assert_eq!(exchanges.ask(Method::GET, path, address, None).await, status, "{address}");
    }

    // Without a ledger the reports say so, and nothing else does.
    let file = seller.host.path(".coinslot/ledger.db");
    std::fs::rename(&file, file.with_extension("away")).expect("moved");
    let mut unreadable = BTreeSet::new();
    for (method, path) in operations.iter().filter(|(method, _)| method == "GET") {
        let status = exchanges.ask(Method::GET, path, &address(path, &payment), None).await;
        assert!([200, 503].contains(&status), "{path}: {status}");
        if status == 503 {
            unreadable.insert((method.clone(), path.clone()));
        }
    }
    assert!(unreadable.len() >= 10, "{unreadable:?}");
    exchanges.are_as_described(&description);
}

/// Changes that are asked for one after the other, with the status of each answer.
fn changes(payment: &str, transaction: &str, webhook: &str) -> Vec<(&'static str, Value, u16)> {
    let plugin = |name: &str, dry: bool| json!({ "plugin": name, "dryRun": dry });
    let level = |name: &str, dry: bool| json!({ "plugin": name, "level": "off", "forSeconds": 60, "dryRun": dry });
    let resend = |url: &str, dry: bool| json!({ "url": url, "after": 0, "dryRun": dry });
    let refund = |id: &str, dry: bool| json!({ "payment": id, "dryRun": dry });
    vec![
        ("/api/v1/plugins/pause", plugin("upfront", true), 200),
        ("/api/v1/plugins/pause", plugin("upfront", false), 200),
        ("/api/v1/plugins/pause", plugin("nobody", true), 404),
        ("/api/v1/plugins/resume", plugin("upfront", true), 200),
        ("/api/v1/plugins/resume", plugin("upfront", false), 200),
        ("/api/v1/plugins/resume", plugin("nobody", false), 404),
        ("/api/v1/plugins/rollback", plugin("upfront", true), 200),
        ("/api/v1/plugins/rollback", plugin("echo", true), 409),
        ("/api/v1/plugins/rollback", plugin("nobody", true), 404),
        ("/api/v1/plugins/rollback", plugin("upfront", false), 200),
        ("/api/v1/log-level", level("upfront", true), 200),
        ("/api/v1/log-level", level("upfront", false), 200),
        ("/api/v1/log-level", level("nobody", true), 404),
        ("/api/v1/webhooks/resend", resend(webhook, true), 200),
        ("/api/v1/webhooks/resend", resend(webhook, false), 202),
        ("/api/v1/webhooks/resend", resend("http://nowhere.example/", true), 404),
        ("/api/v1/owed/settle", json!({ "payment": "abc", "notPaid": true }), 404),
        ("/api/v1/owed/settle", json!({ "payment": payment, "notPaid": true }), 409),
        ("/api/v1/owed/settle", json!({ "payment": payment }), 400),
        (
            "/api/v1/owed/settle",
            json!({ "payment": payment, "by": transaction, "senderIsMine": true, "dryRun": true }),
            200,
        ),
        ("/api/v1/owed/refund", refund(payment, true), 200),
        ("/api/v1/owed/refund", refund("abc", true), 404),
        ("/api/v1/owed/refund", refund(payment, false), 200),
        ("/api/v1/owed/refund", refund(payment, false), 409),
    ]
}

/// Asserts that each path refuses every method that is not described, and says which it takes.
async fn with_other_methods(exchanges: &Exchanges, operations: &BTreeSet<Operation>, payment: &str) {
    let paths: BTreeSet<&str> = operations.iter().map(|(_, path)| &**path).collect();
    for path in paths {
        let takes = |method: &Method| operations.contains(&(method.to_string(), path.to_owned()));
        for method in METHODS.into_iter().filter(|method| !takes(method)) {
            let url = format!("{}{}", exchanges.base, address(path, payment));
            let answer = exchanges.client.request(method.clone(), url).send().await.expect("an answer");
            assert_eq!(answer.status(), 405, "{method} {path}");
            let allowed = answer.headers()["allow"].to_str().expect("ASCII").to_owned();
            let allowed: BTreeSet<&str> = allowed.split(',').filter(|allowed| *allowed != "HEAD").collect();
            let known: BTreeSet<String> = METHODS.iter().filter(|one| takes(one)).map(ToString::to_string).collect();
            assert_eq!(allowed, known.iter().map(String::as_str).collect(), "{path}");
            let body: Value = answer.json().await.expect("JSON, as every error has it");
            assert_eq!(body["error"], "method_not_allowed", "{path}");
        }
    }
}

/// The paths and methods that the table of the documentation names.
fn documented() -> BTreeSet<Operation> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/docs/admin.md")).expect("a page");
    let (_, rest) = page.split_once("## The API").expect("a section");
    let section = rest.split("\n## ").next().expect("its text");
    let first_cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let spans = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    spans.filter_map(|span| span.split_once(' ')).map(|(method, path)| (method.to_owned(), path.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_says_who_is_admitted_and_how_others_are_refused() {
    let chain = coinslot_tests::TestChain::start().await;
    let open = chain.serve(&["status"], "[admin]\nlisten = \"127.0.0.1:0\"\n").await;
    let description = ask(&open, "/api/v1/openapi.json").await;
    assert_eq!(description["security"], json!([{}]), "this listener asks for nothing");
    let schemes = &description["components"]["securitySchemes"];
    assert_eq!((&schemes["token"]["scheme"], &schemes["certificate"]["type"]), (&json!("bearer"), &json!("mutualTLS")));
    let port = open.admin().rsplit(':').next().expect("a port").to_owned();
    let cookie = (&schemes["session"]["in"], &schemes["session"]["name"]);
    assert_eq!(cookie, (&json!("cookie"), &json!(format!("coinslot-admin-{port}"))));

    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "correct-horse-battery").expect("written");
    let config = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{}\"\n", token.path().display());
    let host = chain.serve(&["status"], &config).await;
    let mut exchanges = Exchanges::new(host.admin());
    let with = |token: &'static str| move |request: RequestBuilder| request.bearer_auth(token);
    let path = "/api/v1/openapi.json";
    let right = with("correct-horse-battery");
    assert_eq!(exchanges.ask_as(Method::GET, path, path, None, right).await, 200);
    let body = exchanges.all[0]["body"].as_str().expect("a text");
    let description: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(description["security"], json!([{ "token": [] }, { "session": [] }]));
    // A browser that has signed in is admitted by the cookie of the description.
    let form = exchanges.client.post(format!("{}/login", host.admin())).body("token=correct-horse-battery");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let raw = Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let signed_in = raw.execute(form.build().expect("a form")).await.expect("an answer");
    let cookie = signed_in.headers()["set-cookie"].to_str().expect("ASCII").split(';').next().expect("it").to_owned();
    let name = description["components"]["securitySchemes"]["session"]["name"].as_str().expect("a name");
    assert!(cookie.starts_with(&format!("{name}=")), "{cookie}");
    let session = |request: RequestBuilder| request.header("cookie", &cookie);
    assert_eq!(exchanges.ask_as(Method::GET, "/api/v1/status", "/api/v1/status", None, session).await, 200);

    let operations = described(&description);
    for (method, path) in &operations {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        assert_eq!(exchanges.ask(method, path, &address(path, "abc"), None).await, 401, "{path}");
    }
    assert_eq!(exchanges.answered(|status| status == 401), operations);
    let mut last = 401;
    for _ in 0..100 {
        last = exchanges.ask_as(Method::GET, path, path, None, with("a wrong token of somebody")).await;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429, "{}", host.log());
    exchanges.are_as_described(&description);
}
