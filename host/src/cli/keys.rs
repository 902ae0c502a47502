//! `coinslot keys`: keys of the operator's own customers, beside a running host or without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use coinslot_ledger::{ApiKeyUse, ApiKeys, ChangeKind, FreeQuota, NewApiKey};

use super::ledger::source::{Source, failed};
use super::output::{Output, OutputFormat, RecordWriter};
use super::{Failure, audit};
use crate::allowance::{KEY_PREFIX, NewKey};
use crate::config::{is_route_label, parse_duration};
use crate::logging;
use crate::operate::records::{self, KeyRecord};
use crate::operate::time;

/// The longest name of a customer, in characters.
const LONGEST_NAME: usize = 64;

/// Make keys for customers of your own, list them, revoke them.
///
/// A request with a key is served without a payment. The ledger keeps a hash of the key, and a running host sees every
/// change at once. On a terminal the list is a table; into a pipe or a file it is JSON lines, and --format decides
/// otherwise.
///
/// Ends with 0 if it is done, 1 if the ledger cannot be read or written, if a name is taken, or if no key has it, and 2
/// for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum KeysCommand {
    Add(AddArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Make a key, and print it: this once, since the ledger keeps only its hash.
///
/// The customer sends it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`.
///
/// Ends with 0 if the key is made (with --dry-run: could be made), 1 if the ledger cannot be written or the name is taken,
/// and 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
struct AddArgs {
    /// The customer, as reports show it.
    name: String,
    /// Only for this plugin.
    #[arg(long)]
    plugin: Option<String>,
    /// Only for this route, such as `POST /api/x`.
    #[arg(long)]
    route: Option<String>,
    /// At most so many requests in each window. Without it there is no limit.
    #[arg(long, value_name = "N", requires = "every", value_parser = clap::value_parser!(u32).range(1..))]
    quota: Option<u32>,
    /// The length of a window, which begins with its first request: `1h`, `1d`, or `forever`.
    #[arg(long, value_name = "TIME", requires = "quota")]
    every: Option<String>,
    /// The key counts for so long: `90d`.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires: Option<Duration>,
    /// Say what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

/// List the keys with their use, the newest first.
///
/// Ends with 0 if they are listed, 1 if the ledger cannot be read, and 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
struct ListArgs {}

/// Revoke a key: the next request with it is refused.
///
/// Ends with 0 if the key is revoked (with --dry-run: could be revoked), 1 if no key of this name counts or the ledger
/// cannot be written, and 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
struct RevokeArgs {
    /// Its name, or the beginning of the key as `list` shows it.
    name: String,
    /// Say what would be revoked, and revoke nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Does what is asked for, and writes it to stdout.
pub fn run(args: KeysArgs) -> Result<(), Failure> {
    let KeysArgs { source, command } = args;
    let is_rehearsal = match &command {
        KeysCommand::Add(args) => args.dry_run,
        KeysCommand::Revoke(args) => args.dry_run,
        KeysCommand::List(_) => false,
    };
    let (file, keys) = open(&source, is_rehearsal)?;
    let mut out = Output::stdout();
    match command {
        KeysCommand::Add(args) => add(keys, &file, &source, args, &mut out),
        KeysCommand::List(ListArgs {}) => list(&keys, &source, &mut out),
        KeysCommand::Revoke(args) => revoke(keys, &file, &source, &args, &mut out),
    }
}

/// Opens the ledger, which is made if no host has run yet: not for a rehearsal, which changes nothing.
fn open(source: &Source, is_rehearsal: bool) -> Result<(PathBuf, ApiKeys), Failure> {
    let (file, _) = source.find()?;
    if is_rehearsal {
        let keys = ApiKeys::rehearse(&file).map_err(failed)?;
        return Ok((file, keys));
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    }
    let keys = ApiKeys::open(&file).map_err(failed)?;
    Ok((file, keys))
}

fn add(keys: ApiKeys, ledger: &Path, source: &Source, args: AddArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let AddArgs { name, plugin, route, quota, every, expires, dry_run } = args;
    check_name(&name)?;
    check_scope(plugin.as_deref(), route.as_deref())?;
    let every = every.as_deref().map(window).transpose()?.flatten();
    let now = time::now();
    let made = NewKey::of(secp256k1::rand::random());
    let key = NewApiKey {
        name: name.clone(),
        shown: made.shown.clone(),
        hash: made.hash,
        plugin,
        route,
        quota: quota.map(|requests| FreeQuota { requests: requests.into(), every }),
        expires_at: expires.map(|time| now.plus(time.as_secs())),
    };
    let Some(added) = keys.add(&key, now).map_err(failed)? else {
        return Err(Failure::new(format!("a key that counts has the name {name}: revoke it first, or choose another")));
    };
    drop(keys); // a terminal that does not take the lines must not keep a host from its ledger
    let shown = added.shown.clone();
    let record = KeyRecord::of(&ApiKeyUse::unused(added), now);
    if dry_run {
        return would_add(&record, source, out);
    }
    audit::record(ledger, ChangeKind::Key, format!("{name} ({shown}..)"), Some("added".to_owned()));
    if source.format() == OutputFormat::Table {
        logging::say("this key is shown this once: the ledger keeps only its hash");
        return out.line(&made.text);
    }
    let mut document = serde_json::to_value(&record).unwrap_or_default();
    document["key"] = made.text.into();
    document["applied"] = true.into();
    out.json(&document)
}

/// Says what would be made. The key itself is made with it, and by chance.
fn would_add(record: &KeyRecord, source: &Source, out: &mut Output<'_>) -> Result<(), Failure> {
    if source.format() != OutputFormat::Table {
        let mut document = serde_json::to_value(record).unwrap_or_default();
        (document["shown"], document["applied"]) = (serde_json::Value::Null, false.into());
        return out.json(&document);
    }
    let quota = record.quota.as_ref().map(|quota| format!(", at most {quota}"));
    let end = record.expires_at.as_ref().map(|end| format!(", until {end}"));
    out.line(&format!(
        "{} would get a key for {}{}{}: nothing is changed",
        record.name,
        scope(record),
        quota.unwrap_or_default(),
        end.unwrap_or_default()
    ))
}

/// The plugin and the route that a key is for.
fn scope(record: &KeyRecord) -> String {
    let scope = [record.plugin.as_deref(), record.route.as_deref()];
    let scope = scope.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if scope.is_empty() { "everything".to_owned() } else { scope }
}

/// Refuses names that cannot be told apart in a table, and keys in the place of names.
fn check_name(name: &str) -> Result<(), Failure> {
    let is_good = (1..=LONGEST_NAME).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(char::is_control)
        && !name.starts_with(KEY_PREFIX);
    if is_good {
        return Ok(());
    }
    Err(Failure::usage(format!("a name has 1 to {LONGEST_NAME} characters, in one line, and is no key")))
}

/// Refuses a plugin and a route that no plugin could have. One that is not there yet may come.
fn check_scope(plugin: Option<&str>, route: Option<&str>) -> Result<(), Failure> {
    if let Some(plugin) = plugin.filter(|name| !coinslot_plugin::is_name(name)) {
        return Err(Failure::usage(format!(
            "--plugin {plugin}: not a plugin's name, which has lower-case letters, digits and hyphens"
        )));
    }
    if let Some(route) = route.filter(|route| !is_route_label(route)) {
        return Err(Failure::usage(format!(
            "--route {route}: name the route by its method, a space and its path, as `coinslot check` does: \"GET /now\""
        )));
    }
    Ok(())
}

/// The length of a window; none within for one that never ends.
fn window(text: &str) -> Result<Option<Duration>, Failure> {
    if text == "forever" {
        return Ok(None);
    }
    let every = parse_duration(text).map_err(|problem| Failure::usage(format!("--every: {problem}, or forever")))?;
    let is_good = every.as_secs() > 0 && every.subsec_nanos() == 0;
    if is_good { Ok(Some(every)) } else { Err(Failure::usage("--every: whole seconds from 1s on, or forever")) }
}

fn list(keys: &ApiKeys, source: &Source, out: &mut Output<'_>) -> Result<(), Failure> {
    let now = time::now();
    let headings = &["NAME", "KEY", "STATE", "FOR", "QUOTA", "LEFT", "SERVED", "LAST USED", "EXPIRES"];
    let names = records::names::<KeyRecord>();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut writer = RecordWriter::new(source.format(), &names, headings);
    for used in keys.list(now).map_err(failed)? {
        let record = KeyRecord::of(&used, now);
        writer.add(out, || records::values(&record), || cells(&record))?;
    }
    writer.end(out, "there are no keys: `coinslot keys add NAME` makes one")
}

fn cells(record: &KeyRecord) -> Vec<String> {
    let dash = || "-".to_owned();
    vec![
        record.name.clone(),
        format!("{}..", record.shown),
        record.state.clone(),
        scope(record),
        record.quota.clone().unwrap_or_else(|| "none".to_owned()),
        record.left.map_or_else(dash, |left| left.to_string()),
        record.served.to_string(),
        record.last_used_at.clone().unwrap_or_else(|| "never".to_owned()),
        record.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
    ]
}

fn revoke(
    keys: ApiKeys,
    ledger: &Path,
    source: &Source,
    args: &RevokeArgs,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    // As `list` shows the beginning of a key; a name may end so itself.
    let is_key = args.name.starts_with(KEY_PREFIX);
    let name = if is_key { args.name.trim_end_matches("..") } else { &args.name };
    let revoked = keys.revoke(name, time::now()).map_err(failed)?;
    if revoked.is_empty() {
        return Err(Failure::new(format!("no key that counts is named {name}: `coinslot keys list` shows all")));
    }
    drop(keys); // as in `add`
    for key in revoked {
        let subject = format!("{} ({}..)", key.name, key.shown);
        if !args.dry_run {
            audit::record(ledger, ChangeKind::Key, subject.clone(), Some("revoked".to_owned()));
        }
        if source.format() == OutputFormat::Table {
            let end = if args.dry_run { "would be revoked: nothing is changed" } else { "is revoked" };
            out.line(&format!("{subject} {end}"))?;
        } else {
            let state = if args.dry_run { "active" } else { "revoked" };
            let (name, shown, applied) = (&key.name, &key.shown, !args.dry_run);
            out.json(&serde_json::json!({ "name": name, "shown": shown, "state": state, "applied": applied }))?;
        }
    }
    Ok(())
}
