//! Pays calls within the limits, and sends a payment whose end is unknown again. Where the server lets accounts sign in, a
//! call is paid only if no pass of an earlier payment serves it.

#![expect(clippy::disallowed_methods, reason = "a payment is signed for a window of time")]

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coinslot_evm::Key;
use coinslot_x402::UnixTime;
use parking_lot::Mutex;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use rmcp::service::ServiceError;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer;
use super::budget::{Budget, Dollars};
use super::remote::{CallCredential, Caller, Remote};
use super::spending::{NotBegun, OpenPayment, SpendingFile, day_of};
use crate::cli::Failure;
use crate::cli::pay::Outcome;
use crate::logging;
use crate::wallet::{self, PaymentOption, ReceivedChallenge, SpendingPolicy, sign};

/// The time for which one call sends the same payment again. Agents give up after a minute.
const REPEAT_FOR: Duration = Duration::from_secs(25);

/// The account that a result was given to without a payment, among the metadata of the result.
const SIGNED_IN: &str = "coinslot/signedInAs";

/// Pays for one agent.
#[derive(Debug)]
pub(super) struct AgentPayer {
    key: Key,
    policy: SpendingPolicy,
    budget: Budget,
    spending: SpendingFile,
    /// The payments that are being sent by this process.
    sent: Mutex<HashSet<String>>,
}

/// The end of a call with a payment.
enum Finished {
    Result(CallToolResult),
    /// The payment was refused, and nothing was charged.
    Refused(CallToolResult),
}

impl AgentPayer {
    pub(super) fn new(key: Key, policy: SpendingPolicy, budget: Budget, spending: SpendingFile) -> Self {
        Self { key, policy, budget, spending, sent: Mutex::default() }
    }

    /// Calls a tool, and pays if it has to.
    pub(super) async fn call(
        &self,
        remote: &Remote,
        tool: &str,
        arguments: &JsonObject,
        caller: &Caller,
    ) -> Result<CallToolResult, ServiceError> {
        let is_sent = |nonce: &str| self.sent.lock().contains(nonce);
        match self.spending.open_of(tool, arguments, is_sent) {
            Ok(Some(open)) => match self.finish(remote, open, caller).await {
                Finished::Result(result) => return Ok(result),
                // It will never buy anything: the call begins anew.
                Finished::Refused(_) => {}
            },
            Ok(None) => {}
            Err(failure) => return Ok(refusal(&failure.message)),
        }
        let first = remote.call(tool, arguments, CallCredential::None, caller).await?;
        let Some(mut challenge) = answer::challenge(&first) else { return Ok(first) };
        if let Some(proof) = self.proof(remote, &challenge) {
            let result = remote.call(tool, arguments, CallCredential::SignIn(&proof), caller).await?;
            match answer::challenge(&result) {
                None => return Ok(self.unpaid(tool, result)),
                Some(newer) => challenge = newer,
            }
        }
        let open = match self.begin(&challenge, tool, arguments) {
            Ok(open) => open,
            Err(message) => return Ok(refusal(&message)),
        };
        Ok(match self.finish(remote, open, caller).await {
            Finished::Result(result) | Finished::Refused(result) => result,
        })
    }

    /// The proof of the account, if the server takes one in place of a payment.
    fn proof(&self, remote: &Remote, challenge: &ReceivedChallenge) -> Option<Value> {
        match wallet::sign_in(&self.key, challenge, remote.url().as_str()) {
            Ok(proof) => proof.map(Value::Object),
            Err(error) => {
                tracing::warn!(%error, "the call is paid without signing in");
                None
            }
        }
    }

    /// Marks the result of a call that was served to the account without a payment.
    fn unpaid(&self, tool: &str, mut result: CallToolResult) -> CallToolResult {
        let account = self.key.address().to_string();
        logging::say(&format!("{}: nothing was paid: signed in as {account}", coinslot_base::text::excerpt(tool, 100)));
        result.meta.get_or_insert_default().insert(SIGNED_IN.to_owned(), account.into());
        result
    }

