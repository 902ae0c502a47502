//! Writes the page of an endpoint, on which a person sends a request and pays for it: the paywall, which answers a
//! browser with 402, and the page that the index leads to.

use coinslot_plugin::Segment;
use coinslot_x402::Flow;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::data;
use super::form::InputForm;
use super::frame::{PageParts, Seller, cut, paragraphs};
use super::price::{PricesOf, test_mark};
use super::ways::{self, ExampleCall};
use crate::discover::document::Document;
use crate::discover::pass::{self, PassText};
use crate::endpoint::{Access, Endpoint};

/// An endpoint as one page shows it.
pub(in crate::discover) struct EndpointView<'v> {
    pub(in crate::discover) seller: Seller<'v>,
    pub(in crate::discover) endpoint: &'v Endpoint,
    pub(in crate::discover) prices: PricesOf,
    /// The path parameters and the query of the request, if the page answers one.
    pub(in crate::discover) params: &'v [(String, String)],
    pub(in crate::discover) query: Option<&'v str>,
    /// Set if the page answers a request that has to be paid.
    pub(in crate::discover) is_paywall: bool,
    /// A wallet of a development chain, as the page's script uses it.
    pub(in crate::discover) test_wallet: Option<Value>,
}

/// The page.
pub(in crate::discover) fn endpoint(view: &EndpointView<'_>) -> Document {
    let EndpointView { seller, endpoint, prices, .. } = view;
    let resource = &endpoint.resource;
    let title = if resource.summary.is_empty() { &endpoint.label } else { &resource.summary };
    let title = cut(title, 200);
    let has_more = !resource.description.is_empty() && resource.description != resource.summary;
    let form = InputForm::of(&endpoint.info(), view.params, view.query);
    let pays = prices.is_paid() && seller.config.paywall;
    let content = html! {
        @if view.is_paywall { p.above { "Payment required" } }
        h1 { (title) }
        p.route { span.method { (endpoint.method) } " " code { (cut(endpoint.path.as_str(), 300)) } }
        @if has_more { div.lead { (paragraphs(&resource.description, 2_000)) } }
        section #kept hidden aria-labelledby="kept-title" {
            h2 #kept-title { "A payment that you have signed" }
            div #kept-list {}
        }
        section.card aria-labelledby="request-title" {
            h2 .unseen #request-title { "Request" }
            (price(view))
            (request(view, &form, pays))
            div #state role="status" aria-live="polite" aria-atomic="true" {}
            div #wallets hidden {}
        }
        (answer())
        (other_ways(view))
        (data::element("data", &script_data(view, &form, pays)))
    };
    let title = format!("{title} · {}", seller.name());
    seller.page(PageParts { title, content, has_script: true, is_index: false })
}

fn price(view: &EndpointView<'_>) -> Markup {
    let EndpointView { endpoint, prices, test_wallet, .. } = view;
    let pass = PassText::of(endpoint);
    let is_first = matches!(&endpoint.access, Access::Paid(paid) if paid.flow == Flow::Upfront);
    html! {
        div.price-card {
            p.price { span data-price { (cut(&prices.short(), 80)) } }
            p.quiet {
                @if !prices.is_paid() { "no payment is asked for" }
                @else if prices.at_most { "for one request; the exact price depends on it" }
                @else { "for one request" }
            }
            @if is_first { p.quiet { "It is paid first. If it then fails, the same payment fetches the answer later." } }
            @if prices.is_test() { p { (test_mark()) } }
            @if test_wallet.is_some() && prices.is_paid() {
                p.quiet { "The test wallet of this page signs by itself, as soon as you press the button." }
            }
            @if let Some(pass) = pass { p.pass { (pass.offer()) " " span.quiet { (pass::BY_BROWSER) } } }
        }
        @if prices.is_paid() { (prices.choice(test_wallet.is_none())) }
    }
}

/// The form. Its button is there without the script only where a browser sends the right request by itself.
fn request(view: &EndpointView<'_>, form: &InputForm, pays: bool) -> Markup {
    let endpoint = view.endpoint;
    let is_native = form.is_native(endpoint.declared());
    let action = format!("{}{}", view.seller.base(), endpoint.path);
    let method = (is_native && endpoint.method == http::Method::POST).then_some("post");
    let is_paid = view.prices.is_paid();
    html! {
        form #request action=[is_native.then_some(&action)] method=[method] novalidate[!is_native] {
            (form.markup())
            @if pays || !is_paid {
                button #send type="submit" hidden[!is_native] { @if is_paid { "Ask for the price" } @else { "Send" } }
            }
        }
        @if is_paid && !pays { p.notice { "This page does not pay. See below how a program does." } }
        noscript {
            p.notice {
                @if is_paid { "Without JavaScript this page cannot pay. See below how a program does." }
                @else if !is_native {
                    "Without JavaScript this page cannot send the request. See below how a program does."
                }
            }
        }
    }
}

/// The places of the answer and the receipt, which the script fills.
fn answer() -> Markup {
    html! {
        section.card #answer hidden tabindex="-1" aria-labelledby="answer-title" {
            h2 #answer-title { "The answer" }
            div #answer-body {}
        }
        section.card #receipt hidden aria-labelledby="receipt-title" {
            h2 #receipt-title { "Receipt" }
            div #receipt-body {}
        }
    }
}

/// The commands by which other clients call the endpoint: with this request, or with an example of one.
fn other_ways(view: &EndpointView<'_>) -> Markup {
    let public_url = view.seller.public_url;
    let is_paid = view.prices.is_paid();
    match &view.endpoint.example {
        Some(example) => {
            let url = format!("{public_url}{}", example.target);
            ways::section(&view.seller, &ExampleCall::of(example, &url), is_paid)
        }
        None => {
            let url = format!("{public_url}{}", view.endpoint.path);
            let call = ExampleCall { method: &view.endpoint.method, url: &url, body: None };
            ways::section(&view.seller, &call, is_paid)
        }
    }
}

/// The facts of the endpoint for the script.
fn script_data(view: &EndpointView<'_>, form: &InputForm, pays: bool) -> Value {
    let endpoint = view.endpoint;
    let segment = |segment: &Segment| match segment {
        Segment::Literal(text) => json!({ "text": text }),
        Segment::Parameter(name) => json!({ "name": name }),
        Segment::Rest(name) => json!({ "name": name, "isRest": true }),
    };
    json!({
        "route": endpoint.label,
        "method": endpoint.method.as_str(),
        "base": view.seller.base(),
        "segments": endpoint.path.segments().iter().map(segment).collect::<Vec<_>>(),
        "body": form.data(),
        "isPaid": view.prices.is_paid(),
        "pays": pays,
        "atMost": view.prices.at_most,
        "prices": view.prices.data(),
        "seller": view.seller.name(),
        "testWallet": view.test_wallet,
    })
}
