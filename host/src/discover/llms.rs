//! Writes `/llms.txt` (llmstxt.org), by which language models find what is sold and how to pay.

use std::fmt::Write as _;

use super::document::Document;
use super::listing::{ListedEndpoint, Listing};
use super::pass::{self, PassText};
use super::{price, text};

/// The most bytes of a summary, and of a request on the command line.
const MAX_SUMMARY: usize = 500;
const MAX_COMMAND: usize = 600;

const HOW_TO_PAY: &str = "\
Paid endpoints are sold by x402, without an account or a key:\n\n\
1. Send the request. The answer is `402 Payment Required`: its header `PAYMENT-REQUIRED` (Base64 of JSON) says in \
`accepts` how much to pay, in which asset, on which network, and to whom.\n\
2. Sign one entry of `accepts` with a wallet (EIP-3009 `TransferWithAuthorization`; it costs no gas), and send the same \
request again with the header `PAYMENT-SIGNATURE`. Any x402 client does both, such as `@x402/fetch` of npm or `x402` of \
PyPI.\n\
3. The answer comes with the header `PAYMENT-RESPONSE`, the receipt. If it does not come, send the same request with the \
same payment again: it is charged once.";

const RETURNING: &str = "Where a payment also buys a pass, its payer returns without paying.";

/// The document.
pub(super) fn document(listing: &Listing) -> Document {
    let mut out = format!("# {}\n\n", text::common_mark(&text::line(&listing.name, MAX_SUMMARY)));
    let _ = writeln!(out, "> {}\n", text::common_mark(&text::line(&listing.summary(), 4 * MAX_SUMMARY)));
    let _ = writeln!(out, "{HOW_TO_PAY} {}", price::FAILED_REQUESTS);
    if listing.endpoints.iter().any(|listed| listed.endpoint.pass().is_some()) {
        let _ = writeln!(out, "\n{RETURNING} {}", pass::BY_ACCOUNT);
    }
    for plugin in listing.plugins() {
        let _ = writeln!(out, "\n## {}\n", text::common_mark(&plugin));
        let own = listing.endpoints.iter().filter(|listed| listed.plugin() == plugin);
        own.for_each(|listed| endpoint(&mut out, listing, listed));
    }
    let documents = documents(listing);
    if !documents.is_empty() {
        let _ = write!(out, "\n## Documents\n\n{documents}");
    }
    Document::new("text/plain; charset=utf-8", out)
}

/// A list entry: a link, what it does, what it costs, and a request.
fn endpoint(out: &mut String, listing: &Listing, listed: &ListedEndpoint) {
    let endpoint = &listed.endpoint;
    let label = text::common_mark(&endpoint.label);
    let summary = text::line(&endpoint.resource.summary, MAX_SUMMARY);
    let summary = if summary.is_empty() {
        String::new()
    } else {
        format!("{}. ", text::common_mark(summary.trim_end_matches('.')))
    };
    let price = text::common_mark(&price::sentence(&endpoint.access));
    let pass = PassText::of(endpoint).map(|pass| format!(" {}", pass.offer())).unwrap_or_default();
    let _ = writeln!(out, "- [{label}](<{}>): {summary}Price: {price}.{pass}", endpoint.url);
    if let Some(command) = command(listing, listed) {
        let _ = writeln!(out, "  Example: {}", text::code_span(&command));
    }
}

/// The example as a command line. None: there is none, it is no text, or it is too long to show.
fn command(listing: &Listing, listed: &ListedEndpoint) -> Option<String> {
    let example = listed.example.as_ref()?;
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let mut command =
        format!("curl -i -X {} {}", example.method, quoted(&format!("{}{}", listing.public_url, example.target)));
    if let Some(media) = &example.media_type {
        let _ = write!(command, " -H {}", quoted(&format!("content-type: {}", media.to_str().ok()?)));
    }
    if !example.body.is_empty() {
        let body = std::str::from_utf8(&example.body).ok()?;
        // A line break of a form would be another one in a document.
        (text::line(body, usize::MAX - 3) == body.trim()).then_some(())?;
        let _ = write!(command, " --data-raw {}", quoted(body));
    }
    (command.len() <= MAX_COMMAND).then_some(command)
}

fn documents(listing: &Listing) -> String {
    let config = &listing.config;
    let published = [
        (config.openapi, "/openapi.json", "OpenAPI 3.1, with schemas and prices"),
        (config.catalog, "/catalog.json", "prices in each asset, health and usual duration of each endpoint"),
    ];
    let mut lines = String::new();
    for (_, path, what) in published.iter().filter(|(is_published, ..)| *is_published) {
        let _ = writeln!(lines, "- [{path}](<{}{path}>): {what}", listing.public_url);
    }
    if let Some(path) = &config.mcp {
        let what = "server of the Model Context Protocol (streamable HTTP), which has each endpoint as a tool";
        let _ = writeln!(lines, "- [{path}](<{}{path}>): {what}", listing.public_url);
    }
    lines
}
