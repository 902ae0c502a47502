//! Agents list and call the endpoints as tools, with the official client of MCP, and pay in the metadata of a call.

use std::time::Duration;

use alloy::primitives::U256;
use coinslot_tests::{DevHost, DevHostBuilder, McpClient, TestChain, declaring, guest};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// A host with the guest `behaviours`, and a client.
struct AgentHost {
    host: DevHost,
    agent: McpClient,
}

impl AgentHost {
    async fn open(name: &str) -> Self {
        Self::of(DevHost::builder().plugin(&format!("{name}.wasm"), &guest(name))).await
    }

    /// A host with the examples of the SDK, which need some grants.
    async fn open_examples() -> Self {
        let builder = DevHost::builder().plugin("examples.wasm", &guest("examples"));
        let grants = "[plugin.guest-examples]\nfile = \"examples.wasm\"\nkeyvalue = true\nhttp = [\"http://127.0.0.1:9\"]\n\
                      [plugin.guest-examples.config]\nsource = \"http://127.0.0.1:9\"\n";
        std::fs::write(builder.path("coinslot.toml"), grants).expect("a file");
        Self::of(builder.arguments(&["--config", "coinslot.toml"])).await
    }

    async fn of(builder: DevHostBuilder) -> Self {
        let host = builder.start().await;
        let agent = McpClient::connect(&host.url("/mcp")).await;
        Self { host, agent }
    }

    async fn paid(&self) -> U256 {
        self.host.chain().balance(self.host.seller()).await
    }

    /// The payment of an account for a tool, as the result of an unpaid call asks for it.
    async fn payment(&self, account: usize, tool: &str, arguments: &Value) -> Value {
        let asked = self.agent.call(tool, arguments.clone(), None).await;
        self.host.payer(account).pay_entry(&asked["structuredContent"]["accepts"][0]).document
    }
}

