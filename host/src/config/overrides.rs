//! Reads what `[plugin.NAME]` changes of a plugin without a rebuild: `mount`, `accept`, `pay_to` and `routes`.
//!
//! Whether a plugin declares a route is known when it is loaded. Whether there is an `[[accept]]` is known when these are
//! read, see [`check`].

use coinslot_ledger::PassTerms;
use coinslot_plugin::{Template, description_problem, summary_problem};
use coinslot_x402::price::{Accept, Decimal, evm_receiver};

use super::reader::{Field, Section};
use super::types::PluginsConfig;
use super::values::{AmountText, OneOrMore};
use crate::catalog::{AcceptName, PassOverride, PluginOverrides, PriceOverride, Receiver, RouteOverrides, SaleTerms};

/// The methods that plugins declare.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// True for the name of a route that a plugin could declare: method, space and path template.
pub(crate) fn is_route_label(label: &str) -> bool {
    label.split_once(' ').is_some_and(|(method, path)| METHODS.contains(&method) && Template::parse(path).is_ok())
}

/// Reads the changes of one plugin.
pub(super) fn read(name: &str, section: &mut Section<'_, '_>) -> PluginOverrides {
    let (mount, terms) = (mount(name, section), terms(section));
    let fields = section.field("routes").map(|field| field.named("ROUTE")).unwrap_or_default();
    let routes = fields.into_iter().filter_map(|(label, field)| {
        check_label(&label, &field);
        Some((label, route(field.section()?)))
    });
    PluginOverrides { mount, terms, routes: routes.collect() }
}

/// A path without parameters, below which there is room for other plugins.
fn mount(name: &str, section: &mut Section<'_, '_>) -> Option<Template> {
    let text = section.read::<String>("mount")?;
    match Template::parse(&text) {
        Ok(_) if text == "/" => {
            section.key_problem("mount", "leave it out to serve the paths as they are declared");
            None
        }
        Ok(mount) if mount.has_parameters() => {
            section.key_problem("mount", "a mount has no parameters: write the path out");
            None
        }
        Ok(mount) => Some(mount),
        Err(problem) => {
            section.key_problem("mount", format!("`{text}`: {problem}: write a path such as \"/{name}\""));
            None
        }
    }
}

/// Refuses the name of a route that no plugin could declare.
fn check_label(label: &str, field: &Field<'_, '_>) {
    if !is_route_label(label) {
        field.problem("name the route as its plugin declares it: method, space and path, such as \"GET /now\"");
    }
}

fn route(mut section: Section<'_, '_>) -> RouteOverrides {
    let is_off = section.read::<bool>("enabled") == Some(false);
    let mut text = |key: &'static str, problem: fn(&str) -> Option<String>| {
        let text = section.read::<String>(key)?;
        if let Some(problem) = problem(&text) {
            section.key_problem(key, problem);
        }
        Some(text)
    };
    let (summary, description) = (text("summary", summary_problem), text("description", description_problem));
    let (price, pass) = (price(&mut section), pass(&mut section));
    RouteOverrides { is_off, summary, description, price, pass, terms: terms(&mut section) }
}

/// The pass of a route: the word `off`, or a table with both of its numbers.
fn pass(section: &mut Section<'_, '_>) -> Option<PassOverride> {
    let field = section.field("pass")?;
    if !field.is_table() {
        let word = field.read::<String>()?;
        if word != "off" {
            section.key_problem("pass", "write `{ seconds = 3600, requests = 100 }`, or \"off\"");
        }
        return Some(PassOverride::Off);
    }
    let mut table = field.section()?;
    let seconds: Option<u64> = table.required("seconds", "the time after the payment, such as 3600");
    let requests: Option<u64> = table.required("requests", "the number of further requests, such as 100");
    match PassTerms::new(seconds?, requests?) {
        Ok(terms) => Some(PassOverride::Terms(terms)),
        Err(problem) => {
            section.key_problem("pass", problem);
            None
        }
    }
}

