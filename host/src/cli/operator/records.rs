//! Prints the records of a host as tables, JSON lines or CSV.

use serde::Serialize;

use crate::cli::Failure;
use crate::cli::output::{Output, OutputFormat, RecordWriter, short};
use crate::operate::records::{
    self, AttemptRecord, ChangeRecord, EarningsRecord, FailureRecord, FreeTotalRecord, FreeUseRecord, OwedRecord,
    PaymentRecord, StepRecord, StoryRecord,
};

/// A record as a row of a table.
pub(in crate::cli) trait Table {
    const HEADINGS: &'static [&'static str];

    fn cells(&self) -> Vec<String>;
}

impl Table for PaymentRecord {
    const HEADINGS: &'static [&'static str] =
        &["TIME", "STATE", "AMOUNT", "NETWORK", "ENDPOINT", "PAYER", "TRANSACTION", "PAYMENT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.created_at.clone(),
            self.state.clone(),
            amount(self.amount.as_ref(), self.symbol.as_ref(), &self.atomic_amount),
            network(&self.network, self.testnet),
            self.endpoint.clone(),
            short(&self.payer),
            self.transaction.as_deref().map_or_else(|| "-".to_owned(), short),
            self.payment_id.clone(),
        ]
    }
}

impl Table for EarningsRecord {
    const HEADINGS: &'static [&'static str] = &["KIND", "GROUP", "NETWORK", "AMOUNT", "PAYMENTS", "REFUNDED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.kind.clone(),
            self.key.clone(),
            self.network.clone(),
            amount(self.amount.as_ref(), self.symbol.as_ref(), &self.atomic_amount),
            self.payments.to_string(),
            match self.refunds {
                0 => "-".to_owned(),
                _ => amount(self.refunded.as_ref(), self.symbol.as_ref(), &self.atomic_refunded),
            },
        ]
    }
}

impl Table for OwedRecord {
    const HEADINGS: &'static [&'static str] = &["SINCE", "AMOUNT", "NETWORK", "PAYER", "ENDPOINT", "REASON", "PAYMENT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.since.clone(),
            amount(self.amount.as_ref(), self.symbol.as_ref(), &self.atomic_amount),
            network(&self.network, self.testnet),
            self.payer.clone(),
            self.endpoint.clone(),
            self.reason.clone().unwrap_or_else(|| "-".to_owned()),
            self.payment_id.clone(),
        ]
    }
}

impl Table for FailureRecord {
    const HEADINGS: &'static [&'static str] = &["TIME", "AMOUNT", "NETWORK", "PAYER", "ENDPOINT", "REASON", "PAYMENT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.at.clone(),
            amount(self.amount.as_ref(), self.symbol.as_ref(), &self.atomic_amount),
            network(&self.network, self.testnet),
            self.payer.clone(),
            self.endpoint.clone(),
            self.reason.clone(),
            self.payment_id.clone(),
        ]
    }
}

impl Table for FreeUseRecord {
    const HEADINGS: &'static [&'static str] = &["TIME", "KIND", "WHO", "ENDPOINT", "OUTCOME"];

    fn cells(&self) -> Vec<String> {
        vec![self.at.clone(), self.kind.clone(), self.who.clone(), self.endpoint.clone(), self.outcome.clone()]
    }
}

impl Table for FreeTotalRecord {
    const HEADINGS: &'static [&'static str] = &["DAY", "KIND", "PLUGIN", "ENDPOINT", "OUTCOME", "REQUESTS"];

    fn cells(&self) -> Vec<String> {
        let Self { day, kind, plugin, endpoint, outcome, requests } = self.clone();
        vec![day, kind, plugin, endpoint, outcome, requests.to_string()]
    }
}

impl Table for StepRecord {
    const HEADINGS: &'static [&'static str] = &["TIME", "AFTER", "STEP", "TRANSACTION", "BLOCK", "REQUEST", "REASON"];

    fn cells(&self) -> Vec<String> {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            self.at.clone().unwrap_or_else(|| "not known".to_owned()),
            or_none(self.after()),
            self.step.as_str().replace('_', " "),
            or_none(self.transaction.as_deref().map(short)),
            or_none(self.block.map(|block| block.to_string())),
            or_none(self.request_id.clone()),
            or_none(self.reason.clone()),
        ]
    }
}

impl Table for ChangeRecord {
    const HEADINGS: &'static [&'static str] = &["TIME", "CHANGE", "OF", "BEFORE", "AFTER", "BY"];

    fn cells(&self) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            self.at.clone(),
            self.kind.clone(),
            self.subject.clone(),
            text(&self.before),
            text(&self.after),
            self.who.clone(),
        ]
    }
}

impl Table for AttemptRecord {
    const HEADINGS: &'static [&'static str] = &["TIME", "WEBHOOK", "TYPE", "STATUS", "ERROR", "PAYMENT", "ID"];

    fn cells(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        vec![
            self.at.clone(),
            self.webhook.clone(),
            self.kind.clone(),
            self.status.map_or_else(dash, |status| status.to_string()),
            self.error.clone().unwrap_or_else(dash),
            self.payment_id.clone().unwrap_or_else(dash),
            self.id.clone(),
        ]
    }
}

/// Writes records of one kind.
pub(in crate::cli) fn write<T: Table + Serialize + Default>(
    out: &mut Output<'_>,
    format: OutputFormat,
    found: &[T],
    nothing: &str,
) -> Result<(), Failure> {
    let names = records::names::<T>();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut writer = RecordWriter::new(format, &names, T::HEADINGS);
    for record in found {
        writer.add(out, || records::values(record), || record.cells())?;
    }
    writer.end(out, nothing)
}

/// Writes the steps of a payment, in a table below a line with its state, amount, network, payer and endpoint.
pub(in crate::cli) fn write_story(
    out: &mut Output<'_>,
    format: OutputFormat,
    story: &StoryRecord,
) -> Result<(), Failure> {
    if format == OutputFormat::Table {
        let amount = amount(story.amount.as_ref(), story.symbol.as_ref(), &story.atomic_amount);
        out.line(&format!(
            "{}: {amount} on {} by {} for {}\n",
            story.state.replace('_', " "),
            network(&story.network, story.testnet),
            story.payer,
            story.endpoint
        ))?;
        if let Some(pass) = &story.pass {
            out.line(&format!("pass: {pass}\n"))?;
        }
    }
    write(out, format, &story.steps, "no steps")
}

pub(in crate::cli) fn amount(decimal: Option<&String>, symbol: Option<&String>, atomic: &str) -> String {
    match (decimal, symbol) {
        (Some(decimal), Some(symbol)) => format!("{decimal} {symbol}"),
        _ => format!("{atomic} units"),
    }
}

pub(in crate::cli) fn network(network: &str, testnet: bool) -> String {
    if testnet { format!("{network} (test)") } else { network.to_owned() }
}
