//! Pays calls within the limits, and sends a payment whose end is unknown again.

#![expect(clippy::disallowed_methods, reason = "a payment is signed for a window of time")]

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coinslot_base::text::excerpt;
use coinslot_evm::Key;
use coinslot_x402::UnixTime;
use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use rmcp::service::ServiceError;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answer;
use super::budget::{Budget, Dollars};
use super::errors::why_unanswered;
use super::proof::PaymentProof;
use super::remote::{CallCredential, Caller, Remote};
use super::spending::{
    CountedAuthorization, NotBegun, OpenPayment, PaymentEnd, SendingPayment, SpendingFile, day_of, time_of,
};
use crate::cli::Failure;
use crate::cli::pay::Outcome;
use crate::logging;
use crate::wallet::{self, PaymentOption, ReceivedChallenge, SpendingPolicy, sign};

/// The most characters of a server's text in a message.
const MOST_SHOWN: usize = 300;
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
    proof: PaymentProof,
}

impl AgentPayer {
    pub(super) fn new(
        key: Key,
        policy: SpendingPolicy,
        budget: Budget,
        spending: SpendingFile,
        proof: PaymentProof,
    ) -> Self {
        Self { key, policy, budget, spending, proof }
    }

    /// Calls a tool, and pays if it has to.
    pub(super) async fn call(
        &self,
        remote: &Remote,
        tool: &str,
        arguments: &JsonObject,
        caller: &Caller,
    ) -> Result<CallToolResult, ServiceError> {
        if self.spending.has_expired(tool, arguments, now()) {
            self.give_back().await;
        }
        match self.spending.resume(tool, arguments, now()) {
            Ok(Some(sending)) => return Ok(self.finish(remote, sending, caller).await),
            Ok(None) => {}
            Err(failure) => return Ok(refusal(&failure.message)),
        }
        let first = remote.call(tool, arguments, CallCredential::None, caller).await?;
        let Some(mut challenge) = answer::challenge(&first) else { return Ok(first) };
        if let Some(option) = self.policy.to_sign_in(&challenge)
            && let Some(proof) = self.account_proof(remote, &challenge, option)
        {
            let result = remote.call(tool, arguments, CallCredential::SignIn(&proof), caller).await?;
            match answer::challenge(&result) {
                Some(newer) if self.policy.choose(&newer).is_ok_and(|asked| !asked.is_at_most(option)) => {
                    return Ok(refusal(
                        "the server asks for more since the account has signed in; nothing was paid. Call the tool again \
                         to pay its price, if it stays",
                    ));
                }
                Some(newer) => challenge = newer,
                // The server does not take the account: it is paid as by anybody.
                None if result.is_error == Some(true) => {}
                None => return Ok(self.unpaid(tool, result)),
            }
        }
        Ok(match self.begin(&challenge, tool, arguments).await {
            Ok(sending) => self.finish(remote, sending, caller).await,
            Err(message) => refusal(&message),
        })
    }