    /// Signs a payment and notes it. Fails with the reason why it is not paid.
    fn begin(&self, challenge: &ReceivedChallenge, tool: &str, arguments: &JsonObject) -> Result<OpenPayment, String> {
        let option = self.policy.choose(challenge).map_err(|declined| {
            format!("{declined}; nothing was paid. The limits are those of --max and --network of `coinslot mcp`")
        })?;
        let price = price_of(option);
        let dollars = Dollars::of(option.amount, option.asset.decimals)
            .ok_or_else(|| format!("the price, {price}, is more than there is; nothing was paid"))?;
        let now: UnixTime = SystemTime::now().into();
        let begun = self.spending.begin(self.budget, dollars, now.0, || {
            let failed = |error: String| Failure::new(error);
            let signed = sign(&self.key, challenge, option, now).map_err(|error| failed(error.to_string()))?;
            let json = STANDARD.decode(&signed.value).map_err(|error| failed(error.to_string()))?;
            let payment = serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))?;
            Ok(OpenPayment {
                tool: tool.to_owned(),
                arguments: arguments.clone(),
                payment,
                nonce: signed.nonce.to_string(),
                price: price.clone(),
                dollars: dollars.0.to_string(),
                day: day_of(now.0),
                expires: signed.expires.0,
            })
        });
        begun.map_err(|why| match why {
            NotBegun::OverBudget { left } => format!(
                "the price is {price}, and {left} of the budget of {} dollars {} are left; nothing was paid. The user \
                 raises the budget with --budget of `coinslot mcp`",
                self.budget.most,
                self.budget.period.as_str(),
            ),
            NotBegun::File(failure) => format!("{failure}; nothing was paid"),
        })
    }

    /// Sends a payment until its end is known, or for some time.
    async fn finish(&self, remote: &Remote, open: OpenPayment, caller: &Caller) -> Finished {
        let _sending = Sending::new(&self.sent, &open.nonce);
        let until = Instant::now() + REPEAT_FOR;
        loop {
            let payment = CallCredential::Payment(&open.payment);
            let sent = remote.call(&open.tool, &open.arguments, payment, caller).await;
            let (outcome, pause, why) = match &sent {
                Ok(result) => (answer::outcome(result), answer::pause(result), answer::reason(result)),
                Err(error) => (Outcome::Unknown, 1, Some(error.to_string())),
            };
            match (outcome, sent) {
                (Outcome::Answered | Outcome::Gone, Ok(result)) => {
                    // Without a receipt nobody knows: it counts as paid.
                    self.spending.paid(&open);
                    return Finished::Result(result);
                }
                (Outcome::Refused, _) => {
                    self.spending.unused(&open);
                    let why = why.unwrap_or_else(|| "without a reason".to_owned());
                    return Finished::Refused(refusal(&format!("the payment was refused: {why}; nothing was charged")));
                }
                (Outcome::NotServed, Ok(result)) => {
                    self.spending.unused(&open);
                    return Finished::Result(result);
                }
                (_, _) if Instant::now() + Duration::from_secs(pause) < until => {
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
                (outcome, _) => return Finished::Result(unfinished(outcome, &open, why)),
            }
        }
    }

    /// The report of its wallet that an agent gets.
    pub(super) fn report(&self) -> Result<Value, Failure> {
        let now: UnixTime = SystemTime::now().into();
        let spent = self.spending.spent(self.budget.period, now.0)?;
        let networks: Vec<String> = self.policy.networks.iter().map(ToString::to_string).collect();
        Ok(json!({
            "payer": self.key.address().to_string(),
            "period": self.budget.period.as_str(),
            "budgetDollars": self.budget.most.to_string(),
            "spentDollars": spent.spent.to_string(),
            "leftDollars": self.budget.most.less(spent.spent).to_string(),
            "mostPerCallDollars": self.policy.max.digits,
            "networks": networks,
            "openPayments": spent.open,
        }))
    }
}

/// Marks a payment as being sent, until this is dropped.
struct Sending<'s> {
    sent: &'s Mutex<HashSet<String>>,
    nonce: String,
}

impl<'s> Sending<'s> {
    fn new(sent: &'s Mutex<HashSet<String>>, nonce: &str) -> Self {
        sent.lock().insert(nonce.to_owned());
        Self { sent, nonce: nonce.to_owned() }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.sent.lock().remove(&self.nonce);
    }
}

fn price_of(option: &PaymentOption) -> String {
    let amount = option.amount.decimal(option.asset.decimals);
    format!("{amount} {} on {} to {}", option.asset.symbol, option.asset.network, option.pay_to)
}

/// The result of a call that is not paid.
pub(super) fn refusal(message: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(message)])
}

/// The result of a paid call that has no answer yet.
fn unfinished(outcome: Outcome, open: &OpenPayment, why: Option<String>) -> CallToolResult {
    let why = why.map(|why| format!(" ({})", coinslot_base::text::excerpt(&why, 300))).unwrap_or_default();
    let state = match outcome {
        Outcome::Owed => "is paid, and the answer is owed",
        Outcome::TryAgain => "was not charged, and may be later",
        _ => "was sent, and it is unknown whether it was charged",
    };
    refusal(&format!(
        "the payment of {} {state}{why}. Do not pay in another way: call this tool again with the same arguments, which \
         sends the same payment, and is not charged twice",
        open.price
    ))
}
