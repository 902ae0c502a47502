//! Checks what one payment bought, and what it buys when it is sent again.

use crate::doctor::check::{Check, Verdict};
use crate::doctor::client::{Answer, Unanswered};
use crate::doctor::observation::{Observed, PaidFacts, PaymentFacts, TransferFacts};

pub(super) const CHECKS: &[Check<Observed>] = &[
    Check {
        name: "payment",
        why: "this is what the endpoint is for",
        advice: "look up the reason in the answer, and at the facilitator; see that the payer has the token",
        judge: payment,
    },
    Check {
        name: "receipt",
        why: "a buyer proves and books a purchase by the receipt: transaction, network and payer",
        advice: "send PAYMENT-RESPONSE (X-PAYMENT-RESPONSE to version 1) with success, transaction, network and \
              payer with every paid answer",
        judge: receipt,
    },
    Check {
        name: "transfer",
        why: "an answer without a transfer is given away, and two transfers for one answer are a theft",
        advice: "answer after the settlement is in a block, and settle one authorization once",
        judge: transfer,
    },
    Check {
        name: "repeat",
        why: "a client whose connection broke sends the same payment again: if it gets a new challenge instead \
              of its answer, it pays twice",
        advice: "remember what a payment bought until it expires, and answer the same request with the same \
              payment with it, or with 409; never with a new challenge",
        judge: repeat,
    },
    Check {
        name: "stranger",
        why: "a payment is public once it is settled: whoever reads the chain can send it, and must not get the \
              answer",
        advice: "give the answer again only to a client that shows something that was not published, such as a \
              secret of its challenge",
        judge: stranger,
    },
];

/// The purchase, if there is an answer to a payment that was taken.
fn bought(observed: &Observed) -> Result<(&PaidFacts, &Answer), Verdict> {
    match &observed.payment {
        PaymentFacts::NotPaid(why) | PaymentFacts::Failed(why) => Err(Verdict::skipped(why.as_str())),
        PaymentFacts::Paid(paid) => match &paid.answer {
            Ok(answer) if answer.status < 400 => Ok((paid, answer)),
            _ => Err(Verdict::skipped("the payment did not buy an answer")),
        },
    }
}

fn payment(observed: &Observed) -> Verdict {
    let paid = match &observed.payment {
        PaymentFacts::NotPaid(why) => return Verdict::skipped(why.as_str()),
        PaymentFacts::Failed(why) => return Verdict::failed(why.as_str()),
        PaymentFacts::Paid(paid) => paid,
    };
    match &paid.answer {
        Err(error) => Verdict::failed(format!("{}: {error}; whether it was charged is unknown", paid.price)),
        Ok(answer) if answer.status < 400 => {
            Verdict::ok(format!("{} bought {} in {} ms", paid.price, answer.status, paid.took.as_millis()))
        }
        // The request may lack what the endpoint asks for.
        Ok(answer)
            if matches!(answer.status, 400 | 404 | 405 | 406 | 411 | 413 | 415 | 422) && paid.receipt.is_none() =>
        {
            Verdict::warning(format!(
                "the request was refused with {}: name one with --method, --body and --header",
                answer.status
            ))
        }
        Ok(answer) => {
            let why = paid.receipt.as_ref().and_then(|receipt| receipt.error_reason.clone()).or_else(|| reason(answer));
            Verdict::failed(format!(
                "{} bought {}: {}",
                paid.price,
                answer.status,
                why.unwrap_or_else(|| "no reason is given".to_owned())
            ))
        }
    }
}

/// The reason of a refusal.
fn reason(answer: &Answer) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    Some(["error", "message"].into_iter().find_map(|key| body.get(key)?.as_str())?.to_owned())
}

fn receipt(observed: &Observed) -> Verdict {
    let (paid, _) = match bought(observed) {
        Ok(bought) => bought,
        Err(verdict) => return verdict,
    };
    let Some(receipt) = &paid.receipt else { return Verdict::failed("there is no receipt that can be read") };
    let mut failures = Vec::new();
    if !receipt.success {
        failures.push("success is false beside an answer".to_owned());
    }
    if receipt.transaction.is_empty() {
        failures.push("it names no transaction".to_owned());
    }
    let network = coinslot_x402::Network::parse_v1(&receipt.network);
    if network.as_ref() != Ok(&paid.network) {
        failures.push(format!("its network is {:?}, not {}", receipt.network, paid.network));
    }
    let mut warnings = Vec::new();
    match &receipt.payer {
        Some(payer) if payer.parse() == Ok(paid.payer) => {}
        Some(payer) => failures.push(format!("its payer is {payer:?}")),
        None => warnings.push("it names no payer".to_owned()),
    }
    Verdict::of(failures, warnings, format!("transaction {}", receipt.transaction))
}

fn transfer(observed: &Observed) -> Verdict {
    if let Err(verdict) = bought(observed) {
        return verdict;
    }
    let PaymentFacts::Paid(paid) = &observed.payment else { return Verdict::skipped("nothing was paid") };
    match &paid.transfer {
        TransferFacts::NotAsked(why) => Verdict::skipped(why.as_str()),
        TransferFacts::Found => Verdict::ok("the money moved once"),
        TransferFacts::Missing(why) | TransferFacts::Unmoved(why) | TransferFacts::PaidTwice(why) => {
            Verdict::failed(why.as_str())
        }
    }
}

fn repeat(observed: &Observed) -> Verdict {
    let (paid, answer) = match bought(observed) {
        Ok(bought) => bought,
        Err(verdict) => return verdict,
    };
    match &paid.repeated {
        Err(error) => Verdict::warning(format!("the same payment again: {error}")),
        Ok(again) if again.status == answer.status && again.body == answer.body => {
            Verdict::ok("the same payment fetches the same answer")
        }
        Ok(again) if again.status < 400 => Verdict::warning("the same payment runs the endpoint again, for one price"),
        Ok(again) if again.status == 402 => Verdict::warning("the same payment gets a new challenge"),
        Ok(again) if again.status >= 500 => Verdict::warning(format!("the same payment gets {}", again.status)),
        Ok(again) => {
            Verdict::ok(format!("the same payment is refused with {}, and no new one is asked for", again.status))
        }
    }
}

fn stranger(observed: &Observed) -> Verdict {
    let (paid, answer) = match bought(observed) {
        Ok(bought) => bought,
        Err(verdict) => return verdict,
    };
    let served = |exchange: &Result<Answer, Unanswered>| {
        exchange
            .as_ref()
            .is_ok_and(|again| again.status < 400 && (again.body == answer.body || again.status == answer.status))
    };
    match &paid.stranger {
        Some(exchange) if served(exchange) => {
            Verdict::failed("a repetition without the secret of the challenge gets the answer")
        }
        Some(Ok(refused)) => Verdict::ok(format!("a repetition by somebody else is refused with {}", refused.status)),
        Some(Err(error)) => Verdict::warning(format!("a repetition by somebody else: {error}")),
        None if served(&paid.repeated) => Verdict::warning(
            "the same payment is answered again, and the challenge has nothing that only its client knows",
        ),
        None => Verdict::ok("nobody is served by a repetition"),
    }
}
