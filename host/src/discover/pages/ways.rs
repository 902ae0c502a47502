//! Says how to pay with other clients: a terminal, TypeScript, Python, an agent.

use http::Method;
use maud::{Markup, html};

use super::frame::Seller;
use crate::example::ExampleRequest;

/// The longest body that stands in a line of an example, in bytes.
const MAX_BODY: usize = 600;

/// A request as an example of other clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExampleCall<'e> {
    pub(super) method: &'e Method,
    pub(super) url: &'e str,
    /// The body and its media type, where it is a short text.
    pub(super) body: Option<(&'e str, &'e str)>,
}

impl<'e> ExampleCall<'e> {
    /// The call of a request. `url` is that of its target.
    pub(super) fn of(request: &'e ExampleRequest, url: &'e str) -> Self {
        let body = std::str::from_utf8(&request.body).ok();
        let body =
            body.filter(|body| !body.is_empty() && body.len() <= MAX_BODY && !body.chars().any(char::is_control));
        let media_type = request.media_type.as_ref().and_then(|media| media.to_str().ok());
        Self { method: &request.method, url, body: body.zip(media_type) }
    }

    /// The arguments of `curl`, which are those of `coinslot pay`, too.
    fn arguments(&self) -> String {
        let mut words = Vec::new();
        let implied = if self.body.is_some() { Method::POST } else { Method::GET };
        if *self.method != implied {
            words.push(format!("-X {}", self.method));
        }
        if let Some((body, media_type)) = self.body {
            words.push(format!("-H {} -d {}", quoted(&format!("content-type: {media_type}")), quoted(body)));
        }
        words.push(quoted(self.url));
        words.join(" ")
    }

    /// The second argument of `fetch`, if it needs one.
    fn options(&self) -> String {
        let mut options = Vec::new();
        if *self.method != Method::GET {
            options.push(format!("method: {}", json(self.method.as_str())));
        }
        if let Some((body, media_type)) = self.body {
            options.push(format!("headers: {{ \"content-type\": {} }}, body: {}", json(media_type), json(body)));
        }
        if options.is_empty() { String::new() } else { format!(", {{ {} }}", options.join(", ")) }
    }

    /// The arguments of a call of Python's httpx behind the URL.
    fn keywords(&self) -> String {
        self.body
            .map(|(body, media_type)| {
                format!(", content={}, headers={{\"content-type\": {}}}", json(body), json(media_type))
            })
            .unwrap_or_default()
    }
}

/// The section with the ways. `networks` are those that are paid on.
pub(super) fn section(seller: &Seller<'_>, call: &ExampleCall<'_>, is_paid: bool) -> Markup {
    let arguments = call.arguments();
    let pay = format!("coinslot pay {arguments}");
    let (agent, by_agent) = match &seller.config.mcp {
        Some(path) => (
            "A desktop agent gets every endpoint as a tool by coinslot mcp, which pays within its budget. One that pays \
             by itself connects to the MCP server. Others run coinslot pay, which pays no more than its limit.",
            format!("coinslot mcp {0} --budget 1/day\n{0}{path}\n{pay} --max 0.10", seller.public_url),
        ),
        None => ("An agent runs this command, which pays no more than its limit.", format!("{pay} --max 0.10")),
    };
    html! {
        section.ways-to-pay aria-labelledby="ways" {
            h2 #ways { @if is_paid { "Pay from a program" } @else { "Call it from a program" } }
            @if is_paid {
                (way("Terminal", "curl shows the price in the header PAYMENT-REQUIRED. coinslot pay signs and pays.",
                    &format!("curl -i {arguments}\n{pay}")))
                (way("TypeScript", "With the packages @x402/fetch, @x402/evm and viem.", &typescript(call)))
                (way("Python", "With the packages x402[evm] and httpx.", &python(call)))
                (way("Agent", agent, &by_agent))
            } @else {
                (way("Terminal", "It is free: no payment is asked for.", &format!("curl {arguments}")))
            }
        }
    }
}

fn way(title: &str, text: &str, code: &str) -> Markup {
    html! {
        details.more {
            summary { (title) }
            p { (text) }
            pre.scroll tabindex="0" role="region" aria-label={ "Example: " (title) } { code { (code) } }
        }
    }
}

fn typescript(call: &ExampleCall<'_>) -> String {
    format!(
        "import {{ wrapFetchWithPaymentFromConfig }} from \"@x402/fetch\";\n\
         import {{ ExactEvmScheme }} from \"@x402/evm\";\n\
         import {{ privateKeyToAccount }} from \"viem/accounts\";\n\n\
         const signer = privateKeyToAccount(process.env.PRIVATE_KEY);\n\
         const pay = wrapFetchWithPaymentFromConfig(fetch, {{\n  \
           schemes: [{{ network: \"eip155:*\", client: new ExactEvmScheme(signer) }}],\n\
         }});\n\
         const answer = await pay({}{});\n\
         console.log(await answer.text());",
        json(call.url),
        call.options()
    )
}

fn python(call: &ExampleCall<'_>) -> String {
    format!(
        "import asyncio, os\n\n\
         from eth_account import Account\n\
         from x402 import x402Client\n\
         from x402.http.clients import x402HttpxClient\n\
         from x402.mechanisms.evm.exact.register import register_exact_evm_client\n\
         from x402.mechanisms.evm.signers import EthAccountSigner\n\n\
         signer = EthAccountSigner(Account.from_key(os.environ[\"PRIVATE_KEY\"]))\n\
         client = register_exact_evm_client(x402Client(), signer)\n\n\n\
         async def main():\n    \
             async with x402HttpxClient(client) as http:\n        \
                 answer = await http.request({}, {}{})\n        \
                 print(answer.text)\n\n\n\
         asyncio.run(main())",
        json(call.method.as_str()),
        json(call.url),
        call.keywords()
    )
}

/// A text as a word of a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A text as a string of JavaScript and Python.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
