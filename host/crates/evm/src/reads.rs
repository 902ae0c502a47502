//! Reads the state of the chain that decides about a payment, for many payments in one call.
//!
//! A question that comes alone is asked at once, by plain calls. Questions that come while another one is being
//! answered wait for its answer, and are then asked together, in one `eth_call` of `Probe.sol`. Transfers that are
//! tried in one call see each other, so one that fails there is tried again by itself: asking together changes no
//! answer.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolValue;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::abi::IEip3009::{authorizationStateCall, balanceOfCall};
use crate::abi::ProbeQuestion;
use crate::call_error::CallError;
use crate::chain::Chain;

/// Questions in one call. Their bytes have to fit EIP-3860's limit of creation code, and their gas the cap of a
/// node.
const MAX_QUESTIONS: usize = 64;

/// Calls under way, at most.
const MAX_CALLS_AT_ONCE: usize = 8;

/// The longest wait of a question for the answer to earlier questions, which may never come.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// Gas of one call with many questions.
const GAS: u64 = 16_000_000;

/// A question about one payment.
#[derive(Clone, Debug)]
pub struct PaymentQuestion {
    pub token: Address,
    pub payer: Address,
    pub nonce: B256,
    /// The data of the call that settles, to simulate it. It is not simulated for a payer with code.
    pub transfer: Option<Bytes>,
}

/// The answer of the chain.
#[derive(Clone, Debug)]
pub struct PaymentFinding {
    /// The payer is a contract, or an account that acts through one (EIP-7702).
    pub code: bool,
    /// The authorisation is used or cancelled.
    pub used: Result<bool, CallError>,
    pub balance: Result<U256, CallError>,
    /// The end of the simulation. None if there was none.
    pub transfer: Option<Result<(), CallError>>,
}

type FindingSender = oneshot::Sender<Result<PaymentFinding, CallError>>;

/// Asks the questions of many tasks together. It stops when its last clone is dropped.
#[derive(Clone, Debug)]
pub struct PaymentReader {
    queue: mpsc::UnboundedSender<(PaymentQuestion, FindingSender)>,
}

impl PaymentReader {
    pub fn start(chain: Arc<Chain>) -> Self {
        let (queue, questions) = mpsc::unbounded_channel();
        tokio::spawn(run(chain, questions));
        Self { queue }
    }

