//! `coinslot ledger payments`: lists payments.

use alloy::primitives::Address;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use coinslot_ledger::PaymentState;
use coinslot_ledger::reports::{ClaimOrder, Filter};
use coinslot_x402::UnixTime;

use super::source::{Source, failed};
use crate::cli::Failure;
use crate::cli::output::{Output, RecordWriter, short};
use crate::operate::records::{self, PaymentRecord};
use crate::operate::time;
use crate::operate::units::network_label;

/// List payments, the newest first.
///
/// A payment that was given back is not among them: nothing was charged, and it can be used again. `failed` lists those
/// whose plugin failed.
///
/// Ends with 0 if it has reported, 1 if the ledger cannot be read, 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub(super) struct PaymentsArgs {
    /// Only in this state; repeatable.
    #[arg(long, value_parser = state())]
    state: Vec<PaymentState>,
    /// Only for this endpoint: `GET /api/x`, or the path alone.
    #[arg(long)]
    endpoint: Option<String>,
    /// Only by this payer.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    payer: Option<String>,
    /// Only claimed, or fetched again, by the request with this `x-request-id`.
    #[arg(long, value_name = "REQUEST")]
    request: Option<String>,
    /// Only from this time on: `2026-01-31`, `2026-01-31T12:00:00Z`, Unix seconds, or `24h` ago (s, m, h, d, w).
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    since: Option<UnixTime>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

fn state() -> impl TypedValueParser<Value = PaymentState> {
    PossibleValuesParser::new(PaymentState::ALL.map(PaymentState::as_str))
        .try_map(|text| PaymentState::parse(&text).ok_or("no state of a payment"))
}

/// An address, or the payer of another kind of network as it is written.
fn address(text: &str) -> Result<String, String> {
    match text.starts_with("0x") && text.parse::<Address>().is_err() {
        true => Err("not an address: write 0x and 40 hexadecimal digits".to_owned()),
        false => Ok(text.to_owned()),
    }
}

pub(super) fn run(source: &Source, args: &PaymentsArgs, out: &mut Output<'_>) -> Result<(), Failure> {
    let (reader, units) = source.open()?;
    let filter = Filter {
        states: args.state.clone(),
        endpoint: args.endpoint.clone(),
        payer: args.payer.clone(),
        request_id: args.request.clone(),
        since: args.since,
        until: None,
        after: None,
        order: ClaimOrder::NewestFirst,
        // One more than is shown, to see whether there are more.
        limit: Some(args.limit.saturating_add(1)),
    };
    let mut selection = reader.select(&filter).map_err(failed)?;
    let names = records::names::<PaymentRecord>();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let headings = &["TIME", "STATE", "AMOUNT", "NETWORK", "ENDPOINT", "PAYER", "TRANSACTION", "PAYMENT"];
    let mut records = RecordWriter::new(source.format(), &names, headings);
    let mut left = args.limit;
    let mut more = false;
    for row in selection.rows().map_err(failed)? {
        let row = row.map_err(failed)?;
        if left == 0 {
            more = true;
            break;
        }
        left -= 1;
        records.add(
            out,
            || records::values(&PaymentRecord::of(&row, &units)),
            || {
                vec![
                    time::shown(row.created_at),
                    row.state.as_str().to_owned(),
                    units.shown(&row.network, &row.asset, row.amount),
                    network_label(&row.network, row.testnet),
                    row.endpoint.clone(),
                    short(&row.payer),
                    row.transaction.as_deref().map_or_else(|| "-".to_owned(), short),
                    row.payment_id.clone(),
                ]
            },
        )?;
    }
    records.end(out, "no payments")?;
    if more {
        out.note(records.format(), &format!("the newest {}; --limit shows more, `ledger export` all", args.limit))?;
    }
    Ok(())
}
