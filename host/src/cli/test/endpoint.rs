//! Checks one endpoint against what its plugin declares: its price, its input, its answers, and its receipts.

use coinslot_plugin::{DeclaredPrice, EndpointInfo};
use coinslot_x402::price::{Amount, Decimal};

use super::buyer::{Buyer, ReadAnswer};
use super::report::{Report, Suite};
use crate::example::{ExampleRequest, ForbiddenRequest};
use crate::schema::{AnswerSchema, InputSchema, SchemaCompiler, Unenforced};
use crate::wallet::{ReceivedChallenge, SignedPayment};

/// The advice for an endpoint whose input cannot be made.
const GIVE_EXAMPLES: &str = "give an input that it accepts as `examples` in its input schema: of a field, or of the \
                             whole input as { \"path\": .., \"query\": .., \"body\": .. }";

/// The advice for an endpoint that declares nothing of its body.
const DECLARE_BODY: &str = "it declares nothing of its body, and neither a text nor a form that are made up suit it: \
                            declare the body with a schema that has `examples`, and for a form with files \
                            `contentMediaType` as \"multipart/form-data\", or test the endpoint itself and leave it out \
                            here with --filter";

/// Advice on an answer of another media type.
const DECLARE_TYPE: &str = "declare the one that it sends, by `returns` or `mimeType` in JavaScript, `mime_type` in \
                            Python and Rust";

/// An endpoint under test.
pub(super) struct EndpointCheck<'c> {
    pub(super) buyer: &'c Buyer,
    pub(super) declared: &'c EndpointInfo,
    /// Inputs are checked: the operator has not disabled it.
    pub(super) is_enforced: bool,
    /// The parts of the schemas that the host does not enforce.
    pub(super) unenforced: &'c [Unenforced],
    /// Added to the reason of an answer that is a failure.
    pub(super) advice: &'c str,
}

/// The result of a check: the observation, or the fault.
type Checked = Result<String, String>;

/// The schemas of an endpoint, as far as they can be compiled.
struct Schemas {
    input: Option<InputSchema>,
    output: Option<AnswerSchema>,
}

