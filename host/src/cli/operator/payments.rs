//! `coinslot payments`, `failed` and `free`: payments and free requests of a running host, the story of a payment, and what
//! became of a request.

use clap::Args;

use super::client::{AdminClient, Connection};
use super::{list, records, watch};
use crate::cli::Failure;
use crate::cli::output::{Output, OutputFormat};
use crate::operate::records::{FailureRecord, FreeTotalRecord, FreeUseRecord, PaymentRecord, StoryRecord};

/// List the payments of a running host, the newest first. `coinslot ledger payments` needs no host.
///
/// Ends with 0 if it is printed, 1 if the listener cannot be asked, and 2 for wrong usage.
#[derive(Args, Clone, Debug)]
pub struct PaymentsArgs {
    #[command(flatten)]
    connection: Connection,
    /// Only this payment.
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// With an ID: each step of it with its time, also of a payment that was given back.
    #[arg(long, requires = "id")]
    story: bool,
    /// Only in these states, separated by commas.
    #[arg(long)]
    state: Option<String>,
    /// Only for this endpoint: `GET /api/x`, or the path alone.
    #[arg(long)]
    endpoint: Option<String>,
    /// Only by this payer.
    #[arg(long, value_name = "ADDRESS")]
    payer: Option<String>,
    /// Only settled by this transaction.
    #[arg(long, value_name = "HASH")]
    transaction: Option<String>,
    /// Only claimed, or fetched again, by the request with this `x-request-id`. Says so if it is that of a failed call or of
    /// a free request.
    #[arg(long, value_name = "REQUEST")]
    request: Option<String>,
    /// Only from this time on: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago (s, m, h, d, w).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only what follows this payment in the list, by its id.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

/// List the payments of a running host that were given back because their plugin failed, the newest first. `coinslot
/// ledger failed` needs no host.
///
/// Nothing was charged, and each can be used again. The ledger keeps the newest ten thousand.
///
/// Ends with 0 if it is printed, 1 if the listener cannot be asked, and 2 for wrong usage.
#[derive(Args, Clone, Debug)]
pub struct FailedArgs {
    #[command(flatten)]
    connection: Connection,
    /// Only by this payer.
    #[arg(long, value_name = "ADDRESS")]
    payer: Option<String>,
    /// Only of the request with this `x-request-id`.
    #[arg(long, value_name = "REQUEST")]
    request: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// List the requests that a running host has served free of charge, by an allowance, a key or a pass, the newest first.
/// `coinslot ledger free` needs no host.
///
/// They earn nothing and are no revenue. The ledger keeps the newest hundred thousand, and their numbers for ever.
///
/// Ends with 0 if it is printed, 1 if the listener cannot be asked, and 2 for wrong usage.
#[derive(Args, Clone, Debug)]
pub struct FreeArgs {
    #[command(flatten)]
    connection: Connection,
    /// Their numbers by day, endpoint, kind and outcome instead.
    #[arg(long)]
    totals: bool,
    /// Only from this time on: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago (s, m, h, d, w).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only by this account, of this network of a client, or with the key of this name.
    #[arg(long, conflicts_with = "totals")]
    who: Option<String>,
    /// Only the request with this `x-request-id`.
    #[arg(long, value_name = "REQUEST", conflicts_with = "totals")]
    request: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "totals")]
    limit: u32,
}

/// Prints payments.
pub async fn payments(args: PaymentsArgs) -> Result<(), Failure> {
    if let (Some(id), true) = (&args.id, args.story) {
        let client = AdminClient::of(&args.connection)?;
        return watch(&args.connection, async |out| {
            let record: StoryRecord = client.get(&format!("/api/v1/payments/{id}/story"), &[]).await?;
            records::write_story(out, args.connection.format(), &record)
        })
        .await;
    }
    if let Some(id) = &args.id {
        let client = AdminClient::of(&args.connection)?;
        return watch(&args.connection, async |out| {
            let record: PaymentRecord = client.get(&format!("/api/v1/payments/{id}"), &[]).await?;
            records::write(out, args.connection.format(), std::slice::from_ref(&record), "no such payment")
        })
        .await;
    }
    let query = [
        ("state", args.state.as_deref()),
        ("endpoint", args.endpoint.as_deref()),
        ("payer", args.payer.as_deref()),
        ("transaction", args.transaction.as_deref()),
        ("request", args.request.as_deref()),
        ("since", args.since.as_deref()),
        ("after", args.after.as_deref()),
    ];
    list::<PaymentRecord>(&args.connection, "/api/v1/payments", &query, Some(args.limit), "no payments").await?;
    match &args.request {
        Some(request) => elsewhere(&args.connection, request).await,
        None => Ok(()),
    }
}

/// Says what became of a request that claimed no payment: it is a failed call, a free request, or not known.
async fn elsewhere(connection: &Connection, request: &str) -> Result<(), Failure> {
    let client = AdminClient::of(connection)?;
    let of_request = [("request", Some(request))];
    let (failed, _) = client.list::<FailureRecord>("/api/v1/failed", &of_request, Some(1)).await?;
    if !failed.is_empty() {
        note(connection, &format!("it is a failed call: `coinslot failed --request {request}` shows it"))?;
    }
    let (free, _) = client.list::<FreeUseRecord>("/api/v1/free", &of_request, Some(1)).await?;
    if let Some(free) = free.first() {
        let FreeUseRecord { at, kind, who, endpoint, outcome, .. } = free;
        note(connection, &format!("it is a free request: {endpoint} at {at} by {kind} {who}, {outcome}"))?;
    }
    let (claimed, _) = client.list::<PaymentRecord>("/api/v1/payments", &of_request, Some(1)).await?;
    if claimed.is_empty() && failed.is_empty() && free.is_empty() {
        note(connection, "no request of this id claimed a payment, failed or was free: of others only the log tells")?;
    }
    Ok(())
}

/// Says something beside a list: below a table, and on stderr where stdout is for a program.
fn note(connection: &Connection, text: &str) -> Result<(), Failure> {
    match connection.format() {
        OutputFormat::Table => {
            let mut out = Output::stdout();
            out.note(OutputFormat::Table, text)?;
            out.flush()
        }
        OutputFormat::Json | OutputFormat::Csv => {
            crate::logging::say(text);
            Ok(())
        }
    }
}

/// Prints payments that were given back.
pub async fn failed(args: FailedArgs) -> Result<(), Failure> {
    let nothing = "no payment was given back";
    let query = [("payer", args.payer.as_deref()), ("request", args.request.as_deref())];
    list::<FailureRecord>(&args.connection, "/api/v1/failed", &query, Some(args.limit), nothing).await
}

/// Prints free requests, or their numbers.
pub async fn free(args: FreeArgs) -> Result<(), Failure> {
    let FreeArgs { connection, totals, since, who, request, limit } = args;
    let nothing = "no request was served free of charge";
    if totals {
        let client = AdminClient::of(&connection)?;
        return watch(&connection, async |out| {
            let found: Vec<FreeTotalRecord> = client.get("/api/v1/free/totals", &[("since", since.as_deref())]).await?;
            records::write(out, connection.format(), &found, nothing)
        })
        .await;
    }
    let query = [("who", who.as_deref()), ("request", request.as_deref()), ("since", since.as_deref())];
    list::<FreeUseRecord>(&connection, "/api/v1/free", &query, Some(limit), nothing).await
}
