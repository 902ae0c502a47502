//! Writes the page at `/`: what is sold here, by whom, and how to pay.

use coinslot_plugin::Plugin;
use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::ENDPOINT_PATH;
use super::frame::{PageParts, Seller, cut, paragraphs};
use super::price::{PricesOf, test_mark};
use super::ways::{self, ExampleCall};
use crate::discover::document::{Document, DocumentName};
use crate::discover::listing::{ListedEndpoint, Listing};
use crate::discover::pass::{self, PassText};

/// The endpoints that stand together.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// They have the name of their plugin above them.
    is_named: bool,
    /// The page has said that nothing on it is money.
    is_test: bool,
}

/// The page.
pub(in crate::discover) fn index(listing: &Listing) -> Document {
    let seller = Seller { config: &listing.config, public_url: &listing.public_url };
    let prices: Vec<PricesOf> =
        listing.endpoints.iter().map(|listed| PricesOf::declared(&listed.endpoint.access)).collect();
    let paid = prices.iter().filter(|prices| prices.is_paid()).count();
    let all_test = paid > 0 && prices.iter().filter(|prices| prices.is_paid()).all(PricesOf::is_test);
    let name = seller.name();
    let content = html! {
        h1 { (name) }
        @if let Some(description) = &listing.config.description { div.lead { (paragraphs(description, 2_000)) } }
        @if all_test {
            p.notice { (test_mark()) " Payments here are made on test networks: try everything, nothing is at stake." }
        }
        @if listing.endpoints.is_empty() { p.notice { "Nothing is sold here yet." } }
        @else { (endpoints(listing, &prices, seller.base(), all_test)) }
        @if listing.endpoints.iter().any(|listed| listed.endpoint.pass().is_some()) { (returning()) }
        (example(listing, &prices, &seller))
        (documents(listing, seller.base()))
    };
    seller.page(PageParts { title: name, content, has_script: false, is_index: true })
}

/// The endpoints, in groups by their plugin.
fn endpoints(listing: &Listing, prices: &[PricesOf], base: &str, is_test: bool) -> Markup {
    let listed: Vec<(&ListedEndpoint, &PricesOf)> = listing.endpoints.iter().zip(prices).collect();
    let groups: Vec<_> = listed
        .chunk_by(|(one, _), (other, _)| std::ptr::eq::<Plugin>(&*one.endpoint.plugin, &*other.endpoint.plugin))
        .collect();
    let group = Group { is_named: groups.len() > 1, is_test };
    html! {
        section aria-labelledby="sold" {
            h2 #sold { "What you can call" span.count { " " (listed.len()) } }
            @for members in groups {
                @if group.is_named { h3.group { (cut(&members[0].0.endpoint.plugin.info().name, 80)) } }
                ul.endpoints { @for (listed, prices) in members { li { (endpoint(listed, prices, base, group)) } } }
            }
        }
    }
}

fn endpoint(listed: &ListedEndpoint, prices: &PricesOf, base: &str, group: Group) -> Markup {
    let resource = &listed.endpoint.resource;
    let title =
        if resource.summary.is_empty() { cut(&listed.endpoint.label, 200) } else { cut(&resource.summary, 200) };
    let has_more = !resource.description.is_empty() && resource.description != resource.summary;
    let label = &listed.endpoint.label;
    html! {
        article {
            div.what {
                @if group.is_named { h4 { (title) } } @else { h3 { (title) } }
                p.route {
                    span.method { (listed.endpoint.method) } " " code { (cut(listed.endpoint.path.as_str(), 300)) }
                }
                @if has_more { div.quiet { (paragraphs(&resource.description, 400)) } }
            }
            div.cost {
                p.price { (cut(&prices.short(), 80)) }
                @if prices.is_paid() { p.quiet { "on " (cut(&prices.networks(), 120)) } }
                @if let Some(pass) = PassText::of(&listed.endpoint) { p.quiet { "and " (pass.extent()) } }
                @if prices.is_test() && !group.is_test { p.quiet { (test_mark()) } }
                a.button href={ (base) (address(label)) } { "Try it" span.unseen { ": " (cut(label, 200)) } }
            }
        }
    }
}

/// The advice to payers about what a payment buys beside its answer.
fn returning() -> Markup {
    html! {
        section aria-labelledby="returning" {
            h2 #returning { "Return without paying" }
            p { "Where a payment buys more requests, too, its payer makes them without another payment. " (pass::BY_BROWSER) }
        }
    }
}

/// The path and the query of the page of an endpoint.
pub fn address(label: &str) -> String {
    format!("{ENDPOINT_PATH}?{}", utf8_percent_encode(label, NON_ALPHANUMERIC))
}

/// The ways to pay, by the example of the first endpoint that is paid, or of the first.
fn example(listing: &Listing, prices: &[PricesOf], seller: &Seller<'_>) -> Markup {
    let called =
        listing.endpoints.iter().zip(prices).filter_map(|(listed, prices)| Some((listed.example.as_ref()?, prices)));
    let Some((request, prices)) = called.clone().find(|(_, prices)| prices.is_paid()).or_else(|| called.clone().next())
    else {
        return html! {};
    };
    let url = format!("{}{}", seller.public_url, request.target);
    ways::section(seller, &ExampleCall::of(request, &url), prices.is_paid())
}

/// Links to the documents that are published for programs.
fn documents(listing: &Listing, base: &str) -> Markup {
    let is_for_programs = |name: &DocumentName| {
        !matches!(name, DocumentName::Index | DocumentName::Endpoint | DocumentName::Robots | DocumentName::Icon)
    };
    let published: Vec<DocumentName> = DocumentName::ALL
        .into_iter()
        .filter(|name| is_for_programs(name) && name.is_published(&listing.config))
        .collect();
    html! {
        @if !published.is_empty() {
            section aria-labelledby="documents" {
                h2 #documents { "For programs" }
                ul.links {
                    @for name in published { li { a href={ (base) (name.path()) } { code { (name.path()) } } } }
                }
            }
        }
    }
}
