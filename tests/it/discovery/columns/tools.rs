//! Reads what agents are told of the routes: the tools of MCP, as the official client lists them.

use std::collections::BTreeMap;

use coinslot_tests::{McpClient, ServeHost};
use serde_json::Value;

use super::{Among, Column, Said, decimal, key, price, text_of};

/// Every route is one tool.
pub(super) async fn by_tools(host: &ServeHost) -> Column {
    let agent = McpClient::connect(&host.url("/mcp")).await;
    let mut routes = BTreeMap::new();
    for (name, tool) in agent.tools().await {
        let endpoint = &tool["_meta"]["coinslot/endpoint"];
        let url = text_of(&endpoint["url"]);
        let path = url.strip_prefix(&host.url("")).expect("a URL of this host");
        let former = routes.insert(key(text_of(&endpoint["method"]), path), said(&tool, url));
        assert!(former.is_none(), "{name} is the second tool of its endpoint");
    }
    Column { name: "tools/list", among: Among::All, routes }
}

fn said(tool: &Value, url: &str) -> Said {
    let summary = text_of(&tool["title"]).to_owned();
    let description = text_of(&tool["description"]);
    let terms = &tool["_meta"]["coinslot/price"];
    let is_free = terms["access"] == "free";
    // The price, what a payment buys beside the answer, and the plugin's own words.
    let (sentence, rest) = description.split_once("\n\n").unwrap_or((description, ""));
    let text = match rest.strip_prefix("A payment also buys a pass") {
        Some(pass) => pass.split_once("\n\n").map_or("", |(_, text)| text),
        None => rest,
    };
    let prices: Vec<_> = terms["prices"].as_array().into_iter().flatten().map(|entry| price(entry, "amount")).collect();
    assert!(prices.is_empty() == is_free && (sentence == "Free of charge.") == is_free, "{tool:#}");
    for price in &prices {
        let spoken = format!("{} USDC on {} to {}", decimal(price.amount), price.network, price.pay_to);
        assert!(sentence.contains(&spoken), "{sentence:?} does not say {spoken:?}");
    }
    let text = match text.strip_prefix(&summary) {
        Some("") | None => text,
        Some(more) => more.trim_start(),
    };
    let shown = terms["text"].as_str();
    let number =
        |text: &str| text.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned);
    let is_quoted = terms["quoted"].as_bool().unwrap_or_default();
    assert_eq!(sentence.contains("quoted, at most "), is_quoted, "{sentence}");
    Said {
        url: Some(url.to_owned()).filter(|url| !url.contains('{')),
        text: Some(text.to_owned()),
        summary: Some(summary),
        prices: Some(prices),
        is_quoted: Some(is_quoted),
        dollars: shown.and_then(number),
        input: Some(tool["inputSchema"].clone()),
        output: output(tool, is_free),
        pass: None,
    }
}

/// The schema of an answer. That of a paid tool allows the payment requirements, too.
fn output(tool: &Value, is_free: bool) -> Option<Value> {
    let schema = tool.get("outputSchema")?;
    if is_free {
        return Some(schema.clone());
    }
    let mut answer = schema["anyOf"][0].clone();
    assert_eq!(schema["anyOf"][1]["required"], serde_json::json!(["x402Version", "accepts"]), "{schema:#}");
    for definitions in ["$defs", "definitions"] {
        if let Some(definitions_of) = schema.get(definitions) {
            answer[definitions] = definitions_of.clone();
        }
    }
    Some(answer)
}
