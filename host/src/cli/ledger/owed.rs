//! `coinslot ledger owed`: lists payments that were received and bought nothing yet.

use clap::Args;
use coinslot_ledger::PaymentState;
use coinslot_ledger::reports::{ClaimOrder, Filter, PaymentRow};

use super::source::{Source, failed, open};
use crate::cli::Failure;
use crate::cli::output::{Output, RecordWriter};
use crate::operate::records::{self, OwedRecord};
use crate::operate::time;
use crate::operate::units::{Units, network_label};

/// List payments that were received and bought nothing yet, the oldest first.
///
/// Ends with 0 if it has reported, 1 if the ledger cannot be read, 2 for wrong usage or a wrong configuration.
#[derive(Args, Clone, Debug)]
pub(super) struct OwedArgs {}

pub(super) fn run(source: &Source, out: &mut Output<'_>) -> Result<(), Failure> {
    let (file, config) = source.find()?;
    let (reader, units) = (open(&file)?, Units::of(config.as_ref()));
    let is_paid_back = config.is_some_and(|config| config.refunds.is_some());
    let filter = Filter { states: vec![PaymentState::Owed], order: ClaimOrder::OldestFirst, ..Filter::default() };
    let mut selection = reader.select(&filter).map_err(failed)?;
    let mut rows = selection.rows().map_err(failed)?.collect::<Result<Vec<PaymentRow>, _>>().map_err(failed)?;
    // Test networks last: nothing is due there.
    rows.sort_by_key(|row| row.testnet);
    let names = records::names::<OwedRecord>();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let headings = &["SINCE", "AMOUNT", "NETWORK", "PAYER", "ENDPOINT", "REASON", "PAYMENT"];
    let mut records = RecordWriter::new(source.format(), &names, headings);
    for row in &rows {
        records.add(out, || records::values(&OwedRecord::of(row, &units, is_paid_back)), || cells(row, &units))?;
    }
    records.end(out, "nothing is owed")?;
    if !rows.is_empty() {
        let refund = if is_paid_back {
            "; or `coinslot owed refund PAYMENT`\nof a running host sends the amount back"
        } else {
            ""
        };
        let how = format!(
            "To make good: the payer sends the same request with the same payment again, and it runs without another\n\
             charge{refund}; or you send it by hand, and\n`coinslot owed settle PAYMENT --by TX` of a running host ends the debt."
        );
        out.note(records.format(), &how)?;
    }
    Ok(())
}

fn cells(row: &PaymentRow, units: &Units) -> Vec<String> {
    vec![
        time::shown(row.updated_at),
        units.shown(&row.network, &row.asset, row.amount),
        network_label(&row.network, row.testnet),
        row.payer.clone(),
        row.endpoint.clone(),
        row.reason.clone().unwrap_or_else(|| "-".to_owned()),
        row.payment_id.clone(),
    ]
}
