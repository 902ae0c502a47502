//! Reads `[[allow]]` and `[payers]`: who is served without a payment, and who may not pay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use coinslot_ledger::FreeQuota;

use super::overrides::is_route_label;
use super::reader::Section;
use super::types::{AllowanceConfig, PayerSource};
use super::values::parse_duration;
use crate::allowance::{Allowance, AllowancePer, PayerList};

/// The shortest and the longest window.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The word for a window that never ends.
pub(super) const FOREVER: &str = "forever";

/// Reads both.
pub(super) fn read(root: &mut Section<'_, '_>, base: &Path) -> AllowanceConfig {
    let rules: Vec<_> = root.sections("allow").into_iter().map(allowance).collect();
    for (index, rule) in rules.iter().enumerate() {
        let is_same = |other: &Allowance, rule: &Allowance| {
            (&other.plugin, &other.route, other.per) == (&rule.plugin, &rule.route, rule.per)
        };
        if let Some(rule) = rule
            && rules[..index].iter().flatten().any(|other| is_same(other, rule))
        {
            let text = "another table has the same plugin, route and `per`: its requests would be counted twice";
            root.key_problem(&format!("allow[{index}]"), text);
        }
    }
    let mut payers = root.section("payers");
    let allow = list(&mut payers, "allow", "allow_file", base);
    if allow.as_ref().is_some_and(|source| source.accounts.is_empty() && source.file.is_none()) {
        payers.key_problem("allow", "nobody could pay: name who may, or leave it out to take payments of everybody");
    }
    let deny = list(&mut payers, "deny", "deny_file", base);
    AllowanceConfig { allowances: rules.into_iter().flatten().collect(), allow, deny }
}

fn allowance(mut section: Section<'_, '_>) -> Option<Allowance> {
    let plugin = section.read("plugin");
    let route = route(&mut section);
    let requests: Option<u64> = section.required("requests", "the number of free requests in a window");
    let per = section.required::<String>("per", "`payer`, `address` or `everyone`");
    let per = per.and_then(|name| {
        let known = AllowancePer::ALL.into_iter().find(|per| per.as_str() == name);
        if known.is_none() {
            section.key_problem("per", format!("`{name}` is neither `payer` nor `address` nor `everyone`"));
        }
        known
    });
    let every: Option<String> = section.required("every", "the length of a window, such as \"1d\", or \"forever\"");
    let every = every.and_then(|text| window(&mut section, &text));
    let total = section.optional_within("total", 1..=i64::MAX.unsigned_abs());
    if total.is_some() && per == Some(AllowancePer::Everyone) {
        section.key_problem("total", "`requests` is the number of all clients together already");
    }
    if requests.is_some_and(|requests| i64::try_from(requests).is_err()) {
        section.key_problem("requests", "there are not so many requests");
    }
    Some(Allowance { plugin, route, per: per?, quota: FreeQuota { requests: requests?, every: every? }, total })
}

/// The name of a route as it is served and as the ledger has it.
fn route(section: &mut Section<'_, '_>) -> Option<String> {
    let label: String = section.read("route")?;
    if !is_route_label(&label) {
        let advice = "name the route by its method, a space and its path, as `coinslot check` does: \"GET /now\"";
        section.key_problem("route", format!("`{label}`: {advice}"));
    }
    Some(label)
}

/// The length of a window; none within for one that never ends.
fn window(section: &mut Section<'_, '_>, text: &str) -> Option<Option<Duration>> {
    if text == FOREVER {
        return Some(None);
    }
    match parse_duration(text) {
        Ok(every) if (SHORTEST..=LONGEST).contains(&every) && every.subsec_nanos() == 0 => Some(Some(every)),
        Ok(_) => {
            section.key_problem("every", "whole seconds from 1s to 400d, or \"forever\" for a trial");
            None
        }
        Err(problem) => {
            section.key_problem("every", format!("{problem}, or \"forever\" for a trial"));
            None
        }
    }
}