fn with(payment: &Value) -> Option<Value> {
    Some(json!({ "x402/payment": payment }))
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_agent_lists_tools_with_their_prices_and_calls_a_free_one() {
    let shop = AgentHost::open("behaviours").await;
    let about = shop.agent.ask(json!({ "do": "about" })).await.expect("what it says");
    assert_eq!(about["capabilities"]["tools"]["listChanged"], true);
    assert!(about["instructions"].as_str().expect("a text").contains("x402/payment"));
    let tools = shop.agent.tools().await;
    let order = &tools["guest-behaviours_post_orders"];
    assert_eq!(order["title"], "Orders some pieces");
    let price = &order["_meta"]["coinslot/price"];
    assert_eq!((&price["access"], &price["prices"][0]["amount"]), (&json!("paid"), &json!("10000")));
    assert_eq!(order["_meta"]["coinslot/endpoint"]["url"], shop.host.url("/orders"));
    assert!(order["description"].as_str().expect("a text").contains("0.01 USDC"), "{order}");
    assert_eq!(order["inputSchema"]["type"], "object");
    assert_eq!(order["inputSchema"]["properties"]["body"]["required"], json!(["count", "colour"]));
    assert_eq!(
        order["annotations"],
        json!({ "readOnlyHint": false, "destructiveHint": false, "idempotentHint": false, "openWorldHint": true })
    );
    let greet = &tools["guest-behaviours_greet_name"];
    assert_eq!(greet["annotations"]["readOnlyHint"], true);
    assert!(greet["inputSchema"]["properties"].get("path").is_some(), "{greet}");
    assert_eq!(tools["guest-behaviours_delete_items_id"]["annotations"]["destructiveHint"], true);
    let item = shop.agent.call("guest-behaviours_items_id", json!({ "path": { "id": "a b" } }), None).await;
    assert_eq!((item["isError"].as_bool(), text(&item)), (Some(false), "item a b"));
    let words = json!({ "body": { "words": ["one", "two"] } });
    assert_eq!(text(&shop.agent.call("guest-behaviours_post_words", words, None).await), "2 words");
    let without = shop.agent.call("guest-behaviours_items_id", json!({}), None).await;
    assert_eq!(without["isError"], true);
    assert!(text(&without).contains("a value for `id`"), "{without}");
    let unknown = shop.agent.ask(json!({ "do": "call", "name": "nothing" })).await.expect_err("no such tool");
    assert!(unknown.contains("there is no tool `nothing`"), "{unknown}");
}

/// The transport of x402 for MCP: requirements as a value and as the same text, the receipt in the metadata.
#[tokio::test]
async fn an_unpaid_call_asks_for_a_payment_and_a_paid_one_carries_its_receipt() {
    let shop = AgentHost::open("behaviours").await;
    let order = json!({ "body": { "count": 3, "colour": "red" } });
    let asked = shop.agent.call("guest-behaviours_post_orders", order.clone(), None).await;
    assert_eq!(asked["isError"], true);
    let required = &asked["structuredContent"];
    assert_eq!(serde_json::from_str::<Value>(text(&asked)).expect("JSON"), *required);
    assert_eq!((&required["x402Version"], &required["accepts"][0]["amount"]), (&json!(2), &json!("10000")));
    assert_eq!(required["resource"]["url"], shop.host.url("/orders"));
    assert_eq!(asked["_meta"]["coinslot/answer"]["status"], 402);
    let payment = shop.host.payer(0).pay_entry(&required["accepts"][0]).document;
    let paid = shop.agent.call("guest-behaviours_post_orders", order.clone(), with(&payment)).await;
    assert_eq!((paid["isError"].as_bool(), &paid["structuredContent"]), (Some(false), &json!({ "ordered": 3 })));
    assert_eq!(text(&paid), r#"{"ordered":3}"#);
    let receipt = &paid["_meta"]["x402/payment-response"];
    assert_eq!((&receipt["success"], receipt["transaction"].as_str().map(str::len)), (&json!(true), Some(66)));
    assert_eq!(shop.paid().await, U256::from(10_000));
    let again = shop.agent.call("guest-behaviours_post_orders", order, with(&payment)).await;
    assert_eq!(
        (&again["structuredContent"], &again["_meta"]["x402/payment-response"]),
        (&json!({ "ordered": 3 }), receipt)
    );
    assert_eq!(shop.paid().await, U256::from(10_000), "one payment, one answer");
    shop.host.wait_for_ledger(&["delivered"]).await;
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_paid() {
    let shop = AgentHost::open("behaviours").await;
    let refused = shop
        .agent
        .call("guest-behaviours_post_orders", json!({ "body": { "count": 1_000, "colour": "red" } }), None)
        .await;
    assert_eq!((&refused["isError"], &refused["structuredContent"]["pointer"]), (&json!(true), &json!("/body/count")));
    let order = json!({ "body": { "count": 51, "colour": "blue" } });
    let payment = shop.payment(0, "guest-behaviours_post_orders", &order).await;
    let sold_out = shop.agent.call("guest-behaviours_post_orders", order, with(&payment)).await;
    assert_eq!((&sold_out["isError"], &sold_out["_meta"]["coinslot/answer"]["status"]), (&json!(true), &json!(409)));
    assert!(text(&sold_out).contains("sold_out") && sold_out["_meta"].get("x402/payment-response").is_none());
    let payment = shop.payment(0, "guest-behaviours_fail", &json!({})).await;
    let failed = shop.agent.call("guest-behaviours_fail", json!({}), with(&payment)).await;
    assert_eq!((&failed["isError"], &failed["_meta"]["coinslot/answer"]["charged"]), (&json!(true), &json!("no")));
    assert_eq!(shop.paid().await, U256::ZERO, "an answer of 400 and above is not settled");
}

#[tokio::test]
async fn a_payment_that_is_wrong_or_somebody_elses_buys_nothing() {
    let shop = AgentHost::open("behaviours").await;
    let order = json!({ "body": { "count": 3, "colour": "red" } });
    let asked = shop.agent.call("guest-behaviours_post_orders", order.clone(), None).await;
    let entry = &asked["structuredContent"]["accepts"][0];
    let low = shop.host.payer(0).pay_with(entry, |authorization| authorization.value = U256::from(9_999)).document;
    for wrong in [low, json!({ "x402Version": 2, "accepted": entry }), json!("a text"), json!({ "x402Version": 1 })] {
        let refused = shop.agent.call("guest-behaviours_post_orders", order.clone(), with(&wrong)).await;
        assert_eq!(refused["isError"], true, "{refused}");
        assert!(refused["structuredContent"]["accepts"].is_array(), "it asks anew: {refused}");
    }
    assert_eq!(shop.paid().await, U256::ZERO);
    let payment = shop.host.payer(0).pay_entry(entry).document;
    let paid = shop.agent.call("guest-behaviours_post_orders", order.clone(), with(&payment)).await;
    assert_eq!(paid["isError"], false, "{paid}");
    // Whoever reads the chain has the signature, and not the secret of the challenge.
    let mut rebuilt = payment.clone();
    rebuilt["accepted"]["extra"].as_object_mut().expect("extra").remove("secret");
    let stolen = shop.agent.call("guest-behaviours_post_orders", order, with(&rebuilt)).await;
    assert!(stolen["isError"] == true && !text(&stolen).contains("ordered"), "{stolen}");
    let other = json!({ "body": { "count": 4, "colour": "red" } });
    let elsewhere = shop.agent.call("guest-behaviours_post_orders", other, with(&payment)).await;
    assert!(elsewhere["isError"] == true && !text(&elsewhere).contains("ordered"), "{elsewhere}");
    assert_eq!(shop.paid().await, U256::from(10_000));
}

/// Both doors have one claim: what was paid at one is fetched at the other.
#[tokio::test]
async fn a_payment_buys_the_same_answer_over_http_and_by_mcp() {
    let shop = AgentHost::open("behaviours").await;
    let greeting = json!({ "path": { "name": "Ada" }, "query": { "times": 2 } });
    let challenge = shop.host.client().get(shop.host.url("/greet/Ada?times=2")).send().await.expect("an answer");
    let payment = shop.host.payer(1).pay(&challenge);
    let paid = shop.agent.call("guest-behaviours_greet_name", greeting, with(&payment.document)).await;
    assert_eq!(text(&paid), "Hello, Ada!Hello, Ada!", "{paid}");
    let url = shop.host.url("/greet/Ada?times=2");
    let fetched = shop.host.client().get(url).header("payment-signature", payment.header()).send().await;
    assert_eq!(fetched.expect("an answer").text().await.expect("a text"), "Hello, Ada!Hello, Ada!");
    assert_eq!(shop.paid().await, U256::from(1_000));
    assert_eq!(shop.host.ledger().len(), 1);
}

#[tokio::test]
async fn fifty_copies_of_one_paid_call_run_once_and_settle_once() {
    let shop = AgentHost::open("behaviours").await;
    let arguments = json!({ "query": {} });
    let payment = shop.payment(0, "guest-behaviours_receipt", &arguments).await;
    let mut agents = Vec::new();
    for _ in 0..5 {
        agents.push(std::sync::Arc::new(McpClient::connect(&shop.host.url("/mcp")).await));
    }
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (agent, payment, arguments) =
            (std::sync::Arc::clone(&agents[number % 5]), payment.clone(), arguments.clone());
        calls.spawn(async move { agent.call("guest-behaviours_receipt", arguments, with(&payment)).await });
    }
    let results = calls.join_all().await;
    let payer = shop.host.payer(0).address().to_string();
    let (answered, waiting): (Vec<_>, Vec<_>) = results.iter().partition(|result| result["isError"] == false);
    assert!(!answered.is_empty(), "{results:?}");
    for result in &answered {
        assert_eq!(result["structuredContent"]["payer"].as_str().map(str::to_lowercase), Some(payer.to_lowercase()));
        assert_eq!(result["_meta"]["x402/payment-response"], answered[0]["_meta"]["x402/payment-response"]);
    }
    for result in waiting {
        assert!(["409", "503"].contains(&&*result["_meta"]["coinslot/answer"]["status"].to_string()), "{result}");
    }
    assert_eq!(shop.paid().await, U256::from(3_000));
    shop.host.wait_for_ledger(&["delivered"]).await;
}

#[tokio::test]
async fn a_change_of_the_tools_is_told_to_clients_that_wait() {
    let builder = DevHost::builder();
    let file = builder.path("plugins/declared.wasm");
    std::fs::write(&file, declaring("GET:/one free")).expect("a component");
    let host = builder.start().await;
    let agent = McpClient::connect(&host.url("/mcp")).await;
    assert!(agent.tools().await.contains_key("declared_one"));
    std::fs::write(&file, declaring("GET:/one free;POST:/two exact 0.01")).expect("a component");
    let told = agent.ask(json!({ "do": "changes", "least": 1 })).await.expect("a count");
    assert_eq!(told["changes"], 1);
    let tools = agent.tools().await;
    assert!(tools.contains_key("declared_one") && tools.contains_key("declared_post_two"), "{tools:?}");
}

#[tokio::test]
async fn a_streamed_answer_comes_as_progress_before_its_result() {
    let shop = AgentHost::open_examples().await;
    let tools = shop.agent.tools().await;
    let name = tools.keys().find(|name| name.contains("countdown")).expect("the tool").clone();
    let arguments = json!({ "query": { "start": 2 } });
    let payment = shop.payment(0, &name, &arguments).await;
    let call = json!({ "do": "call", "name": name, "arguments": arguments, "meta": with(&payment), "progress": true });
    let streamed = shop.agent.ask(call).await.expect("a result");
    let notices = streamed["notices"].as_array().expect("a list");
    assert!(notices.len() >= 2, "{streamed}");
    let pieces: String = notices.iter().map(|notice| notice["message"].as_str().expect("a text")).collect();
    assert_eq!(pieces, text(&streamed["result"]), "the result has the whole answer");
    let first = notices[0]["at"].as_u64().expect("a time");
    assert!(streamed["at"].as_u64().expect("a time") >= first + 500, "the first piece came while the others were made");
    assert_eq!(streamed["result"]["_meta"]["x402/payment-response"]["success"], true);
}

#[tokio::test]
async fn answers_are_content_of_their_kind() {
    let shop = AgentHost::open_examples().await;
    let tools = shop.agent.tools().await;
    let name = tools.keys().find(|name| name.contains("tone")).expect("the tool").clone();
    let arguments = json!({ "query": { "hertz": 440, "milliseconds": 20 } });
    let payment = shop.payment(0, &name, &arguments).await;
    let tone = shop.agent.call(&name, arguments, with(&payment)).await;
    let content = &tone["content"][0];
    assert_eq!((&content["type"], &content["mimeType"]), (&json!("audio"), &json!("audio/wav")), "{tone}");
    assert!(content["data"].as_str().expect("Base64").starts_with("UklGR"), "RIFF");
}

/// An agent that gives up is a client that hangs up: what runs for a payment runs on, and what is free stops.
#[tokio::test]
async fn a_call_that_is_given_up_is_as_one_whose_client_hung_up() {
    let shop = AgentHost::open("behaviours").await;
    let payment = shop.payment(0, "guest-behaviours_receipt", &json!({})).await;
    let call =
        json!({ "do": "call", "name": "guest-behaviours_receipt", "arguments": {}, "meta": with(&payment), "id": 7 });
    let (given_up, _) = tokio::join!(shop.agent.ask(call), async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        shop.agent.ask(json!({ "do": "abort", "id": 7 })).await.expect("given up")
    });
    drop(given_up);
    // Whatever it had come to: the same payment buys the answer once.
    let mut answered = shop.agent.call("guest-behaviours_receipt", json!({}), with(&payment)).await;
    while answered["isError"] == true {
        assert!(["409", "503"].contains(&&*answered["_meta"]["coinslot/answer"]["status"].to_string()), "{answered}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        answered = shop.agent.call("guest-behaviours_receipt", json!({}), with(&payment)).await;
    }
    assert_eq!(shop.paid().await, U256::from(3_000));
}

/// The protocol of 2026-07-28 has no handshake: each message says what it speaks.
#[tokio::test]
async fn messages_need_no_session_in_any_version() {
    let shop = AgentHost::open("behaviours").await;
    let url = shop.host.url("/mcp");
    let post =
        |body: Value| shop.host.client().post(&url).header("content-type", "application/json").body(body.to_string());
    let listed = post(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })).send().await.expect("an answer");
    assert_eq!(listed.headers()["content-type"], "application/json");
    assert_eq!(listed.headers()["access-control-allow-origin"], "*");
    assert!(!listed.headers().contains_key("mcp-session-id"));
    let listed: Value = listed.json().await.expect("JSON");
    assert!(listed["result"]["tools"].as_array().expect("a list").len() > 10, "{listed}");
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let begun = post(initialize).send().await.expect("an answer");
    assert_eq!(begun.headers()["mcp-session-id"].len(), 32);
    let begun: Value = begun.json().await.expect("JSON");
    assert_eq!(begun["result"]["protocolVersion"], "2025-06-18");
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "t", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let call = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "guest-behaviours_items_special", "arguments": {}, "_meta": meta } });
    let called = post(call).header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
    let called = called.header("mcp-name", "guest-behaviours_items_special").send().await.expect("an answer");
    let called: Value = called.json().await.expect("JSON");
    assert_eq!(called["result"]["content"][0]["text"], "special", "{called}");
}