    /// The proof of the account, if the server takes one in place of a payment.
    fn account_proof(&self, remote: &Remote, challenge: &ReceivedChallenge, option: &PaymentOption) -> Option<Value> {
        match wallet::sign_in(&self.key, challenge, option, remote.url().as_str()) {
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
        logging::say(&format!("{}: nothing was paid: signed in as {account}", excerpt(tool, 100)));
        result.meta.get_or_insert_default().insert(SIGNED_IN.to_owned(), account.into());
        result
    }

    /// Signs a payment and counts it. Fails with the reason why it is not paid.
    async fn begin(
        &self,
        challenge: &ReceivedChallenge,
        tool: &str,
        arguments: &JsonObject,
    ) -> Result<SendingPayment, String> {
        let option = self.policy.choose(challenge).map_err(|declined| {
            format!("{declined}; nothing was paid. The limits are those of --max and --network of `coinslot mcp`")
        })?;
        let price = price_of(option);
        let dollars = Dollars::of(option.amount, option.asset.decimals)
            .ok_or_else(|| format!("the price, {price}, is more than there is; nothing was paid"))?;
        let begin = || {
            let now = now();
            let sign = || self.sign(challenge, option, (tool, arguments), dollars, now);
            self.spending.begin(self.budget, dollars, now, sign)
        };
        let begun = match begin() {
            Err(NotBegun::OverBudget { .. }) if self.give_back().await => begin(),
            begun => begun,
        };
        begun.map_err(|why| match why {
            NotBegun::OverBudget { left } => format!(
                "the price is {price}, and {left} of the budget of {} dollars {} are left; nothing was paid. The user \
                 raises the budget with --budget of `coinslot mcp`",
                self.budget.most,
                self.budget.period.as_str(),
            ),
            NotBegun::TooManyOpen => {
                "the ends of too many payments are open; nothing was paid. Make one of those calls \
                 again with the same arguments, or wait until their time is over"
                    .to_owned()
            }
            NotBegun::File(failure) => format!("{failure}; nothing was paid"),
        })
    }

    fn sign(
        &self,
        challenge: &ReceivedChallenge,
        option: &PaymentOption,
        (tool, arguments): (&str, &JsonObject),
        dollars: Dollars,
        now: u64,
    ) -> Result<OpenPayment, Failure> {
        let failed = |error: String| Failure::new(error);
        let signed = sign(&self.key, challenge, option, UnixTime(now)).map_err(|error| failed(error.to_string()))?;
        let json = STANDARD.decode(&signed.value).map_err(|error| failed(error.to_string()))?;
        Ok(OpenPayment {
            tool: tool.to_owned(),
            arguments: arguments.clone(),
            payment: serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))?,
            price: price_of(option),
            counted: CountedAuthorization {
                nonce: signed.nonce.to_string(),
                network: option.asset.network.to_string(),
                token: option.asset.address.clone(),
                dollars: dollars.0.to_string(),
                day: day_of(now),
                expires: signed.expires.0,
            },
        })
    }

    /// Sends a payment until its end is known, or for some time.
    ///
    /// A server's refusal proves that nothing was charged only for a payment that was never sent before: one that was may
    /// have been settled then, and its answer lost.
    async fn finish(&self, remote: &Remote, mut sending: SendingPayment, caller: &Caller) -> CallToolResult {
        let until = Instant::now() + REPEAT_FOR;
        loop {
            let open = &sending.payment;
            let sent = remote.call(&open.tool, &open.arguments, CallCredential::Payment(&open.payment), caller).await;
            let (said, pause, why) = match &sent {
                Ok(result) => (answer::outcome(result), answer::pause(result), answer::reason(result)),
                Err(error) => (Outcome::Unknown, 1, Some(why_unanswered(error))),
            };
            let outcome = if sending.was_sent { said.of_repetition() } else { said };
            match (outcome, sent) {
                (Outcome::Answered | Outcome::Gone, Ok(result)) => {
                    // Without a receipt nobody knows: it counts as paid.
                    self.spending.end(&sending, PaymentEnd::Charged);
                    return result;
                }
                (Outcome::Refused, _) => {
                    self.spending.end(&sending, PaymentEnd::NotCharged);
                    return refused(why);
                }
                (Outcome::NotServed, Ok(result)) => {
                    self.spending.end(&sending, PaymentEnd::NotCharged);
                    return result;
                }
                // To send it once more would change nothing.
                (Outcome::Unknown, _) if said.is_final_word() => return unfinished(outcome, open, why),
                (_, _) if Instant::now() + Duration::from_secs(pause) < until => {
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                }
                (outcome, _) => return unfinished(outcome, open, why),
            }
            sending.was_sent = true;
        }
    }

    /// Gives back what a node proves to be unused. False if that is nothing.
    async fn give_back(&self) -> bool {
        let proven = self.proof.look(self.key.address(), self.spending.provable(now())).await;
        if !(proven.unused.is_empty() && proven.used.is_empty()) {
            self.spending.note(&proven);
        }
        !proven.unused.is_empty()
    }

    /// The report of its wallet that an agent gets.
    pub(super) async fn report(&self) -> Result<Value, Failure> {
        self.give_back().await;
        let spent = self.spending.spent(self.budget.period, now())?;
        let networks: Vec<String> = self.policy.networks.iter().map(ToString::to_string).collect();
        Ok(json!({
            "payer": self.key.address().to_string(),
            "period": self.budget.period.as_str(),
            "budgetDollars": self.budget.most.to_string(),
            "spentDollars": spent.spent.to_string(),
            "unprovenDollars": spent.unproven.to_string(),
            "leftDollars": self.budget.most.less(spent.spent).to_string(),
            "mostPerCallDollars": self.policy.max.digits,
            "networks": networks,
            "openPayments": spent.open,
        }))
    }
}

/// The time in Unix seconds.
fn now() -> u64 {
    UnixTime::from(SystemTime::now()).0
}

fn price_of(option: &PaymentOption) -> String {
    let amount = option.amount.decimal(option.asset.decimals);
    format!("{amount} {} on {} to {}", option.asset.symbol, option.asset.network, option.pay_to)
}

/// The price of a call that cannot be paid, as in `0.002 USDC`. None: there is no price that this program could pay.
pub(super) fn cheapest(challenge: &ReceivedChallenge) -> Option<String> {
    let cost = |option: &PaymentOption| Dollars::of(option.amount, option.asset.decimals);
    let (_, option) =
        challenge.options.iter().filter_map(|option| Some((cost(option)?, option))).min_by_key(|it| it.0)?;
    Some(format!("{} {}", option.amount.decimal(option.asset.decimals), option.asset.symbol))
}

/// The result of a call that is not paid.
pub(super) fn refusal(message: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(message)])
}

/// The result of a call whose payment was refused when it was sent for the first time.
fn refused(why: Option<String>) -> CallToolResult {
    let why = why.map_or_else(|| "without a reason".to_owned(), |why| excerpt(&why, MOST_SHOWN));
    refusal(&format!(
        "the payment was refused: {why}. The server says that nothing was charged; the price counts as spent all the \
         same, because it has the signed payment"
    ))
}

/// The result of a paid call that has no answer yet.
fn unfinished(outcome: Outcome, open: &OpenPayment, why: Option<String>) -> CallToolResult {
    let why = why.map(|why| format!(" ({})", excerpt(&why, MOST_SHOWN))).unwrap_or_default();
    let price = &open.price;
    if outcome == Outcome::Unknown && open.counted.expires < now() {
        let until = time_of(open.sent_again_until());
        return refusal(&format!(
            "the payment of {price} was sent, and it is unknown whether it was charged{why}. Its time is over: it can be \
             charged no more, and counts as spent. Until {until} this call sends it again, in case the server still has \
             the answer, and pays anew after that. The user sees on the chain whether it was charged; with --rpc of \
             `coinslot mcp` this program looks itself, and gives back what was not"
        ));
    }
    let state = match outcome {
        Outcome::Owed => "is paid, and the answer is owed",
        Outcome::TryAgain => "was not charged, and may be later",
        _ => "was sent, and it is unknown whether it was charged; it counts as spent",
    };
    refusal(&format!(
        "the payment of {price} {state}{why}. Do not pay in another way: call this tool again with the same arguments, \
         which sends the same payment, and is not charged twice"
    ))
}
