//! Prints the state of a host, its webhooks and its settings.

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::cli::Failure;
use crate::cli::output::{Output, OutputFormat};

/// Something is wrong, and payments are taken.
const WRONG: u8 = 3;
/// No payment can be taken.
const NOT_READY: u8 = 4;

/// Writes the state of a host. Fails with a code of its own if something is wrong.
pub(super) fn write(out: &mut Output<'_>, format: OutputFormat, report: &Value) -> Result<(), Failure> {
    let alerts = report["alerts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ready = report["ready"] == true;
    if format == OutputFormat::Table {
        people(out, report, alerts, ready)?;
    } else {
        out.json(report)?;
    }
    out.flush()?;
    match (ready, alerts.len()) {
        (false, _) => Err(Failure { code: NOT_READY, message: "no payment can be taken".to_owned() }),
        (true, 0) => Ok(()),
        (true, 1) => Err(Failure { code: WRONG, message: "one thing is wrong".to_owned() }),
        (true, count) => Err(Failure { code: WRONG, message: format!("{count} things are wrong") }),
    }
}

fn people(out: &mut Output<'_>, report: &Value, alerts: &[Value], ready: bool) -> Result<(), Failure> {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    out.line(&format!(
        "coinslot {} at {}, since {}",
        text(report, "version"),
        text(report, "publicUrl"),
        text(report, "startedAt")
    ))?;
    out.line(if ready { "payments are taken" } else { "NO PAYMENT CAN BE TAKEN" })?;
    out.line(&format!(
        "{} with {}, {} being loaded, {} at work, a ledger of {} MB",
        counted(number("/plugins/active"), "plugin"),
        counted(number("/plugins/endpoints"), "endpoint"),
        number("/plugins/loading"),
        counted(number("/atWork"), "payment"),
        number("/ledger/bytes") / 1_000_000
    ))?;
    out.line("")?;
    let assets = report["assets"].as_array().map(Vec::as_slice).unwrap_or_default();
    table(out, &["ASSET", "NETWORK", "SETTLEMENT"], assets.iter(), &["symbol", "network", "settlement"])?;
    wallets(out, report)?;
    if !alerts.is_empty() {
        out.line("")?;
        table(
            out,
            &["ALERT", "ABOUT", "WHAT IS WRONG", "WHAT TO DO"],
            alerts.iter(),
            &["kind", "subject", "message", "advice"],
        )?;
    }
    Ok(())
}

/// The wallets that pay for gas and refunds, and their transactions that are in no block yet.
fn wallets(out: &mut Output<'_>, report: &Value) -> Result<(), Failure> {
    let listed = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let gas = listed(&report["wallets"]);
    if !gas.is_empty() {
        out.line("")?;
        let fields = ["address", "network", "balance", "pending"];
        table(out, &["GAS WALLET", "NETWORK", "BALANCE", "PENDING"], gas.iter(), &fields)?;
    }
    let pending: Vec<Value> = gas.iter().flat_map(|wallet| listed(&wallet["transactions"])).collect();
    if !pending.is_empty() {
        out.line("")?;
        let fields = ["hash", "nonce", "ageSeconds", "replacements", "explorer"];
        table(out, &["PENDING TRANSACTION", "NONCE", "SECONDS", "REPLACED", "EXPLORER"], pending.iter(), &fields)?;
    }
    let refunds = listed(&report["refundWallets"]);
    if !refunds.is_empty() {
        out.line("")?;
        let fields = ["network", "balance", "tokens"];
        table(out, &["REFUNDS ON", "FOR GAS", "TOKENS"], refunds.iter(), &fields)?;
        for refund in refunds.iter().map(|wallet| &wallet["underWay"]).filter(|refund| !refund.is_null()) {
            out.line(&format!(
                "{} go back for payment {}, begun at {}, by transaction {} with nonce {}",
                text(refund, "amount"),
                text(refund, "payment"),
                text(refund, "begunAt"),
                text(refund, "hash"),
                text(refund, "nonce")
            ))?;
        }
    }
    Ok(())
}

/// A number of things.
fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Writes webhooks.
pub(super) fn write_webhooks(out: &mut Output<'_>, format: OutputFormat, found: &[Value]) -> Result<(), Failure> {
    if format != OutputFormat::Table {
        found.iter().try_for_each(|webhook| out.json(webhook))?;
        return out.flush();
    }
    if found.is_empty() {
        out.line("no webhooks: [[webhook]] in the configuration names one")?;
    }
    for webhook in found {
        let count = |name: &str| webhook[name].as_u64().unwrap_or_default();
        let next = webhook["nextTry"].as_str().map(|next| format!(", next try at {next}"));
        out.line(&format!(
            "{}  done up to event {}, {} {}, {} in a row{}",
            text(webhook, "url"),
            count("place"),
            count("waiting"),
            if count("waiting") == 1 { "waits" } else { "wait" },
            counted(count("failures"), "failure"),
            next.unwrap_or_default()
        ))?;
        let attempts = webhook["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let shown = attempts.iter().take(10);
        table(out, &["TIME", "TYPE", "STATUS", "ERROR", "ID"], shown, &["at", "type", "status", "error", "id"])?;
        out.line("")?;
    }
    out.flush()
}

/// Writes settings: in a table those that differ from their defaults, or all of them; in JSON all.
pub(super) fn write_config(
    out: &mut Output<'_>,
    format: OutputFormat,
    found: &Value,
    all: bool,
) -> Result<(), Failure> {
    if format != OutputFormat::Table {
        out.json(found)?;
        return out.flush();
    }
    let listed = |field: &str| found[field].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_usual = |setting: &&Value| setting["isDefault"] == true && setting["waiting"].is_null();
    let settings = listed("settings");
    let shown = settings.iter().filter(|setting| all || !is_usual(setting));
    let fields = ["key", "value", "default", "takesEffect", "waiting"];
    table(out, &["SETTING", "IN FORCE", "DEFAULT", "CHANGES AT A", "WAITS"], shown, &fields)?;
    let usual = settings.iter().filter(is_usual).count();
    if !all && usual > 0 {
        out.line(&format!("{usual} more have their defaults: --all shows them"))?;
    }
    out.line(&format!("\nread without a mistake at {}", text(found, "readAt")))?;
    if let Some(reason) = found["refused"].as_str() {
        out.line(&format!("the file, as it is now, is not used: {reason}"))?;
    }
    for key in listed("waitingForRestart").iter().filter_map(Value::as_str) {
        out.line(&format!("{key} waits for a restart"))?;
    }
    for warning in listed("warnings").iter().filter_map(Value::as_str) {
        out.line(warning)?;
    }
    out.flush()
}

/// Writes a table of these fields.
fn table<'v>(
    out: &mut Output<'_>,
    headings: &[&str],
    rows: impl Iterator<Item = &'v Value>,
    fields: &[&str],
) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings.to_vec());
    for row in rows {
        table.add_row(fields.iter().map(|field| text(row, field)));
    }
    out.line(&table.trim_fmt())
}

/// The value of a field for people.
fn text(value: &Value, field: &str) -> String {
    match &value[field] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}