#[tokio::test]
async fn what_is_no_message_is_refused_in_bounds() {
    let shop = AgentHost::open("behaviours").await;
    let url = shop.host.url("/mcp");
    let post = |body: Vec<u8>| shop.host.client().post(&url).header("content-type", "application/json").body(body);
    let status = |sent: Result<reqwest::Response, reqwest::Error>| sent.expect("an answer").status();
    assert_eq!(status(post(vec![b' '; (4 << 20) + 1]).send().await), StatusCode::PAYLOAD_TOO_LARGE);
    for text in
        ["", "nonsense", "[]", "{}", "\u{0}", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":3}"]
    {
        let answered = status(post(text.as_bytes().to_vec()).send().await);
        assert!(answered.is_client_error() || answered == StatusCode::OK, "{text}: {answered}");
    }
    let opened = shop.host.client().get(&url).header("accept", "text/html").send().await;
    assert_eq!(status(opened), StatusCode::NOT_ACCEPTABLE);
    assert_eq!(status(shop.host.client().put(&url).send().await), StatusCode::METHOD_NOT_ALLOWED);
    let asked = shop.host.client().request(reqwest::Method::OPTIONS, &url).send().await.expect("an answer");
    assert_eq!(asked.headers()["allow"], "DELETE, GET, HEAD, OPTIONS, POST");
    let rebound =
        post(b"{}".to_vec()).header("host", "evil.example").header("origin", "http://evil.example").send().await;
    assert_eq!(status(rebound), StatusCode::FORBIDDEN);
    assert!(shop.agent.tools().await.len() > 10, "it goes on");
}

#[tokio::test]
async fn the_operator_moves_the_path_and_switches_it_off() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], "[discover]\nmcp = \"off\"\n").await;
    let off = reqwest::Client::new().post(host.url("/mcp")).body("{}").send().await.expect("an answer");
    assert_eq!(off.status(), StatusCode::NOT_FOUND);
    host.write_configuration(&host.configuration().replace("\"off\"", "\"/agents\""));
    host.signal("HUP");
    host.wait_for_log("the configuration is active", 1).await;
    let agent = McpClient::connect(&host.url("/agents")).await;
    assert!(!agent.tools().await.is_empty(), "the operator has moved it");
}
