//! Reads `[refunds]`: the wallet that pays owed answers back, its budget, and the rule by which the host does so itself.

use std::path::Path;
use std::time::Duration;

use coinslot_x402::price::Decimal;

use super::reader::Section;
use super::settlement::KeySource;
use super::types::RefundConfig;
use super::values::{AmountText, OneOrMore, parse_duration, parse_ether, parse_gas_price};

/// Reads the table. None without it: then nothing is paid back.
pub(super) fn read(root: &mut Section<'_, '_>, base: &Path) -> Option<RefundConfig> {
    let mut section = root.optional_section("refunds")?;
    let key = match (section.read("key_env"), section.read::<String>("key_file")) {
        (Some(name), None) => Some(KeySource::Env(name)),
        (None, Some(file)) => Some(KeySource::File(base.join(file))),
        (None, None) | (Some(_), Some(_)) => {
            section.problem("name the key of the wallet that pays, with key_env or key_file");
            None
        }
    };
    let daily_budget = daily_budget(&mut section);
    let after = section.read::<String>("policy").and_then(|text| {
        policy(&text).unwrap_or_else(|problem| {
            section.key_problem("policy", problem);
            None
        })
    });
    let mut wei = |key: &'static str| {
        let AmountText(text) = section.read(key)?;
        parse_ether(&text).map_err(|problem| section.key_problem(key, problem)).ok()
    };
    let low_balance = wei("low_balance");
    let max_gas_price = section.read("max_gas_price").and_then(|AmountText(text)| {
        parse_gas_price(&text).map_err(|problem| section.key_problem("max_gas_price", problem)).ok()
    });
    Some(RefundConfig { key: key?, daily_budget: daily_budget?, after, max_gas_price, low_balance })
}

/// The budgets: one for US dollars, and one for each other money.
fn daily_budget(section: &mut Section<'_, '_>) -> Option<Vec<Decimal>> {
    let OneOrMore(texts) = section.required("daily_budget", "the most that is paid back in a day, such as \"$20\"")?;
    let mut budgets: Vec<Decimal> = Vec::new();
    for text in &texts {
        match Decimal::parse(text) {
            Ok(budget) if budgets.iter().any(|other| other.symbol == budget.symbol) => {
                section.key_problem("daily_budget", format!("`{text}` is a second budget of the same money"));
                return None;
            }
            Ok(budget) => budgets.push(budget),
            Err(problem) => {
                section.key_problem("daily_budget", problem);
                return None;
            }
        }
    }
    if budgets.is_empty() {
        section.key_problem("daily_budget", "name an amount, such as \"$20\"");
    }
    Some(budgets)
}

/// The age of a debt at which it is paid back: `after 24h`. None: `by command`.
fn policy(text: &str) -> Result<Option<Duration>, String> {
    if text == "by command" {
        return Ok(None);
    }
    let age = text.strip_prefix("after ").and_then(|age| parse_duration(age).ok());
    match age {
        Some(age) if age >= Duration::from_secs(1) => Ok(Some(age)),
        Some(_) | None => Err(format!("`{text}` is neither `by command` nor a time such as `after 24h`")),
    }
}