    /// Asks one question. An error means that nothing is known.
    pub async fn ask(&self, question: PaymentQuestion) -> Result<PaymentFinding, CallError> {
        let (reply, answer) = oneshot::channel();
        let gone = || CallError::Unreachable("the reader has stopped".to_owned());
        self.queue.send((question, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Groups questions into calls, and makes the calls.
///
/// A call begins at once if none is under way, so a question that comes alone does not wait. While a call is under way
/// the questions that come are collected, to be one request to the node: they go when that call ends, when there are as
/// many as fit, or after `MAX_WAIT`, in case its answer never comes. The calls are tasks of their own, so that a slow
/// answer does not stop the collecting.
async fn run(chain: Arc<Chain>, mut questions: mpsc::UnboundedReceiver<(PaymentQuestion, FindingSender)>) {
    let mut waiting: Vec<(PaymentQuestion, FindingSender)> = Vec::new();
    let mut since = Instant::now();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.try_join_next().is_some() {}
        let late = since + MAX_WAIT;
        let go = under_way.is_empty()
            || (under_way.len() < MAX_CALLS_AT_ONCE && (waiting.len() >= MAX_QUESTIONS || Instant::now() >= late));
        if go && !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(MAX_QUESTIONS));
            let batch = std::mem::replace(&mut waiting, rest);
            since = Instant::now();
            under_way.spawn(answer(chain.clone(), batch));
            continue;
        }
        let idle = waiting.is_empty();
        tokio::select! {
            // Questions first: those that are there already then go in one call.
            biased;
            question = questions.recv() => match question {
                Some(question) => {
                    if idle {
                        since = Instant::now();
                    }
                    waiting.push(question);
                    while let Ok(question) = questions.try_recv() {
                        waiting.push(question);
                    }
                }
                // Every sender is gone; the questions under way are still answered.
                None if idle => {
                    while under_way.join_next().await.is_some() {}
                    return;
                }
                None => {
                    under_way.join_next().await;
                }
            },
            Some(_) = under_way.join_next() => {}
            () = tokio::time::sleep_until(late), if !idle && under_way.len() < MAX_CALLS_AT_ONCE => {}
        }
    }
}

async fn answer(chain: Arc<Chain>, mut batch: Vec<(PaymentQuestion, FindingSender)>) {
    // A caller that has gone wants no answer.
    batch.retain(|(_, reply)| !reply.is_closed());
    if batch.len() > 1 {
        match together(&chain, batch.iter().map(|(question, _)| question)).await {
            Ok(findings) => {
                let mut again = Vec::new();
                for ((question, reply), finding) in batch.into_iter().zip(findings) {
                    match finding {
                        Some(finding) => drop(reply.send(Ok(finding))),
                        None => again.push((question, reply)),
                    }
                }
                batch = again;
            }
            Err(error @ CallError::Unreachable(_)) => {
                for (_, reply) in batch {
                    drop(reply.send(Err(error.clone())));
                }
                return;
            }
            // The node does not run `Probe.sol` as we ask it to.
            Err(error) => tracing::debug!(%error, "payments are read one by one"),
        }
    }
    let mut each = JoinSet::new();
    for (question, reply) in batch {
        let chain = chain.clone();
        each.spawn(async move { drop(reply.send(alone(&chain, question).await)) });
    }
    while each.join_next().await.is_some() {}
}

async fn alone(chain: &Chain, question: PaymentQuestion) -> Result<PaymentFinding, CallError> {
    let PaymentQuestion { token, payer, nonce, transfer } = question;
    let code = !chain.code(payer).await?.is_empty();
    let state = authorizationStateCall { authorizer: payer, nonce };
    let balance = balanceOfCall { account: payer };
    let (used, balance, transfer) =
        tokio::join!(chain.call(token, &state, None), chain.call(token, &balance, None), async {
            // A contract's transfer has another form, which its caller simulates.
            let data = transfer.filter(|_| !code)?;
            let request = TransactionRequest::default().to(token).input(data.into());
            Some(chain.run(request).await.map(drop))
        });
    Ok(PaymentFinding { code, used, balance, transfer })
}

/// Asks many questions in one call. None where only a question by itself gives the answer.
async fn together(
    chain: &Chain,
    questions: impl Iterator<Item = &PaymentQuestion> + Clone,
) -> Result<Vec<Option<PaymentFinding>>, CallError> {
    // The flags of `Probe.sol`.
    const HAS_CODE: u8 = 1;
    const STATE_READ: u8 = 2;
    const USED: u8 = 4;
    const BALANCE_READ: u8 = 8;
    const TRANSFERS: u8 = 16;

    let asked: Vec<ProbeQuestion> = questions.clone().map(ProbeQuestion::from).collect();
    let data = [&CREATION[..], &(asked,).abi_encode_params()].concat();
    let mut request = TransactionRequest::default().input(Bytes::from(data).into());
    request.gas = Some(GAS);
    let answer = chain.run(request).await?;
    let (words, rest) = answer.as_chunks::<32>();
    if words.len() != 2 * questions.clone().count() || !rest.is_empty() {
        return Err(CallError::Refused("the call did not return what it should".to_owned()));
    }
    let (findings, _) = words.as_chunks::<2>();
    let read = |(question, [flags, balance]): (&PaymentQuestion, &[[u8; 32]; 2])| {
        let has = |flag: u8| flags[31] & flag != 0;
        let tried = question.transfer.is_some() && !has(HAS_CODE);
        // A getter that failed beside others is asked alone, where its error can be read.
        let known = has(STATE_READ) && has(BALANCE_READ);
        // The transfer of a used authorisation fails, but not for a reason of its own: no second try.
        (known && (!tried || has(TRANSFERS) || has(USED))).then(|| PaymentFinding {
            code: has(HAS_CODE),
            used: Ok(has(USED)),
            balance: Ok(U256::from_be_bytes(*balance)),
            transfer: (tried && has(TRANSFERS)).then_some(Ok(())),
        })
    };
    Ok(questions.zip(findings).map(read).collect())
}

impl From<&PaymentQuestion> for ProbeQuestion {
    fn from(question: &PaymentQuestion) -> Self {
        let PaymentQuestion { token, payer, nonce, transfer } = question.clone();
        Self { token, payer, nonce, transfer: transfer.unwrap_or_default() }
    }
}

static CREATION: LazyLock<Bytes> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct ProbeArtifact {
        creation: Bytes,
    }
    let artifact: ProbeArtifact = serde_json::from_str(include_str!("../contracts/Probe.json"))
        .expect("the checked-in artifact is what build.mjs writes");
    artifact.creation
});
