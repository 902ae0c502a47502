//! Buys once from an endpoint under examination, and sends the same payment again.
//!
//! The payment is kept on disk before it is sent, as that of `coinslot pay`, and until its outcome is known.

#![expect(clippy::disallowed_methods, reason = "a payment is signed for a window of time")]

use std::time::{Duration, SystemTime};

use alloy::primitives::{Address, B256, U256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use coinslot_evm::abi::IEip3009;
use coinslot_evm::eip3009::{AuthorizationUse, use_in};
use coinslot_evm::{Chain, Key};
use coinslot_x402::header::PAYMENT_SIGNATURE;
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::args::DoctorArgs;
use crate::cli::pay::{self, PayArgs, PaymentStore, PurchaseSummary, RequestSpec, SavedPayment};
use crate::cli::{Failure, dev_hosts};
use crate::doctor::{Answer, DoctorClient, DoctorRequest, Observed, PaidFacts, PaymentFacts, TransferFacts, receipt};
use crate::logging;
use crate::wallet::{PaymentOption, ReceivedChallenge, SignedPayment, SpendingPolicy, sign};

/// The least time that a paid request gets: a settlement waits for a block.
const LEAST_TIMEOUT: Duration = Duration::from_secs(60);

/// Buys at most once in a run.
pub(super) struct Buyer {
    args: PayArgs,
    policy: SpendingPolicy,
    /// None: no key was named, and no development host of this user is examined.
    means: Option<Means>,
    has_paid: bool,
}

/// The key that pays, and the folder that keeps what it has signed.
struct Means {
    key: Key,
    store: PaymentStore,
}

impl Buyer {
    /// Reads the key and opens the folder of payments, if it is to pay at this address: before anything is asked, so that
    /// no examination ends without its report.
    pub(super) fn open(args: &DoctorArgs, url: &Url) -> Result<Self, Failure> {
        let has_key = args.pay || args.key_env.is_some() || args.key_file.is_some() || args.dev_json.is_some();
        let args = args.of_pay();
        let policy = pay::policy(&args)?;
        let means = match has_key || dev_hosts::serving(url).is_some() {
            true => {
                let key = pay::key(&args.payer, url)?.key;
                let store = PaymentStore::open(args.state_dir.as_deref())?;
                store.check()?;
                Some(Means { key, store })
            }
            false => None,
        };
        Ok(Self { args, policy, means, has_paid: false })
    }

    /// Pays once, if there is a key and the price is within the limit.
    pub(super) async fn buy(&mut self, observed: &Observed, chain: Option<&Chain>) -> PaymentFacts {
        let declined = |why: &str| PaymentFacts::NotPaid(why.to_owned());
        let Some(facts) = &observed.challenge else { return declined("there is no challenge") };
        if self.has_paid {
            return declined("another endpoint was paid in this run, and one payment is made");
        }
        let Some(means) = &self.means else {
            return declined("no key was named: --key-file, --key-env, or --pay with COINSLOT_PAYER_KEY");
        };
        let challenge = ReceivedChallenge::read(facts.headers.first().map(Vec::as_slice), &facts.body);
        let challenge = match challenge {
            Ok(challenge) => challenge,
            Err(error) => return declined(&error.to_string()),
        };
        let option = match self.policy.choose(&challenge) {
            Ok(option) => option,
            Err(too_dear) => return declined(&too_dear.to_string()),
        };
        self.has_paid = true;
        match self.pay(observed, &challenge, option, means, chain).await {
            Ok(paid) => PaymentFacts::Paid(Box::new(paid)),
            Err(failure) => PaymentFacts::Failed(failure.message),
        }
    }

    async fn pay(
        &self,
        observed: &Observed,
        challenge: &ReceivedChallenge,
        option: &PaymentOption,
        Means { key, store }: &Means,
        chain: Option<&Chain>,
    ) -> Result<PaidFacts, Failure> {
        let timeout = Duration::from_secs(self.args.timeout).max(LEAST_TIMEOUT);
        let client =
            DoctorClient::new(timeout, self.args.ca.as_deref()).map_err(|error| Failure::new(error.to_string()))?;
        let token = PayerToken::of(option, key.address(), chain);
        let before = token.balance().await;
        let now = SystemTime::now().into();
        let payment = sign(key, challenge, option, now).map_err(|error| Failure::new(error.to_string()))?;
        let summary = PurchaseSummary::new(challenge.version, option, payment.payer);
        let price = summary.offer_line();
        let request = &observed.target.request;
        let dev_chain = dev_hosts::chain_run(self.args.payer.dev_json.as_deref(), &request.url);
        let saved = SavedPayment::new(spec_of(request), &payment, summary, dev_chain);
        let path = store.save(&saved)?;

        let answer = client.send(&with_payment(request, &payment, &payment.value)).await;
        let repeated = client.send(&with_payment(request, &payment, &payment.value)).await;
        let stranger = match without_secret(&payment) {
            Some(value) => Some(client.send(&with_payment(request, &payment, &value)).await),
            None => None,
        };
        let transfer = token.transfer(answer.as_ref().ok(), payment.nonce, before).await;
        // A receipt that no node contradicts, or a refusal by a server that was heard, is an end. Everything else may
        // still be charged.
        let is_contradicted = matches!(transfer, TransferFacts::Missing(_) | TransferFacts::Unmoved(_));
        let has_receipt = answer.as_ref().ok().and_then(receipt).is_some_and(|receipt| receipt.success);
        let is_settled = has_receipt && !is_contradicted;
        let is_refused = [&answer, &repeated].into_iter().all(|answer| {
            answer.as_ref().is_ok_and(|answer| answer.status >= 400 && answer.header_is("x-coinslot-charged", "no"))
        });
        if is_settled || is_refused {
            pay::discard(&path);
        } else {
            logging::say(&format!("the payment is kept: coinslot pay --resume {}", path.display()));
        }
        Ok(PaidFacts::new((price, payment.payer, option.asset.network.clone()), answer, repeated, stranger, transfer))
    }
}

/// The payer's token on the chain, if there is a node.
struct PayerToken<'c> {
    chain: Option<&'c Chain>,
    token: Option<Address>,
    payer: Address,
    pay_to: Address,
    amount: U256,
}

