//! Puts the content of a page into its frame: the seller's name, logo and colour, and the policy of the page.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use coinslot_base::text::{excerpt, first_chars, one_line};
use http::HeaderValue;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::colour;
use crate::config::DiscoverConfig;
use crate::discover::document::Document;

/// The style of every page.
const STYLE: &str = include_str!("style.css");

/// The script of the pages that send requests and pay, without a reference to anything outside of it.
const SCRIPT: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("script/page.js"),
    include_str!("script/request.js"),
    include_str!("script/kept.js"),
    include_str!("script/wallets.js"),
    include_str!("script/payment.js"),
    include_str!("script/answer.js"),
    include_str!("script/purchase.js"),
    "})();\n"
);

/// The icon of a seller without a logo.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E\
                    %3Ccircle cx='16' cy='16' r='15' fill='%231a56db'/%3E%3Crect x='14' y='7' width='4' height='18' \
                    rx='2' fill='%23fff'/%3E%3C/svg%3E";

/// The path of the operator's logo, which is the icon of the host.
const LOGO: &str = "/favicon.ico";

/// The seller, as the pages show it.
#[derive(Clone, Copy, Debug)]
pub(in crate::discover) struct Seller<'s> {
    pub(in crate::discover) config: &'s DiscoverConfig,
    /// The public address, without a slash at its end.
    pub(in crate::discover) public_url: &'s str,
}

/// The parts of a page.
pub(super) struct PageParts {
    pub(super) title: String,
    pub(super) content: Markup,
    /// True if the page has the script that sends requests and pays.
    pub(super) has_script: bool,
    /// True for the page that everything leads to.
    pub(super) is_index: bool,
}

impl Seller<'_> {
    /// The name of the service: the operator's, or the host of the public address.
    pub(super) fn name(&self) -> String {
        let host = self.public_url.split_once("://").map_or(self.public_url, |(_, host)| host);
        cut(self.config.name.as_deref().unwrap_or(host), 80)
    }

    /// The path that a proxy puts before every path; empty for most hosts.
    pub(super) fn base(&self) -> &str {
        let rest = self.public_url.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').map_or("", |at| &rest[at..])
    }

    /// A page in its frame.
    pub(super) fn page(&self, parts: PageParts) -> Document {
        let PageParts { title, content, has_script, is_index } = parts;
        let colours = colour::rules(self.config.accent.as_ref());
        let (name, base) = (self.name(), self.base());
        let icon = if self.config.logo.is_some() { format!("{base}{LOGO}") } else { ICON.to_owned() };
        let index = format!("{base}/");
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) }
                    link rel="icon" href=(icon);
                    style { (PreEscaped(STYLE)) }
                    @if let Some(rules) = &colours { style { (PreEscaped(rules)) } }
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.bar {
                        // The index has the name as its title.
                        @if is_index { p.seller { (logo(&icon)) } }
                        @else if self.config.index {
                            a.seller href=(index) { (logo(&icon)) span { (name) } }
                        } @else {
                            p.seller { (logo(&icon)) span { (name) } }
                        }
                    }
                    main #main tabindex="-1" { (content) }
                    footer { (self.contact()) }
                    @if has_script { script { (PreEscaped(SCRIPT)) } }
                }
            }
        };
        Document::page(page.into_string(), policy(colours.as_deref(), has_script))
    }

    fn contact(&self) -> Markup {
        let DiscoverConfig { email, website, terms, .. } = self.config;
        html! {
            p {
                @if let Some(website) = website { a href=(website) { "Website" } " " }
                @if let Some(email) = email { a href={ "mailto:" (email) } { (email) } " " }
                @if let Some(terms) = terms { a href=(terms) { "Terms of sale" } " " }
            }
            p { "Paid by x402: no account, no card. Served by Coinslot." }
        }
    }
}

fn logo(icon: &str) -> Markup {
    html! { img.logo src=(icon) alt="" width="28" height="28"; }
}

/// The policy for the browser, which loads and runs the style and the script of the page, and nothing else. Pictures
/// and sounds are those of answers.
fn policy(colours: Option<&str>, has_script: bool) -> HeaderValue {
    static STYLE_DIGEST: LazyLock<String> = LazyLock::new(|| digest(STYLE));
    static SCRIPT_DIGEST: LazyLock<String> = LazyLock::new(|| digest(SCRIPT));
    let style = format!(
        "style-src {}{}",
        *STYLE_DIGEST,
        colours.map(|rules| format!(" {}", digest(rules))).unwrap_or_default()
    );
    let script = match has_script {
        true => format!("script-src {}; connect-src 'self'; media-src blob:; ", *SCRIPT_DIGEST),
        false => String::new(),
    };
    let policy = format!(
        "default-src 'none'; {script}{style}; img-src 'self' data: blob:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    // Base64 in words is a header value.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

fn digest(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// As much of a text as has room on a page, in one line.
pub(super) fn cut(text: &str, most: usize) -> String {
    excerpt(&one_line(text), most)
}

/// The paragraphs of a text, of which a page shows `most` characters. An empty line ends a paragraph. A line break alone
/// does not: comments in a plugin's source are wrapped.
pub(super) fn paragraphs(text: &str, most: usize) -> Markup {
    let shown = first_chars(text, most);
    let is_whole = shown.len() == text.len();
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    html! {
        @for lines in lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()) {
            p { (one_line(&lines.join(" "))) }
        }
        @if !is_whole { p { "..." } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_stay_in_their_elements_and_load_nothing() {
        let contains = |text: &str, forbidden: &str| text.to_ascii_lowercase().contains(forbidden);
        for forbidden in ["</style", "@import", "url(", "http://", "https://"] {
            assert!(!contains(STYLE, forbidden), "{forbidden}");
        }
        for forbidden in ["</script", "<!--", "innerhtml", "eval(", "import(", "http://", "https://"] {
            assert!(!contains(SCRIPT, forbidden), "{forbidden}");
        }
    }

    #[test]
    fn a_seller_behind_a_proxy_has_its_path_before_every_path() {
        let config = DiscoverConfig::default();
        let seller = |public_url| Seller { config: &config, public_url };
        assert_eq!(seller("https://a.example").base(), "");
        assert_eq!(seller("https://a.example/api/v1").base(), "/api/v1");
        assert_eq!(seller("https://a.example:8443").name(), "a.example:8443");
    }
}
