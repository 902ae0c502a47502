//! `coinslot owed refund`, `settle` and `refunds`: pay an owed answer back, end a debt that was paid by hand, and list what is
//! and was paid back, by asking a running host.

use clap::{Args, Subcommand};

use super::operator::client::{AdminClient, Connection};
use super::operator::records::{self, Table};
use super::operator::watch;
use super::output::short;
use super::{Failure, print};
use crate::operate::records::{
    RefundOrderRequest, RefundRecord, RefundReport, RefundsReport, SettleReport, SettleRequest,
};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum RefundCommand {
    /// Pay an owed answer back to its payer, from the wallet of [refunds], once.
    ///
    /// From then on its payer cannot fetch the answer. If the transfer fails on the chain, the answer is owed again.
    /// Returns when the transaction is on its way; `coinslot owed refunds` says how it ends.
    ///
    /// Ends with 0 if it has begun (with --dry-run: could begin), 1 if it has not or no answer came (then look at `coinslot
    /// owed refunds` before you ask again), and 2 for wrong usage.
    Refund(RefundArgs),
    /// End a debt that you have paid by hand, or have an answer owed again whose refund was not made.
    ///
    /// The host looks on the chain. A transaction (--by) must have moved at least the debt to the payer, in the asset of the
    /// payment and in a later block, without the payer sending it back in the same transaction, and count for no other debt;
    /// from then on the payer cannot fetch the answer. Whoever sent it is a receiver or a wallet of the configuration, or
    /// you vouch for the sender (--sender-is-mine). A refund was not made
    /// (--not-paid) if another transaction of its wallet has used its nonce; or if its transaction succeeded, the token's logs
    /// show no transfer, and it began an hour ago or more.
    ///
    /// Ends with 0 if the debt has ended (with --dry-run: could end), 1 if it has not or no answer came, and 2 for wrong
    /// usage.
    Settle(SettleArgs),
    /// List what is and was paid back, the newest hundred, and what is left of the budgets.
    ///
    /// Ends with 0 if it is printed, 1 if the listener cannot be asked, and 2 for wrong usage.
    Refunds,
}

#[derive(Args, Clone, Debug)]
pub(super) struct RefundArgs {
    /// The payment, as `coinslot owed` lists it.
    #[arg(value_name = "PAYMENT")]
    payment: String,
    /// Say what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("claim").required(true))]
pub(super) struct SettleArgs {
    /// The payment, as `coinslot owed` or `coinslot owed refunds` lists it.
    #[arg(value_name = "PAYMENT")]
    payment: String,
    /// The transaction that paid it.
    #[arg(long, value_name = "TX", group = "claim")]
    by: Option<String>,
    /// The transaction was sent by an account of yours, or for you, which the configuration does not name.
    #[arg(long, requires = "by")]
    sender_is_mine: bool,
    /// The refund that is under way was not made: you have looked at the payer's balance.
    #[arg(long, group = "claim")]
    not_paid: bool,
    /// Say what would end, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Table for RefundRecord {
    const HEADINGS: &'static [&'static str] =
        &["TIME", "STATE", "AMOUNT", "NETWORK", "PAYER", "TRANSACTION", "PAYMENT"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.begun_at.clone(),
            self.state.clone(),
            records::amount(self.amount.as_ref(), self.symbol.as_ref(), &self.atomic_amount),
            records::network(&self.network, self.testnet),
            short(&self.payer),
            self.transaction.as_deref().map_or_else(|| "-".to_owned(), short),
            self.payment_id.clone(),
        ]
    }
}

/// Pays an answer back, or lists refunds.
pub(super) async fn run(connection: &Connection, command: &RefundCommand) -> Result<(), Failure> {
    match command {
        RefundCommand::Refund(args) => refund(connection, args).await,
        RefundCommand::Settle(args) => settle(connection, args).await,
        RefundCommand::Refunds => list(connection).await,
    }
}

async fn refund(connection: &Connection, args: &RefundArgs) -> Result<(), Failure> {
    let client = AdminClient::of(connection)?;
    let asked = RefundOrderRequest { payment: args.payment.clone(), dry_run: args.dry_run };
    let report: RefundReport = client.change("/api/v1/owed/refund", &asked).await?;
    if connection.wants_document() {
        return print::document(serde_json::json!(report));
    }
    let RefundReport { amount, network, payer, wallet, .. } = &report;
    match &report.transaction {
        Some(transaction) => print::line(format!(
            "{amount} on {network} is on its way to {payer}, from {wallet}, by transaction {transaction}\n\
             `coinslot owed refunds` says how it ends"
        )),
        None => print::line(format!("{amount} on {network} would be sent to {payer}, from {wallet}; nothing was sent")),
    }
}

async fn settle(connection: &Connection, args: &SettleArgs) -> Result<(), Failure> {
    let client = AdminClient::of(connection)?;
    let SettleArgs { payment, by, sender_is_mine, not_paid, dry_run } = args.clone();
    let asked = SettleRequest { payment, by, sender_is_mine, not_paid, dry_run };
    let report: SettleReport = client.change("/api/v1/owed/settle", &asked).await?;
    if connection.wants_document() {
        return print::document(serde_json::json!(report));
    }
    let SettleReport { amount, network, payer, .. } = &report;
    let would = if report.applied { "is" } else { "would be" };
    print::line(match &report.transaction {
        Some(transaction) => {
            let sender = report.sender.as_deref().unwrap_or("an account that the host does not tell");
            let moved = report.moved.as_deref().unwrap_or("an amount that the host does not tell");
            format!(
                "the debt of {amount} on {network} to {payer} {would} settled by transaction {transaction}, which moved \
                 {moved} from {sender}"
            )
        }
        None => format!("{amount} on {network} {would} owed to {payer} again"),
    })
}

async fn list(connection: &Connection) -> Result<(), Failure> {
    let client = AdminClient::of(connection)?;
    watch(connection, async |out| {
        let report: RefundsReport = client.get("/api/v1/refunds", &[]).await?;
        records::write(out, connection.format(), &report.refunds, "nothing was paid back")?;
        let mut notes = Vec::new();
        for budget in &report.budgets {
            let money = if budget.testnet { "of test money " } else { "" };
            notes.push(format!("Paid back {money}in the last 24 hours: {} of {}.", budget.spent, budget.limit));
        }
        for wallet in &report.wallets {
            if let Some(trouble) = &wallet.trouble {
                notes.push(format!("On {}: {trouble}.", wallet.network));
            }
        }
        if report.wallet.is_none() {
            notes.push("No wallet pays anything back: name its key and a daily budget in [refunds].".to_owned());
        }
        if notes.is_empty() { Ok(()) } else { out.note(connection.format(), &notes.join("\n")) }
    })
    .await
}