impl<'c> PayerToken<'c> {
    fn of(option: &PaymentOption, payer: Address, chain: Option<&'c Chain>) -> Self {
        let chain = chain.filter(|chain| option.asset.network.chain_id() == Some(chain.chain_id()));
        let token = option.asset.address.parse().ok();
        Self { chain, token, payer, pay_to: option.pay_to, amount: option.amount.0 }
    }

    async fn balance(&self) -> Option<U256> {
        let (chain, token) = (self.chain?, self.token?);
        chain.call(token, &IEip3009::balanceOfCall { account: self.payer }, None).await.ok()
    }

    /// The chain's word about the payment, after it was sent again.
    async fn transfer(&self, answer: Option<&Answer>, nonce: B256, before: Option<U256>) -> TransferFacts {
        let (Some(chain), Some(token)) = (self.chain, self.token) else {
            return TransferFacts::NotAsked("no node was asked: name one with --rpc".to_owned());
        };
        let transaction = answer.and_then(receipt).map(|receipt| receipt.transaction);
        let Some(hash) = transaction.as_ref().and_then(|hash| hash.parse::<B256>().ok()) else {
            return TransferFacts::Missing("the receipt names no transaction of an EVM chain".to_owned());
        };
        let found = match chain.receipt(hash).await {
            Err(error) => return TransferFacts::NotAsked(format!("the node does not answer: {error}")),
            Ok(None) => return TransferFacts::Missing(format!("transaction {hash} is in no block")),
            Ok(Some(found)) if !found.succeeded() => {
                return TransferFacts::Missing(format!("transaction {hash} was reverted"));
            }
            Ok(Some(found)) => found,
        };
        // A transfer of the same amount may be that of an older payment: the authorization tells them apart.
        match use_in(&found.logs, token, self.payer, nonce) {
            AuthorizationUse::Payment(paid) if paid.pay_to == self.pay_to && paid.amount == self.amount => {}
            AuthorizationUse::Payment(_) => {
                return TransferFacts::Missing(format!("transaction {hash} moved another amount, or to somebody else"));
            }
            AuthorizationUse::NoTransfer => {
                return TransferFacts::Missing(format!("transaction {hash} has no such transfer"));
            }
            AuthorizationUse::Unused => {
                let why = "does not use the authorization of this payment: it settled something else";
                return TransferFacts::Missing(format!("transaction {hash} {why}"));
            }
        }
        match before.zip(self.balance().await).map(|(before, after)| before.saturating_sub(after)) {
            Some(spent) if spent > self.amount => TransferFacts::PaidTwice(format!(
                "the payer has {spent} atomic units less, and the price is {}",
                self.amount
            )),
            Some(spent) if spent.is_zero() => TransferFacts::Unmoved(format!(
                "the payer has as much as before, although transaction {hash} shows the transfer: nothing moved, or the \
                 payer got something meanwhile"
            )),
            Some(_) | None => TransferFacts::Found,
        }
    }
}

/// The request as `coinslot pay` keeps it.
fn spec_of(request: &DoctorRequest) -> RequestSpec {
    let headers = request.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    RequestSpec {
        url: request.url.clone(),
        method: request.method.to_string(),
        headers: headers.collect(),
        body: (!request.body.is_empty()).then(|| BASE64_STANDARD.encode(&request.body)),
    }
}

fn with_payment(request: &DoctorRequest, payment: &SignedPayment, value: &str) -> DoctorRequest {
    let mut paid = request.clone();
    if let Ok(value) = HeaderValue::from_str(value) {
        paid.headers.insert(HeaderName::from_static(payment.header), value);
    }
    paid
}

/// The same payment with another secret of the challenge, as somebody has it who has read the chain. None: the
/// challenge has none.
fn without_secret(payment: &SignedPayment) -> Option<String> {
    if payment.header != PAYMENT_SIGNATURE {
        return None;
    }
    let mut document: Value = serde_json::from_slice(&BASE64_STANDARD.decode(&payment.value).ok()?).ok()?;
    let secret = document.pointer_mut("/accepted/extra/secret").filter(|secret| secret.is_string())?;
    *secret = hex::encode(secp256k1::rand::random::<[u8; 16]>()).into();
    Some(BASE64_STANDARD.encode(document.to_string()))
}