/// The price of a route: the word `free`, an amount, or the most that a quote may ask.
fn price(section: &mut Section<'_, '_>) -> Option<PriceOverride> {
    let price = section.read::<AmountText>("price").map(|AmountText(text)| text);
    let most = section.read::<AmountText>("max_price").map(|AmountText(text)| text);
    match (price, most) {
        (None, None) => None,
        (Some(_), Some(_)) => {
            section.problem(
                "write `price` for a price that is the same for each request, or `max_price` for one that the plugin \
                 quotes",
            );
            None
        }
        (Some(text), None) if text == "free" => Some(PriceOverride::Free),
        (Some(text), None) => amount(section, "price", text).map(PriceOverride::Exact),
        (None, Some(text)) => amount(section, "max_price", text).map(PriceOverride::AtMost),
    }
}

fn amount(section: &Section<'_, '_>, key: &str, text: String) -> Option<String> {
    let amount = Decimal::parse(&text).map_err(|problem| section.key_problem(key, problem)).ok()?;
    if amount.digits.bytes().all(|digit| matches!(digit, b'0' | b'.')) {
        section.key_problem(key, "above zero; what costs nothing has `price = \"free\"`");
    }
    Some(text)
}

fn terms(section: &mut Section<'_, '_>) -> SaleTerms {
    let accept = section.read::<OneOrMore>("accept").map(|OneOrMore(names)| names);
    if accept.as_ref().is_some_and(Vec::is_empty) {
        section
            .key_problem("accept", "the list is empty: a route that nobody can pay for is switched off by `enabled`");
    }
    let accept = accept.map(|names| names.iter().filter_map(|text| accept_name(section, "accept", text)).collect());
    SaleTerms { accept, pay_to: receivers(section) }
}

fn accept_name(section: &Section<'_, '_>, key: &str, text: &str) -> Option<AcceptName> {
    AcceptName::parse(text).map_err(|problem| section.key_problem(key, problem)).ok()
}

/// One address for all assets, or a table with one for each network or asset.
fn receivers(section: &mut Section<'_, '_>) -> Vec<Receiver> {
    let Some(field) = section.field("pay_to") else { return Vec::new() };
    let texts: Vec<(Option<String>, Option<String>)> = if field.is_table() {
        field.named("ASSET").into_iter().map(|(name, field)| (Some(name), field.read::<String>())).collect()
    } else {
        vec![(None, field.read::<String>())]
    };
    let receiver = |(name, text): (Option<String>, Option<String>)| {
        let of = match &name {
            Some(name) => Some(accept_name(section, "pay_to", name)?),
            None => None,
        };
        let pay_to = evm_receiver(&text?).map_err(|problem| section.key_problem("pay_to", problem)).ok()?;
        Some(Receiver { of, pay_to: pay_to.into() })
    };
    texts.into_iter().filter_map(receiver).collect()
}

/// Reports each name that no entry of `[[accept]]` has, and receivers that could not take the money out.
pub(super) fn check(root: &Section<'_, '_>, plugins: &PluginsConfig, accepts: &[&Accept]) {
    for (plugin, config) in &plugins.by_name {
        let PluginOverrides { mount: _, terms, routes } = &config.overrides;
        check_terms(root, &format!("plugin.{plugin}"), terms, accepts);
        for (label, route) in routes {
            check_terms(root, &format!("plugin.{plugin}.routes.{label:?}"), &route.terms, accepts);
        }
    }
}

fn check_terms(root: &Section<'_, '_>, table: &str, terms: &SaleTerms, accepts: &[&Accept]) {
    let report = |key: &str, problem: String| root.key_problem(&format!("{table}.{key}"), problem);
    let unknown = |name: &AcceptName| {
        let is_known = accepts.iter().any(|accept| name.names(&accept.asset));
        (!is_known).then(|| {
            let known: Vec<String> = accepts.iter().map(|accept| AcceptName::of(&accept.asset).to_string()).collect();
            format!("no [[accept]] is {name}; there is {}", known.join(", "))
        })
    };
    for problem in terms.accept.iter().flatten().filter_map(unknown) {
        report("accept", problem);
    }
    for Receiver { of, pay_to } in &terms.pay_to {
        if let Some(problem) = of.as_ref().and_then(unknown) {
            report("pay_to", problem);
        }
        let own = |accept: &&&Accept| of.as_ref().is_none_or(|name| name.names(&accept.asset));
        if let Some(accept) =
            accepts.iter().filter(own).find(|accept| accept.asset.address.eq_ignore_ascii_case(pay_to))
        {
            let asset = AcceptName::of(&accept.asset);
            report(
                "pay_to",
                format!("{pay_to} is the contract of {asset}, and nobody could take out what is paid to it"),
            );
        }
    }
}