/// A list of payers, from the file of the configuration or from one of its own.
fn list(section: &mut Section<'_, '_>, key: &'static str, file_key: &'static str, base: &Path) -> Option<PayerSource> {
    let texts: Option<Vec<String>> = section.read(key);
    let file: Option<PathBuf> = section.read::<String>(file_key).map(|file| base.join(file));
    let is_named = texts.is_some() || file.is_some();
    let mut accounts = PayerList::default();
    for (index, text) in texts.unwrap_or_default().iter().enumerate() {
        if let Err(problem) = accounts.add(text) {
            section.key_problem(&format!("{key}[{index}]"), problem);
        }
    }
    is_named.then_some(PayerSource { accounts, file })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// A host that takes one asset, with these tables.
    fn config(more: &str) -> Result<Config, String> {
        let text = format!(
            "[[accept]]\nnetwork = \"base-sepolia\"\npay_to = \"0xC0140eEa19bD90a7cA75882d5218eFaF20426e42\"\n\
             [facilitator.public]\nurl = \"https://facilitator.example.com\"\n{more}"
        );
        Config::of_text(&text, Path::new("")).map_err(|problems| problems.to_string())
    }

    #[test]
    fn tables_of_allowances_are_read_with_their_windows() {
        let allowances = config(
            "[[allow]]\nrequests = 20\nper = \"address\"\nevery = \"1d\"\n\
             [[allow]]\nplugin = \"aurora\"\nroute = \"POST /api/x\"\nrequests = 5\nper = \"payer\"\nevery = \"forever\"\n\
             total = 100\n",
        );
        let allowances = allowances.expect("a configuration").allowances.allowances;
        let shown: Vec<_> = allowances.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "20 free requests of each address in 1d",
                "5 free requests of each payer who signs in once and for all, 100 of all together"
            ]
        );
        assert_eq!(allowances[1].route.as_deref(), Some("POST /api/x"));
    }

    #[test]
    fn every_mistake_is_named_with_its_key_and_what_to_write() {
        let table = |changes: &str| {
            let all = ["requests = 1", "per = \"address\"", "every = \"1d\""];
            let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
            let kept = all.iter().filter(|line| !changes.lines().any(|change| key(change) == key(line)));
            let kept: Vec<&str> = kept.copied().chain(changes.lines().filter(|line| line.contains('='))).collect();
            format!("[[allow]]\n{}\n", kept.join("\n"))
        };
        for (text, part) in [
            (table("requests"), "allow[0].requests: is missing: the number of free requests"),
            (table("per"), "allow[0].per: is missing: `payer`, `address` or `everyone`"),
            (table("every"), "allow[0].every: is missing"),
            (table("per = \"ip\""), "allow[0].per: `ip` is neither `payer` nor `address` nor `everyone`"),
            (table("requests = -1"), "allow[0].requests"),
            (table("every = \"never\""), "or \"forever\" for a trial"),
            (table("every = \"1500ms\""), "allow[0].every: whole seconds from 1s to 400d"),
            (table("every = \"500d\""), "allow[0].every: whole seconds from 1s to 400d"),
            (table("route = \"/api/x\""), "allow[0].route: `/api/x`: name the route by its method"),
            (table("per = \"everyone\"\ntotal = 5"), "allow[0].total: `requests` is the number of all"),
            (table("request = 5"), "did you mean requests?"),
            (table("") + &table("requests = 2"), "allow[1]: another table has the same plugin, route and `per`"),
            ("[payers]\ndeny = [\"alice\"]\n".to_owned(), "payers.deny[0]: `alice` is no account"),
            ("[payers]\nallow = []\n".to_owned(), "payers.allow: nobody could pay"),
            ("[payers]\nblock = []\n".to_owned(), "payers.block: there is no such key"),
        ] {
            let problems = config(&text).map(drop).expect_err(&text);
            assert!(problems.contains(part), "{text}: {problems}");
        }
    }
}
