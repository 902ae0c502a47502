//! The socket: JSON-RPC's own rules, HTTP, and what a browser asks for.

use super::*;

#[tokio::test]
async fn malformed_calls_get_the_standards_errors() {
    let world = World::start().await;
    let deep = "[".repeat(100_000);
    for (body, code, id) in [
        ("", -32700, Value::Null),
        ("{", -32700, Value::Null),
        ("\u{0}", -32700, Value::Null),
        (deep.as_str(), -32700, Value::Null),
        ("[]", -32600, Value::Null),
        ("1", -32600, Value::Null),
        ("\"eth_chainId\"", -32600, Value::Null),
        ("{}", -32600, Value::Null),
        (r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#, -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{"a":1}}"#, -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":"x","method":"eth_sendTransaction","params":[{}]}"#, -32601, json!("x")),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[]}"#, -32602, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#, -32602, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":[null]}"#, -32602, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":["x","y"]}"#, -32602, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{},"newest"]}"#, -32602, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"data":"0x01","input":"0x02"}]}"#, -32602, json!(1)),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{},"latest",{"0x0000000000000000000000000000000000000001":{}}]}"#,
            -32602,
            json!(1),
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"address":5}]}"#, -32602, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0xzz"]}"#, -32602, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"evm_setNextBlockTimestamp","params":[-1]}"#, -32602, json!(1)),
        (r#"{"jsonrpc":"2.0","id":1,"method":"anvil_mine","params":["0xffffffffffffffff"]}"#, -32602, json!(1)),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionByBlockNumberAndIndex","params":["0x0","0x0"]}"#,
            0,
            json!(1),
        ),
    ] {
        let answer = world.post(body.to_owned()).await;
        let start = &body[..body.len().min(80)];
        assert_eq!(answer["jsonrpc"], "2.0", "{start}");
        assert_eq!(answer["id"], id, "{start}");
        assert_eq!(answer["error"]["code"].as_i64().unwrap_or(0), code, "{start}: {answer}");
        assert!(code == 0 || !answer["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(world.ask("eth_chainId", json!([])).await, "0x14a34");
}

#[tokio::test]
async fn a_batch_is_answered_call_by_call_and_notifications_are_not() {
    let world = World::start().await;
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" },
        { "jsonrpc": "2.0", "method": "eth_chainId" },
        5,
        { "jsonrpc": "2.0", "id": "b", "method": "net_version", "params": [] },
        { "jsonrpc": "2.0", "id": 3, "method": "no_such" },
    ]);
    let answers = world.post(batch.to_string()).await;
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(1), Value::Null, json!("b"), json!(3)]);
    assert_eq!(answers[0]["result"], "0x14a34");
    assert_eq!(answers[2]["result"], "84532");
    let silent = world.http.post(world.devnet.rpc_url()).body(r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#);
    assert_eq!(silent.send().await.unwrap().text().await.unwrap(), "");
    let many = vec![json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" }); 1_001];
    assert_eq!(world.post(Value::Array(many).to_string()).await["error"]["code"], -32600);
}

#[tokio::test]
async fn a_browser_may_call_from_any_page() {
    let world = World::start().await;
    let url = world.devnet.rpc_url();
    let preflight = world.http.request(reqwest::Method::OPTIONS, &url).header("origin", "https://app.example");
    let answer = preflight.send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(answer.headers()["access-control-allow-headers"], "*");
    let call = world.http.post(&url).header("origin", "https://app.example");
    let answer = call.body(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#).send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(world.http.get(&url).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_foreign_page_reads_and_pays_and_does_not_change_the_chain_itself() {
    let world = World::start().await;
    let url = world.devnet.rpc_url();
    let call = async |origin: Option<&str>, body: &Value| {
        // A browser sends a text without asking before.
        let mut call = world.http.post(&url).header("content-type", "text/plain").body(body.to_string());
        if let Some(origin) = origin {
            call = call.header("origin", origin);
        }
        serde_json::from_str::<Value>(&call.send().await.unwrap().text().await.unwrap()).unwrap()
    };
    let mine = json!({ "jsonrpc": "2.0", "id": 1, "method": "evm_mine" });
    let revert = json!({ "jsonrpc": "2.0", "id": 2, "method": "evm_revert", "params": ["0x1"] });
    let read = json!({ "jsonrpc": "2.0", "id": 3, "method": "eth_blockNumber" });
    let height = async || {
        let height = world.ask("eth_blockNumber", json!([])).await;
        u64::from_str_radix(height.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let before = height().await;
    for origin in ["https://app.example", "null", "https://localhost.example"] {
        let answers = call(Some(origin), &json!([mine, revert, read])).await;
        for refused in &answers.as_array().unwrap()[..2] {
            let text = refused["error"]["message"].as_str().unwrap();
            assert!(text.contains("from a page of localhost"), "{origin}: {text}");
        }
        assert_eq!(answers[2]["result"], format!("{before:#x}"), "{origin}: nothing was mined");
    }
    for (mined, origin) in [None, Some("http://localhost:5173"), Some("chrome-extension://abc")].into_iter().enumerate()
    {
        assert_eq!(call(origin, &mine).await["result"], "0x0", "{origin:?}");
        assert_eq!(height().await, before + 1 + mined as u64);
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let world = World::start().await;
    let body = vec![b' '; 4 * 1024 * 1024 + 1];
    let answer = world.http.post(world.devnet.rpc_url()).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn the_first_questions_of_wallets_are_answered() {
    let world = World::start().await;
    for (method, params, result) in [
        ("eth_accounts", json!([]), json!([])),
        ("eth_syncing", json!([]), json!(false)),
        ("net_version", json!([]), json!("84532")),
        ("eth_blockNumber", json!([]), json!("0x0")),
        ("eth_getTransactionReceipt", json!([B256::ZERO]), Value::Null),
        ("eth_getTransactionByHash", json!([B256::ZERO]), Value::Null),
        ("eth_getCode", json!([world.seller, "latest"]), json!("0x")),
        ("eth_getBalance", json!([world.relayer.address(), "latest"]), json!("0xde0b6b3a7640000")),
        ("eth_maxPriorityFeePerGas", json!([]), json!("0xf4240")),
    ] {
        assert_eq!(world.ask(method, params).await, result, "{method}");
    }
    let version = world.ask("web3_clientVersion", json!([])).await;
    assert!(version.as_str().unwrap().starts_with(crate::CLIENT_VERSION_PREFIX));
}
