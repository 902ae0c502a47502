//! `coinslot status`, `audit`, `payments`, `revenue`, `owed`, `failed`, `free`, `webhooks` and `config`: questions to a running
//! host, through its admin listener.

pub(super) mod client;
mod payments;
pub(super) mod records;
mod status;

use std::time::Duration;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::client::{AdminClient, Connection};
use self::records::Table;
use super::Failure;
use super::output::{Output, OutputFormat};
use super::refunds::RefundCommand;
use crate::operate::records::{
    AttemptRecord, ChangeRecord, EarningsRecord, LevelChange, LevelReport, OwedRecord, Resend, ResendReport,
};

pub use self::payments::{FailedArgs, FreeArgs, PaymentsArgs, failed, free, payments};

/// Show whether the host can sell, what is wrong and what to do, from its admin listener.
///
/// Ends with 0 if payments can be taken and nothing is wrong, 1 if the listener cannot be asked, 2 for wrong usage, 3
/// if something is wrong, and 4 if no payment can be taken.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    connection: Connection,
}

/// Sum up what a running host has earned. `coinslot ledger revenue` needs no host.
///
/// Ends with 0 if it is printed, 1 if the listener cannot be asked, and 2 for wrong usage.
#[derive(Args, Clone, Debug)]
pub struct RevenueArgs {
    #[command(flatten)]
    connection: Connection,
    /// The groups whose sums are shown: asset, day, endpoint, plugin or payer.
    #[arg(long, default_value = "asset")]
    by: String,
    /// Only from this time on.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// List what a running host owes: payments that bought nothing yet. `coinslot ledger owed` needs no host.
///
/// `coinslot owed refund PAYMENT` pays one back, and `coinslot owed settle PAYMENT --by TX` ends one that you paid by hand.
///
/// Ends with 0 if it is printed, 1 if the listener cannot be asked, and 2 for wrong usage.
#[derive(Args, Clone, Debug)]
pub struct OwedArgs {
    #[command(subcommand)]
    command: Option<RefundCommand>,
    #[command(flatten)]
    connection: Connection,
}

/// Show the webhooks of a running host: where each is, what waits for it, and its last attempts.
///
/// Ends with 0 if it is printed or done, 1 if the listener cannot be asked or no webhook has the address, and 2 for wrong
/// usage.
#[derive(Args, Clone, Debug)]
pub struct WebhooksArgs {
    #[command(flatten)]
    connection: Connection,
    /// List the attempts to deliver messages, the newest first. Of each webhook the newest ten thousand are kept.
    #[arg(long, conflicts_with = "resend")]
    attempts: bool,
    /// With `--attempts`: only of this address, or of its name in the list.
    #[arg(long, value_name = "URL", requires = "attempts")]
    webhook: Option<String>,
    /// With `--attempts`: only of messages about this payment.
    #[arg(long, value_name = "ID", requires = "attempts")]
    payment: Option<String>,
    /// With `--attempts`: at most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), requires = "attempts")]
    limit: u32,
    /// Tell this address again what the ledger still has: the whole address, or its name in the list.
    #[arg(long, value_name = "URL")]
    resend: Option<String>,
    /// With `--resend`: only what came after this event.
    #[arg(long, value_name = "EVENT", default_value_t = 0, requires = "resend")]
    after: u64,
    /// With `--resend`: say what would be told, and tell nothing.
    #[arg(long, requires = "resend")]
    dry_run: bool,
}

/// List what was changed in a running host, when and by whom, the newest first.
///
/// Plugins that were loaded, replaced, removed, refused, paused or rolled back, with their digests; prices, receivers and
/// assets of routes; the configuration; backups; webhooks that were told again. The log never holds a secret.
///
/// Ends with 0 if it is printed, 1 if the listener cannot be asked, and 2 for wrong usage.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    #[command(flatten)]
    connection: Connection,
    /// Only from this time on: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago (s, m, h, d, w).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only of this kind, such as `plugin_replaced`, `route` or `configuration`.
    #[arg(long)]
    kind: Option<String>,
    /// Only older than the change of this number.
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// Set which lines of a plugin get into the log of a running host, until it is restarted or for a time.
///
/// `coinslot plugins logs` shows the last lines of a plugin whatever its level is. `log` of [plugin.NAME] sets the level
/// for good.
///
/// Ends with 0 if it is set (with --dry-run: could be set), 1 if the listener cannot be asked, and 2 for wrong usage or an
/// unknown name.
#[derive(Args, Clone, Debug)]
pub struct LogLevelArgs {
    /// The plugin, by its name or its file.
    plugin: String,
    /// `info` for all lines, `warn` for those of stderr, or `off`.
    level: String,
    /// Only for this time, such as `10m`.
    #[arg(long = "for", value_name = "TIME", value_parser = crate::config::parse_duration)]
    time: Option<Duration>,
    /// Say what would be set, and set nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Show the settings of a running host that are active, what waits for a restart, and problems.
///
/// A table has the settings that differ from their defaults, and with --all every setting. JSON has every setting. Secrets
/// are not shown.
///
/// Ends with 0 if it is printed, 1 if the listener cannot be asked, and 2 for wrong usage.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    #[command(flatten)]
    connection: Connection,
    /// Show the settings that have their defaults, too.
    #[arg(long)]
    all: bool,
}

/// Prints the state of the host.
pub async fn status(args: StatusArgs) -> Result<(), Failure> {
    let client = AdminClient::of(&args.connection)?;
    watch(&args.connection, async |out| {
        let report = client.get::<Value>("/api/v1/status", &[]).await?;
        status::write(out, args.connection.format(), &report)
    })
    .await
}

/// Prints sums.
pub async fn revenue(args: RevenueArgs) -> Result<(), Failure> {
    let query = [("by", Some(&*args.by)), ("since", args.since.as_deref()), ("until", args.until.as_deref())];
    let client = AdminClient::of(&args.connection)?;
    watch(&args.connection, async |out| {
        let found: Vec<EarningsRecord> = client.get("/api/v1/revenue", &query).await?;
        records::write(out, args.connection.format(), &found, "no money received")
    })
    .await
}

/// Prints debts, or pays one back.
pub async fn owed(args: OwedArgs) -> Result<(), Failure> {
    if let Some(command) = &args.command {
        return super::refunds::run(&args.connection, command).await;
    }
    list::<OwedRecord>(&args.connection, "/api/v1/owed", &[], None, "nothing is owed").await
}

/// Prints webhooks, or has one told again.
pub async fn webhooks(args: WebhooksArgs) -> Result<(), Failure> {
    let client = AdminClient::of(&args.connection)?;
    if let Some(url) = &args.resend {
        let asked = Resend { url: url.clone(), after: args.after, dry_run: args.dry_run };
        return resend(&args.connection, &client, &asked).await;
    }
    if args.attempts {
        let query = [("webhook", args.webhook.as_deref()), ("payment", args.payment.as_deref())];
        let (path, nothing) = ("/api/v1/webhooks/attempts", "no webhook was told anything");
        return list::<AttemptRecord>(&args.connection, path, &query, Some(args.limit), nothing).await;
    }
    watch(&args.connection, async |out| {
        let found: Vec<Value> = client.get("/api/v1/webhooks", &[]).await?;
        status::write_webhooks(out, args.connection.format(), &found)
    })
    .await
}

async fn resend(connection: &Connection, client: &AdminClient, asked: &Resend) -> Result<(), Failure> {
    let report: ResendReport = client.change("/api/v1/webhooks/resend", asked).await?;
    if connection.wants_document() {
        return super::print::document(serde_json::json!(report));
    }
    let ResendReport { webhook, after, messages, applied, .. } = report;
    let messages = format!("{messages} {}", if messages == 1 { "message" } else { "messages" });
    super::print::line(if applied {
        format!("{webhook} is told again what came after event {after}: {messages}")
    } else {
        format!("{webhook} would be told again what came after event {after}: {messages}; nothing is changed")
    })
}

/// Prints the audit log.
pub async fn audit(mut args: AuditArgs) -> Result<(), Failure> {
    if args.json {
        args.connection.set_format(OutputFormat::Json);
    }
    let before = args.before.map(|number| number.to_string());
    let query = [("since", args.since.as_deref()), ("kind", args.kind.as_deref()), ("before", before.as_deref())];
    list::<ChangeRecord>(&args.connection, "/api/v1/audit", &query, Some(args.limit), "nothing was changed").await
}

/// Sets the level of a plugin.
pub async fn log_level(args: LogLevelArgs) -> Result<(), Failure> {
    let LogLevelArgs { plugin, level, time, dry_run, connection } = args;
    let asked = LevelChange { plugin, level, for_seconds: time.map(|time| time.as_secs()), dry_run };
    let report: LevelReport = AdminClient::of(&connection)?.change("/api/v1/log-level", &asked).await?;
    if connection.wants_document() {
        return super::print::document(serde_json::json!(report));
    }
    let LevelReport { plugin, before, level, for_seconds, applied } = report;
    let time =
        for_seconds.map_or_else(|| "until the next start".to_owned(), |seconds| format!("for {seconds} seconds"));
    super::print::line(if applied {
        format!("{plugin}: {level} {time}, before {before}")
    } else {
        format!("{plugin} would log {level} {time}, and logs {before} now: nothing is changed")
    })
}

/// Prints settings.
pub async fn config(args: ConfigArgs) -> Result<(), Failure> {
    let client = AdminClient::of(&args.connection)?;
    watch(&args.connection, async |out| {
        let found: Value = client.get("/api/v1/config", &[]).await?;
        status::write_config(out, args.connection.format(), &found, args.all)
    })
    .await
}

/// Prints a list, up to so many records, and says if there are more.
async fn list<T: DeserializeOwned + serde::Serialize + Default + Table>(
    connection: &Connection,
    path: &str,
    query: &[(&str, Option<&str>)],
    most: Option<u32>,
    nothing: &str,
) -> Result<(), Failure> {
    let client = AdminClient::of(connection)?;
    watch(connection, async |out| {
        let (found, has_more) = client.list::<T>(path, query, most).await?;
        records::write(out, connection.format(), &found, nothing)?;
        if has_more {
            let note = format!("these are the first {}: there are more, and --limit shows them", found.len());
            match connection.format() {
                OutputFormat::Table => out.note(OutputFormat::Table, &note)?,
                // Programs read stdout.
                OutputFormat::Json | OutputFormat::Csv => crate::logging::say(&note),
            }
        }
        Ok(())
    })
    .await
}

/// Prints once, or again and again. On a terminal each print takes the place of the one before.
pub(super) async fn watch(
    connection: &Connection,
    print: impl AsyncFn(&mut Output<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some(pause) = connection.watch() else { return print(&mut Output::stdout()).await };
    loop {
        let mut out = Output::stdout();
        if connection.format() == OutputFormat::Table {
            out.clear()?;
        }
        match print(&mut out).await {
            // What a command says about the host by its exit code does not end a watch.
            Ok(()) | Err(Failure { code: 3.., .. }) => {}
            Err(failure) => out.line(&failure.message)?,
        }
        out.flush()?;
        if out.is_closed() {
            return Ok(());
        }
        tokio::time::sleep(pause.max(Duration::from_secs(1))).await;
    }
}