impl EndpointCheck<'_> {
    /// Runs every check, and reports each.
    pub(super) async fn run(&self, report: &mut Report) {
        let group = format!("{} {}", self.declared.method, self.declared.path);
        for unenforced in self.unenforced {
            report.skip(Suite::Contract, &group, "schema", unenforced.to_string());
        }
        if !self.is_enforced && self.declared.input_schema.is_some() {
            let reason = "the host does not check inputs: the configuration has validate = \"off\" for the plugin";
            report.skip(Suite::Contract, &group, "schema", reason.to_owned());
        }
        let mut add = |name: &str, checked: Checked| report.add(Suite::Contract, &group, name, checked);
        let schemas = self.schemas();
        let mut example = match ExampleRequest::of(self.declared, schemas.input.as_ref()) {
            Ok(example) => example,
            Err(reason) => return add("example", Err(format!("{reason}: {GIVE_EXAMPLES}"))),
        };
        let forbidden = schemas.input.as_ref().filter(|_| self.is_enforced);
        let forbidden = forbidden.and_then(|input| ExampleRequest::forbidden(self.declared, input));
        let mut answer = match self.buyer.send(&example, None).await {
            Ok(answer) => answer,
            Err(reason) => return add("unpaid", Err(reason)),
        };
        if let Some(form) = self.as_form(&example, &answer)
            && let Ok(answered) = self.buyer.send(&form, None).await
            && (answered.status < 400 || answered.status == 402)
        {
            (example, answer) = (form, answered);
        }
        let is_free = match self.declared.price {
            DeclaredPrice::Free => true,
            // A quote may say that this very request costs nothing.
            DeclaredPrice::Quoted(_) => answer.status < 400,
            DeclaredPrice::Exact(_) | DeclaredPrice::UpTo(_) => false,
        };
        if is_free {
            add("free", self.answer(&answer, &schemas));
            if let Some(forbidden) = &forbidden {
                add("forbidden", self.refused(forbidden, None).await);
            }
            return;
        }
        let challenge = match self.challenge(&answer) {
            Ok((challenge, seen)) => {
                add("unpaid", Ok(seen));
                challenge
            }
            Err(reason) => return add("unpaid", Err(reason)),
        };
        if let Some(forbidden) = &forbidden {
            add("forbidden", self.refused(forbidden, Some(&challenge)).await);
        }
        let mut paid = self.paid(&example, &challenge, &schemas).await;
        if let Ok(first) = &paid
            && let Some(form) = self.as_form(&example, &first.answer)
            && let Ok(second) = self.paid(&form, &challenge, &schemas).await
            && second.answer.status < 400
        {
            (paid, example) = (Ok(second), form);
        }
        match paid {
            Ok(paid) => {
                add("paid", paid.checked.clone());
                // What was charged without an answer is the first fault: a second one would only repeat it.
                if paid.answer.receipt().is_some() && paid.answer.status < 400 {
                    add("again", self.again(&example, &paid).await);
                }
            }
            Err(reason) => add("paid", Err(reason)),
        }
    }

    /// The request with a form as its body, for an endpoint that declares nothing of its body, and that has not taken
    /// the text that is made up for it.
    fn as_form(&self, example: &ExampleRequest, answer: &ReadAnswer) -> Option<ExampleRequest> {
        let may_want_form = matches!(answer.status, 400 | 415 | 422 | 500) && answer.receipt().is_none();
        example.as_form(self.declared).filter(|_| may_want_form)
    }

    /// The advice for an answer of 400 or above.
    fn advice_on(&self, status: u16) -> &str {
        match status {
            400 | 415 | 422 if ExampleRequest::makes_up_body(self.declared) => DECLARE_BODY,
            400..500 => GIVE_EXAMPLES,
            _ => self.advice,
        }
    }

    fn schemas(&self) -> Schemas {
        let (input, output) = (self.declared.input_schema.as_ref(), self.declared.output_schema.as_ref());
        let compiled = SchemaCompiler::run(|compiler| Schemas {
            input: input.and_then(|schema| Some(InputSchema::compile(compiler, schema).ok()?.0)),
            output: output.and_then(|schema| Some(AnswerSchema::compile(compiler, "", schema).ok()?.0)),
        });
        compiled.unwrap_or(Schemas { input: None, output: None })
    }

    /// Checks the 402: valid requirements, to the seller, with the declared price.
    fn challenge(&self, answer: &ReadAnswer) -> Result<(ReceivedChallenge, String), String> {
        if answer.status != 402 {
            let advice = self.advice_on(answer.status);
            let what = if answer.status < 400 { "it was answered without a payment" } else { "no price was asked" };
            return Err(format!("{what}: {}: {advice}", answer.summary()));
        }
        let challenge = answer.challenge()?;
        let option = challenge.options.first().ok_or("the challenge has no way to pay")?;
        if option.pay_to != self.buyer.seller() {
            return Err(format!("the challenge pays {}, and the seller is {}", option.pay_to, self.buyer.seller()));
        }
        let price = |amount: Amount| format!("{} {}", amount.decimal(option.asset.decimals), option.asset.symbol);
        let amount_of = |text: &str| {
            let decimal = Decimal::parse(text).map_err(|error| error.to_string())?;
            Amount::of(&decimal, &option.asset).map_err(|error| error.to_string())
        };
        let seen = match &self.declared.price {
            DeclaredPrice::Free => return Err("the endpoint is declared free, and asks for a payment".to_owned()),
            DeclaredPrice::Exact(declared) | DeclaredPrice::UpTo(declared) => {
                let declared = amount_of(declared)?;
                if option.amount != declared {
                    return Err(format!("it asks for {}, and declares {}", price(option.amount), price(declared)));
                }
                format!("402, {}", price(declared))
            }
            DeclaredPrice::Quoted(most) => {
                let most = amount_of(most)?;
                if option.amount > most {
                    return Err(format!("it quotes {}, and declares at most {}", price(option.amount), price(most)));
                }
                format!("402, quotes {}, at most {}", price(option.amount), price(most))
            }
        };
        Ok((challenge, seen))
    }

    /// Checks that a forbidden input is refused, and that nobody pays for it.
    async fn refused(&self, forbidden: &ForbiddenRequest, challenge: Option<&ReceivedChallenge>) -> Checked {
        let ForbiddenRequest { request, refusal } = forbidden;
        let pointer = if refusal.pointer.is_empty() { "the input" } else { &refusal.pointer };
        let what = format!("{pointer}: {}", refusal.reason);
        let check = |answer: &ReadAnswer| match answer.status {
            402 => Err(format!("a price is asked for an input that the schema forbids ({what})")),
            400..500 => Ok(()),
            _ => Err(format!("an input that the schema forbids ({what}) is not refused: {}", answer.summary())),
        };
        let unpaid = self.buyer.send(request, None).await?;
        check(&unpaid)?;
        let Some(challenge) = challenge else { return Ok(format!("{}, {what}", unpaid.status)) };
        let before = self.buyer.balance().await?;
        let payment = self.buyer.sign(challenge)?;
        check(&self.buyer.send(request, Some(&payment)).await?)?;
        if self.buyer.balance().await? != before {
            return Err(format!("an input that the schema forbids ({what}) is charged"));
        }
        Ok(format!("{}, nothing charged, {what}", unpaid.status))
    }

    /// Pays, and checks the answer and what it cost. Fails if there is no answer at all.
    async fn paid(
        &self,
        example: &ExampleRequest,
        challenge: &ReceivedChallenge,
        schemas: &Schemas,
    ) -> Result<PaidAnswer, String> {
        let before = self.buyer.balance().await?;
        let payment = self.buyer.sign(challenge)?;
        let answer = self.buyer.send(example, Some(&payment)).await?;
        let after = self.buyer.balance().await?;
        let spent = Amount(before.0.saturating_sub(after.0));
        let checked = self.purchase(&answer, challenge, spent, schemas);
        Ok(PaidAnswer { payment, answer, left: after, checked })
    }

    fn purchase(
        &self,
        answer: &ReadAnswer,
        challenge: &ReceivedChallenge,
        spent: Amount,
        schemas: &Schemas,
    ) -> Checked {
        let option = challenge.options.first().ok_or("the challenge has no way to pay")?;
        let price = |amount: Amount| format!("{} {}", amount.decimal(option.asset.decimals), option.asset.symbol);
        let charged = match spent.0.is_zero() {
            true => "nothing was charged".to_owned(),
            false => format!("{} was charged", price(spent)),
        };
        let seen = self.answer(answer, schemas).map_err(|reason| format!("{reason} ({charged})"))?;
        let receipt = answer.receipt().ok_or_else(|| format!("the answer has no receipt ({charged})"))?;
        if receipt.transaction.is_empty() {
            return Err("the receipt names no transaction".to_owned());
        }
        let payer = receipt.payer.as_deref().unwrap_or_default();
        if !payer.eq_ignore_ascii_case(&self.buyer.payer().to_string()) {
            return Err(format!("the receipt names another payer: {payer}"));
        }
        if spent != option.amount {
            return Err(format!("{} was charged, and the price is {}", price(spent), price(option.amount)));
        }
        Ok(format!("{seen}, {} charged", price(spent)))
    }

    /// Sends the same payment again: the same answer, and no second charge.
    async fn again(&self, example: &ExampleRequest, paid: &PaidAnswer) -> Checked {
        let second = self.buyer.send(example, Some(&paid.payment)).await?;
        let left = self.buyer.balance().await?;
        if left != paid.left {
            return Err("the same payment was charged twice".to_owned());
        }
        if second.status != paid.answer.status || second.body != paid.answer.body {
            let (first, second) = (paid.answer.summary(), second.summary());
            return Err(format!("the same payment got another answer: first {first}, then {second}"));
        }
        Ok("the same answer, charged once".to_owned())
    }

    /// Checks an answer against what is declared: its status, its media type, its schema.
    fn answer(&self, answer: &ReadAnswer, schemas: &Schemas) -> Checked {
        if answer.status >= 400 {
            let advice = self.advice_on(answer.status);
            return Err(format!("{}: {advice}", answer.summary()));
        }
        let essence = crate::schema::essence;
        let (declared, sent) = (essence(&self.declared.mime_type), essence(answer.media_type()));
        if answer.body.is_empty() && sent.is_empty() {
            return Ok(format!("{} without a body", answer.status));
        }
        if declared != sent {
            let sent = if sent.is_empty() { "nothing".to_owned() } else { sent };
            return Err(format!("its media type is {sent}, and {declared} is declared: {DECLARE_TYPE}"));
        }
        let is_json = sent == "application/json" || sent.ends_with("+json");
        match &schemas.output {
            Some(schema) if is_json && answer.status < 300 => match schema.misfit(&answer.body) {
                Some(misfit) => Err(format!("the answer does not fit its output schema: {misfit}")),
                None => Ok(format!("{} {sent}, fits its schema", answer.status)),
            },
            _ => Ok(format!("{} {sent}", answer.status)),
        }
    }
}

/// An answer that was paid for.
struct PaidAnswer {
    payment: SignedPayment,
    answer: ReadAnswer,
    /// The payer's money afterwards.
    left: Amount,
    checked: Checked,
}
