//! Reads `[discover]`: what the host publishes about itself and what is sold.

use std::path::Path;

use coinslot_base::text::drives_terminal;
use coinslot_plugin::Template;
use url::Url;

use super::reader::Section;
use super::types::{Accent, DiscoverConfig, Robots};

/// The most characters of the name, and of the description.
const MAX_NAME: usize = 80;
const MAX_DESCRIPTION: usize = 2_000;

/// Reads the table. Without it everything is published.
pub(super) fn read(root: &mut Section<'_, '_>, base: &Path) -> DiscoverConfig {
    let mut section = root.section("discover");
    let default = DiscoverConfig::default();
    DiscoverConfig {
        name: text(&mut section, "name", MAX_NAME),
        description: text(&mut section, "description", MAX_DESCRIPTION),
        email: email(&mut section),
        website: page(&mut section, "website"),
        terms: page(&mut section, "terms"),
        accent: accent(&mut section),
        logo: section.read::<String>("logo").map(|file| base.join(file)),
        ownership_proofs: proofs(&mut section),
        index: section.read("index").unwrap_or(default.index),
        openapi: section.read("openapi").unwrap_or(default.openapi),
        well_known: section.read("well_known").unwrap_or(default.well_known),
        catalog: section.read("catalog").unwrap_or(default.catalog),
        llms: section.read("llms").unwrap_or(default.llms),
        robots: robots(&mut section).unwrap_or(default.robots),
        bazaar: section.read("bazaar").unwrap_or(default.bazaar),
        paywall: section.read("paywall").unwrap_or(default.paywall),
        mcp: mcp(&mut section).unwrap_or(default.mcp),
    }
}

/// A text for people, without control characters but line breaks.
fn text(section: &mut Section<'_, '_>, key: &'static str, most: usize) -> Option<String> {
    let text: String = section.read(key)?;
    let is_plain = !text.chars().any(|c| c != '\n' && drives_terminal(c));
    if text.trim().is_empty() || text.chars().count() > most || !is_plain {
        section.key_problem(key, format!("plain text of 1 to {most} characters"));
    }
    Some(text)
}

fn email(section: &mut Section<'_, '_>) -> Option<String> {
    let email: String = section.read("email")?;
    let is_address = email.len() <= 254
        && email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        && email.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"',;:\\()[]".contains(&byte));
    if !is_address {
        section.key_problem("email", format!("`{email}` is not an address such as `sales@example.com`"));
    }
    Some(email)
}

/// The address of a page.
fn page(section: &mut Section<'_, '_>, key: &'static str) -> Option<Url> {
    let url: Url = section.read(key)?;
    let is_page = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    if !is_page {
        section.key_problem(key, "the address of a page, with http or https and without a user");
    }
    Some(url)
}

fn accent(section: &mut Section<'_, '_>) -> Option<Accent> {
    let text: String = section.read("accent")?;
    let accent = Accent::parse(&text);
    if accent.is_none() {
        section.key_problem("accent", format!("`{text}` is not a colour such as `#1a56db`"));
    }
    accent
}

/// Signatures of 65 bytes. Whether they are of the public address and of a receiver is checked when they are published.
fn proofs(section: &mut Section<'_, '_>) -> Vec<String> {
    let proofs: Vec<String> = section.read("ownership_proofs").unwrap_or_default();
    for (index, proof) in proofs.iter().enumerate() {
        let digits = proof.strip_prefix("0x").unwrap_or_default();
        if digits.len() != 130 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let advice = "a signature as `coinslot discover prove` prints it: 0x and 130 hexadecimal digits";
            section.key_problem(&format!("ownership_proofs[{index}]"), advice);
        }
    }
    proofs
}

fn robots(section: &mut Section<'_, '_>) -> Option<Robots> {
    let word: String = section.read("robots")?;
    let robots = Robots::ALL.into_iter().find(|robots| robots.as_str() == word);
    if robots.is_none() {
        section.key_problem("robots", format!("`{word}` is neither `allow` nor `disallow` nor `off`"));
    }
    robots
}

/// The path of the MCP server; none within for `off`.
fn mcp(section: &mut Section<'_, '_>) -> Option<Option<Template>> {
    let path: String = section.read("mcp")?;
    if path == "off" {
        return Some(None);
    }
    let template = Template::parse(&path).ok().filter(|template| !template.has_parameters() && path != "/");
    if template.is_none() {
        section.key_problem("mcp", format!("`{path}` is neither a path such as `/mcp` nor `off`"));
    }
    Some(template)
}
