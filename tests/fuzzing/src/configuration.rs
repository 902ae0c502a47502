//! Configuration: the text of a `coinslot.toml`.

use std::path::Path;

use coinslot::config::{AdminConfig, Config, in_force, needs_restart, parse_duration, parse_ether, parse_gas_price};

/// The directory of the file. Nothing is read from it.
const DIRECTORY: &str = "/srv/coinslot";
/// The longest text that is parsed, in bytes.
const MOST: usize = 32 << 10;

/// Parses a file, and checks that a refusal says why and that what is accepted is within the bounds of its keys.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.len() > MOST {
        return;
    }
    check_values(text);
    match Config::of_text(text, Path::new(DIRECTORY)) {
        Ok(config) => {
            check_config(&config);
            let again = Config::of_text(text, Path::new(DIRECTORY)).expect("the same text");
            check_settings(&config);
            assert_eq!(needs_restart(&config, &again), Vec::<String>::new());
        }
        Err(problems) => {
            let problems = problems.to_string();
            assert!(problems.lines().count() > 1, "no reason: {problems}");
            // The text of the operator may be quoted, but nothing that drives a terminal.
            problems.lines().for_each(|line| crate::assert_printable(line, 4 * MOST));
        }
    }
}

/// Amounts and durations are read alone, too: a fuzzer finds their edges faster there.
fn check_values(text: &str) {
    let line = text.lines().next().unwrap_or_default();
    let value = line.split('"').nth(1).unwrap_or(line);
    let refusals = [parse_duration(value).err(), parse_ether(value).err(), parse_gas_price(value).err()];
    assert!(refusals.into_iter().flatten().all(|refusal| !refusal.is_empty()));
}

fn check_config(config: &Config) {
    let Config {
        base,
        server,
        plugins,
        payment,
        state,
        admin,
        webhooks,
        allowances,
        refunds,
        log,
        telemetry,
        discover,
    } = config;
    assert_eq!(base, Path::new(DIRECTORY));
    assert!(plugins.folder.starts_with(DIRECTORY) || plugins.folder.is_absolute());
    assert!(state.folder.starts_with(DIRECTORY) || state.folder.is_absolute());
    assert!(server.max_connections > 0);
    assert!(!payment.accepts.is_empty() && !payment.facilitators.is_empty() && !payment.flows.is_empty());
    for entry in &payment.accepts {
        assert!(!entry.facilitators.is_empty());
        assert!(entry.facilitators.iter().all(|name| payment.facilitators.contains_key(name)));
        assert!(entry.accept.pay_to.starts_with("0x") && entry.accept.pay_to.len() == 42);
    }
    let is_guarded = |admin: &AdminConfig| {
        let asks_for_certificates = admin.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        admin.token.is_some() || asks_for_certificates || admin.listen.ip().is_loopback()
    };
    assert!(admin.as_ref().is_none_or(is_guarded));
    assert!(allowances.allowances.iter().all(|allow| allow.quota.every.is_none_or(|every| !every.is_zero())));
    assert!(refunds.as_ref().is_none_or(|refunds| {
        !refunds.daily_budget.is_empty() && refunds.after.is_none_or(|after| !after.is_zero())
    }));
    assert!(log.as_ref().is_none_or(|level| !level.is_empty()));
    assert!(telemetry.as_ref().is_none_or(|telemetry| (0.0..=1.0).contains(&telemetry.sample)));
    assert!(webhooks.iter().all(|webhook| matches!(webhook.url.scheme(), "http" | "https")));
    let pages = [&discover.website, &discover.terms];
    assert!(pages.into_iter().flatten().all(|page| matches!(page.scheme(), "http" | "https")));
    assert!(discover.mcp.as_ref().is_none_or(|mcp| !mcp.has_parameters() && mcp.as_str() != "/"));
    assert!(discover.ownership_proofs.iter().all(|proof| proof.len() == 132));
    let own = plugins.by_name.values().filter_map(|plugin| plugin.limits.as_ref());
    for limits in own.chain([&plugins.limits]) {
        assert!(limits.memory > 0 && limits.instances > 0 && !limits.cpu.is_zero() && !limits.first_byte.is_zero());
        assert!(limits.reuse.is_none_or(|reuse| reuse.total > 0 && (1..=reuse.total).contains(&reuse.concurrent)));
    }
}

/// Every setting is shown under a path of its own, and none waits for a restart of a host that has just started.
fn check_settings(config: &Config) {
    let shown = in_force(config, config);
    let paths: std::collections::BTreeSet<String> = shown.iter().map(|one| one.setting.path()).collect();
    assert_eq!(paths.len(), shown.len(), "two settings have one path");
    assert!(shown.iter().all(|one| one.waiting.is_none()));
}
