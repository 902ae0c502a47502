//! Shows what an endpoint declares.

use coinslot_base::text::printable;
use coinslot_ledger::PassTerms;
use coinslot_plugin::{DeclaredPrice, EndpointInfo};

/// The widths of the columns that the lines of several endpoints share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    method: usize,
    path: usize,
    price: usize,
}

impl Columns {
    /// As wide as the widest of these endpoints needs.
    pub(super) fn of(endpoints: &[EndpointInfo]) -> Self {
        let widest = |width: fn(&EndpointInfo) -> usize| endpoints.iter().map(width).max().unwrap_or_default();
        Self {
            method: widest(|endpoint| endpoint.method.as_str().len()),
            path: widest(|endpoint| endpoint.path.as_str().len()),
            price: widest(|endpoint| endpoint.price.to_string().len()),
        }
    }
}

/// One endpoint: a line with the route, the price, the summary and what else a payer meets; and below it everything
/// else that it declares.
pub(super) fn endpoint_lines(endpoint: &EndpointInfo, columns: Columns) -> Vec<String> {
    let paid_first = (declared_flow(endpoint) == Some("upfront")).then(|| "paid first".to_owned());
    let headers = endpoint.quote_headers.join(", ");
    let reads = (!headers.is_empty()).then(|| format!("quote reads {headers}"));
    let notes: Vec<String> = paid_first.into_iter().chain(reads).collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
    let (price, summary) = (endpoint.price.to_string(), &endpoint.summary);
    // `Method` ignores a width.
    let (method, path) = (endpoint.method.as_str(), endpoint.path.as_str());
    let route = format!("{method:0$}  {path:1$}", columns.method, columns.path);
    let mut lines = vec![format!("  {route}  {price:0$}  {summary}{notes}", columns.price)];
    lines.extend(detail("about", endpoint.description.trim()));
    lines.extend(detail("answers", &endpoint.mime_type));
    if endpoint.price != DeclaredPrice::Free {
        lines.extend(detail("flow", flow(endpoint)));
        lines.extend(pass(endpoint).into_iter().flat_map(|text| detail("pass", &text)));
    }
    for (name, schema) in [("input", &endpoint.input_schema), ("output", &endpoint.output_schema)] {
        lines.extend(schema.iter().flat_map(|schema| detail(name, &format!("{schema:#}"))));
    }
    lines
}

/// A declared text under its name, with as many lines as it has. None if it is empty.
fn detail(name: &str, text: &str) -> Vec<String> {
    let named = |(number, line): (usize, &str)| {
        let name = if number == 0 { name } else { "" };
        format!("         {name:<8} {}", printable(line)).trim_end().to_owned()
    };
    text.lines().enumerate().map(named).collect()
}

/// The order of work and money.
fn flow(endpoint: &EndpointInfo) -> &str {
    match declared_flow(endpoint) {
        Some("upfront") => "upfront: the money moves, then the plugin runs",
        Some("authorization") => "authorization: the plugin runs, then the money moves",
        Some(other) => other,
        None => "authorization, unless the operator says otherwise: the plugin runs, then the money moves",
    }
}

/// The pass that an endpoint declares.
fn pass(endpoint: &EndpointInfo) -> Option<String> {
    let text = extension(endpoint, "pass")?;
    Some(match PassTerms::parse(text) {
        Ok(pass) if matches!(endpoint.price, DeclaredPrice::Quoted(_)) => {
            format!("{pass}, where the operator says so: its price is quoted")
        }
        Ok(pass) => pass.to_string(),
        Err(problem) => format!("{text:?}: {problem}"),
    })
}

/// The payment flow that an endpoint asks for, as it is written.
pub(super) fn declared_flow(endpoint: &EndpointInfo) -> Option<&str> {
    extension(endpoint, "payment-flow")
}

fn extension<'i>(endpoint: &'i EndpointInfo, key: &str) -> Option<&'i str> {
    endpoint.extensions.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}
