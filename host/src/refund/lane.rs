//! Begins the refunds of one network, one at a time, and follows each until the chain shows its end.
//!
//! One task has the lane, so that the wallet has one nonce open. Nothing of it is in memory alone that matters: after a
//! restart the task goes on with what the ledger has, and sends the bytes that the ledger has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::{B256, Bytes, U256};
use coinslot_evm::{
    Chain, ChainSettings, GasLimits, Key, SignedTransfer, TokenTransfer, TokenWallet, TransferOutcome,
    default_confirmations,
};
use coinslot_ledger::{
    Author, ChangeKind, OpenRefund, RefundAuthor, RefundBegun, RefundEnd, SignedRefund, StoredTransaction,
};
use coinslot_x402::Network;
use coinslot_x402::price::Amount;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use url::Url;

use crate::config::RefundConfig;

use super::error::RefundError;
use super::prepare::{PreparedRefund, prepare};
use super::{POLICY_RETRY, RefundBooks, paced};

/// The pause between two looks at a refund, in its first minute and after that.
const LOOK: Duration = Duration::from_millis(500);
const LATE_LOOK: Duration = Duration::from_secs(5);

/// The time after which a transaction without a block is given to the node again.
const RESEND_AFTER: Duration = Duration::from_secs(5);

/// The time after which a transaction without a block gets higher fees, if the market asks for more.
const REPRICE_AFTER: Duration = Duration::from_secs(20);

/// The time for which the chain must show that another transaction used the nonce, before that is believed: one whose
/// hash the node knows, and one that is only missed.
const DISPLACED_FOR: Duration = Duration::from_secs(60);
const MISSED_FOR: Duration = Duration::from_secs(600);

/// The time after which a refund without an end is a problem.
const STUCK_AFTER: u64 = 300;

/// The pause between two looks for debts that the policy pays back, and after a look at which one could not be.
const POLICY_LOOK: Duration = Duration::from_secs(5);
const POLICY_PAUSE: Duration = Duration::from_secs(60);

/// The pause between two readings of the wallet's balances.
const BALANCE_LOOK: Duration = Duration::from_secs(60);

/// The debts that the policy looks at in one round.
const POLICY_ROUND: u32 = 100;

/// A refund that an operator wants.
pub(super) struct Order {
    pub(super) payment: String,
    pub(super) who: Author,
    pub(super) turn: Arc<Turn>,
    /// Dropped by a caller that waits no longer: then nothing begins.
    pub(super) reply: oneshot::Sender<Result<Begun, RefundError>>,
}

/// The decision about an order, which the first of both takes: its caller, who waits no longer, or the lane, which begins
/// it. So no caller hears that nothing was begun while it is.
#[derive(Debug, Default)]
pub(super) struct Turn(AtomicBool);

impl Turn {
    /// True for the first that takes it.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

/// A refund that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) prepared: PreparedRefund,
    pub(crate) transaction: String,
}

/// The lane of one network.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) network: Network,
    chain_id: u64,
    node: Url,
    confirmations: u64,
    key: Key,
    max_gas_price: u128,
    low_balance: Option<U256>,
    pub(super) orders: mpsc::Sender<Order>,
    wallet: tokio::sync::Mutex<Option<Arc<TokenWallet>>>,
    pub(super) state: Mutex<LaneState>,
}

/// What is known of a lane, for operators.
#[derive(Clone, Debug, Default)]
pub(super) struct LaneState {
    /// In wei, as it was read last.
    pub(super) native: Option<U256>,
    /// The balance that it should have, in wei, while it has less.
    pub(super) needed: Option<U256>,
    /// The payment whose refund is under way.
    pub(super) under_way: Option<String>,
    /// The payment whose refund has had no end for long, and why.
    pub(super) stuck: Option<(String, String)>,
    /// The reason why the policy does not pay back what is due.
    pub(super) waits: Option<String>,
}

impl Lane {
    pub(super) fn new(
        network: &Network,
        (node, confirmations): (&Url, Option<u64>),
        key: Key,
        config: &RefundConfig,
    ) -> Option<(Self, mpsc::Receiver<Order>)> {
        let chain_id = network.chain_id()?;
        let (orders, received) = mpsc::channel(16);
        let lane = Self {
            network: network.clone(),
            chain_id,
            node: node.clone(),
            confirmations: confirmations.unwrap_or_else(|| default_confirmations(chain_id)),
            key,
            max_gas_price: config.max_gas_price.unwrap_or(GasLimits::default().max_fee_per_gas),
            low_balance: config.low_balance,
            orders,
            wallet: tokio::sync::Mutex::new(None),
            state: Mutex::default(),
        };
        Some((lane, received))
    }

    /// The wallet, which is connected when it is needed first: a node that is down keeps no host from starting.
    pub(super) async fn wallet(&self) -> Result<Arc<TokenWallet>, RefundError> {
        let mut wallet = self.wallet.lock().await;
        if let Some(wallet) = &*wallet {
            return Ok(Arc::clone(wallet));
        }
        let chain = Chain::connect(&self.node, self.chain_id, ChainSettings::default()).await;
        let chain = Arc::new(chain.map_err(|error| RefundError::Node(error.to_string()))?);
        let made = Arc::new(TokenWallet::new(chain, self.key.clone(), self.max_gas_price, self.confirmations));
        *wallet = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Begins refunds and follows them, for ever.
    pub(super) async fn run(self: Arc<Self>, books: Arc<RefundBooks>, mut orders: mpsc::Receiver<Order>) {
        let mut read_at: Option<Instant> = None;
        let mut policy_at = Instant::now();
        loop {
            match self.open(&books).await {
                Ok(Some(refund)) => self.follow(&books, refund).await,
                Ok(None) => {
                    if read_at.is_none_or(|read| read.elapsed() > paced(BALANCE_LOOK)) {
                        self.read_balance().await;
                        read_at = Some(Instant::now());
                    }
                    match tokio::time::timeout_at(policy_at, orders.recv()).await {
                        Ok(Some(order)) => self.answer(&books, order).await,
                        Ok(None) => return,
                        Err(_) => {
                            self.apply_policy(&books).await;
                            let waits = self.state.lock().waits.is_some();
                            policy_at = Instant::now() + paced(if waits { POLICY_PAUSE } else { POLICY_LOOK });
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(network = %self.network, %error, "the refunds under way cannot be read");
                    tokio::time::sleep(LATE_LOOK).await;
                }
            }
        }
    }

    /// The refund of this network that has no end.
    async fn open(&self, books: &RefundBooks) -> Result<Option<OpenRefund>, RefundError> {
        let open = books.ledger().open_refunds().await?;
        Ok(open.into_iter().find(|refund| refund.network == self.network))
    }

    async fn read_balance(&self) {
        let Ok(wallet) = self.wallet().await else { return };
        let (native, usual) = (wallet.native_balance().await, wallet.gas_for(TRANSFERS).await);
        let needed = self.low_balance.or(usual.ok());
        let mut state = self.state.lock();
        if let Ok(native) = native {
            state.native = Some(native);
            state.needed = needed.filter(|needed| native < *needed);
        }
    }

    /// Begins a refund for an operator, unless its caller waits no longer.
    async fn answer(&self, books: &RefundBooks, Order { payment, who, turn, mut reply }: Order) {
        let ready = tokio::select! {
            ready = self.ready(books, &payment) => ready,
            () = reply.closed() => return,
        };
        if !turn.take() {
            return;
        }
        let begun = match ready {
            Ok((wallet, prepared)) => self.begin(books, &wallet, prepared, who).await,
            Err(error) => Err(error),
        };
        // A caller that has left finds the refund in the ledger.
        drop(reply.send(begun));
    }

    /// Prepares the refund of a payment by the wallet.
    async fn ready(
        &self,
        books: &RefundBooks,
        payment: &str,
    ) -> Result<(Arc<TokenWallet>, PreparedRefund), RefundError> {
        let wallet = self.wallet().await?;
        let prepared = self.prepare(books, &wallet, payment).await?;
        Ok((wallet, prepared))
    }

    /// Begins a refund that is prepared: writes it down. It is sent by [`Self::follow`], so that a node that is slow to
    /// take it lets no caller wait.
    async fn begin(
        &self,
        books: &RefundBooks,
        wallet: &TokenWallet,
        prepared: PreparedRefund,
        who: Author,
    ) -> Result<Begun, RefundError> {
        let author = if who == Author::Policy { RefundAuthor::Policy } else { RefundAuthor::Operator };
        let begun = books.ledger().begin_refund(prepared.order(wallet.address(), author), books.now()).await?;
        let refund = match begun {
            RefundBegun::Begun(refund) => refund,
            RefundBegun::NotOwed(None) => return Err(RefundError::NoPayment),
            RefundBegun::NotOwed(Some(state)) => return Err(RefundError::NotOwed { state }),
            RefundBegun::Busy { payment_id } => return Err(RefundError::Busy { payment_id }),
            RefundBegun::NonceUsed => return Err(RefundError::NodeBehind { network: self.network.clone() }),
            RefundBegun::OverBudget { spent, wanted } => return Err(prepared.budget.exceeded(spent, wanted)),
        };
        let newest = refund.transactions.last();
        let transaction = newest.map(|stored| stored.hash().to_owned()).unwrap_or_default();
        tracing::info!(payment = %refund.payment_id, %transaction, network = %self.network, by = author.as_str(),
            "the money of an owed answer is sent back");
        let amount = books.units.shown(&refund.network, &refund.asset, refund.amount);
        let after = format!("{amount} sent back to {} by transaction {transaction}", refund.payer);
        books.audit.record(who, ChangeKind::Refund, &*refund.payment_id, Some("owed".to_owned()), Some(after));
        Ok(Begun { prepared, transaction })
    }

    /// Prepares the refund of a payment, and sends nothing.
    pub(super) async fn prepare(
        &self,
        books: &RefundBooks,
        wallet: &TokenWallet,
        payment: &str,
    ) -> Result<PreparedRefund, RefundError> {
        let (file, budgets) = (&books.file, &books.config.daily_budget);
        prepare(file, books.ledger(), &books.units, budgets, wallet, payment, books.now()).await
    }

    /// Begins the refund of the longest debt that the policy pays back, if there is one.
    async fn apply_policy(&self, books: &RefundBooks) {
        let Some(after) = books.config.after else { return };
        let now = books.now();
        let before = |age: Duration| coinslot_x402::UnixTime(now.0.saturating_sub(age.as_secs()));
        let due = books.ledger().refunds_due(&self.network, before(after), before(POLICY_RETRY), POLICY_ROUND).await;
        let due = match due {
            Ok(due) => due,
            Err(error) => return tracing::warn!(%error, "the debts that are due cannot be read"),
        };
        let mut waits = None;
        for payment in due {
            let begun = match self.ready(books, &payment).await {
                Ok((wallet, prepared)) => self.begin(books, &wallet, prepared, Author::Policy).await,
                Err(error) => Err(error),
            };
            match begun {
                Ok(_) => break,
                // Its payer was faster.
                Err(RefundError::NotOwed { .. } | RefundError::NoPayment) => {}
                Err(error) => {
                    let of_the_wallet = error.is_of_the_wallet();
                    waits.get_or_insert(format!("payment {payment}: {error}"));
                    if of_the_wallet {
                        break;
                    }
                }
            }
        }
        let mut state = self.state.lock();
        if let Some(reason) = &waits
            && state.waits.as_ref() != Some(reason)
        {
            tracing::warn!(network = %self.network, %reason, "what is due is not paid back");
        }
        state.waits = waits;
    }

    /// Follows a refund until the ledger has its end, or cannot be written.
    async fn follow(&self, books: &RefundBooks, mut refund: OpenRefund) {
        self.state.lock().under_way = Some(refund.payment_id.clone());
        let mut following = Following { since: Instant::now(), sent: None, displaced: None };
        loop {
            let looked = match self.wallet().await {
                Ok(wallet) => self.look(books, &wallet, &mut refund, &mut following).await,
                Err(error) => Err(error.to_string()),
            };
            let problem = match looked {
                Ok(Look::Ended(end)) => {
                    self.end(books, refund, end).await;
                    let mut state = self.state.lock();
                    (state.under_way, state.stuck) = (None, None);
                    return;
                }
                Ok(Look::Open) => None,
                Err(problem) => Some(problem),
            };
            self.report(books, &refund, problem);
            let pause = if following.since.elapsed() < Duration::from_secs(60) { LOOK } else { LATE_LOOK };
            tokio::time::sleep(pause).await;
        }
    }

    /// Says that a refund has had no end for long.
    fn report(&self, books: &RefundBooks, refund: &OpenRefund, problem: Option<String>) {
        let is_late = books.now().0.saturating_sub(refund.begun_at.0) > STUCK_AFTER;
        let stuck = (is_late || problem.is_some()).then(|| {
            let reason = problem.unwrap_or_else(|| "its transaction is in no block".to_owned());
            (refund.payment_id.clone(), reason)
        });
        let mut state = self.state.lock();
        if let Some((payment, reason)) = &stuck
            && state.stuck != stuck
        {
            tracing::warn!(%payment, %reason, "a refund has no end yet");
        }
        state.stuck = stuck;
    }

    /// Looks at a refund once, and helps its transaction into a block.
    async fn look(
        &self,
        books: &RefundBooks,
        wallet: &TokenWallet,
        refund: &mut OpenRefund,
        following: &mut Following,
    ) -> Result<Look, String> {
        if !wallet.address().to_string().eq_ignore_ascii_case(&refund.sender) {
            return Err(format!(
                "the wallet {} sent it, and [refunds] names the key of {}: name the key of the former until it has an end",
                refund.sender,
                wallet.address()
            ));
        }
        let transfer = transfer(refund).ok_or("its addresses cannot be read")?;
        let hashes: Vec<B256> = refund.transactions.iter().filter_map(|stored| stored.hash().parse().ok()).collect();
        let outcome = wallet.outcome(&transfer, refund.nonce, &hashes).await.map_err(|error| error.to_string())?;
        if !matches!(outcome, TransferOutcome::Displaced { .. }) {
            following.displaced = None;
        }
        match outcome {
            TransferOutcome::Waiting => {
                self.help(books, wallet, refund, &transfer, following).await.map(|()| Look::Open)
            }
            TransferOutcome::Confirming { .. } | TransferOutcome::Unclear => Ok(Look::Open),
            TransferOutcome::Paid { hash, fee, .. } => {
                Ok(Look::Ended(RefundEnd::Paid { transaction: hash.to_string(), fee: Amount(fee) }))
            }
            TransferOutcome::Reverted { hash, fee, .. } => {
                let reason = format!("the token reverted transaction {hash}");
                Ok(Look::Ended(RefundEnd::Failed { reason, transaction: Some((hash.to_string(), Amount(fee))) }))
            }
            TransferOutcome::Unproven { hash, .. } => Err(format!(
                "transaction {hash} succeeded, and the token's logs do not show the transfer: look whether the payer has the \
                 money"
            )),
            TransferOutcome::Displaced { by } => {
                let since = *following.displaced.get_or_insert_with(Instant::now);
                let long_enough = paced(if by.is_some() { DISPLACED_FOR } else { MISSED_FOR });
                let by = by.map_or_else(|| "another transaction".to_owned(), |hash| format!("transaction {hash}"));
                if since.elapsed() < long_enough {
                    return Err(format!("{by} has used the nonce of its transaction: nothing else may use the key"));
                }
                let reason = format!("{by} has used the nonce of its transaction");
                Ok(Look::Ended(RefundEnd::Failed { reason, transaction: None }))
            }
        }
    }

    /// Gives a transaction that waits to the node again, and one that waits for long with higher fees.
    async fn help(
        &self,
        books: &RefundBooks,
        wallet: &TokenWallet,
        refund: &mut OpenRefund,
        transfer: &TokenTransfer,
        following: &mut Following,
    ) -> Result<(), String> {
        if following.sent.is_some_and(|sent: Instant| sent.elapsed() < paced(RESEND_AFTER)) {
            return Ok(());
        }
        following.sent = Some(Instant::now());
        let newest = refund.transactions.last().ok_or("it has no transaction")?;
        let mut problem = None;
        if books.now().0.saturating_sub(newest.signed_at().0) >= paced(REPRICE_AFTER).as_secs() {
            let signed = SignedTransfer {
                nonce: refund.nonce,
                hash: newest.hash().parse().map_err(|_| "its transaction cannot be read")?,
                raw: Bytes::copy_from_slice(newest.raw()),
            };
            match wallet.reprice(&signed, transfer).await {
                Ok(None) => {}
                Ok(Some(dearer)) => {
                    let dearer =
                        SignedRefund { nonce: dearer.nonce, hash: dearer.hash.to_string(), raw: dearer.raw.to_vec() };
                    let stored = books.ledger().store_refund(refund, dearer, books.now()).await;
                    let stored = stored.map_err(|error| error.to_string())?;
                    tracing::info!(payment = %refund.payment_id, transaction = stored.hash(),
                        "the transaction of a refund is sent with higher fees");
                    refund.transactions.push(stored);
                }
                Err(error) => problem = Some(error.to_string()),
            }
        }
        let newest = refund.transactions.last().ok_or("it has no transaction")?;
        let refused = send(wallet, newest).await;
        problem.or(refused).map_or(Ok(()), Err)
    }

    /// Writes the end of a refund down. An end that cannot be written is found again.
    async fn end(&self, books: &RefundBooks, refund: OpenRefund, end: RefundEnd) {
        let (payment, author) = (refund.payment_id.clone(), refund.ordered_by);
        let amount = books.units.shown(&refund.network, &refund.asset, refund.amount);
        let payer = refund.payer.clone();
        if let Err(error) = books.ledger().end_refund(refund, end.clone(), books.now()).await {
            tracing::error!(%payment, %error, "the end of a refund could not be written: it is looked up again");
            return tokio::time::sleep(LATE_LOOK).await;
        }
        let after = match end {
            RefundEnd::Paid { transaction, .. } => {
                tracing::info!(%payment, %transaction, "the money of an owed answer went back to its payer");
                format!("{amount} paid back to {payer} by transaction {transaction}")
            }
            RefundEnd::Failed { reason, .. } => {
                tracing::warn!(%payment, %reason, "a refund failed: the answer is owed again");
                format!("owed again, because the refund failed: {reason}")
            }
        };
        let before = Some(format!("refund by {}", author.as_str()));
        books.audit.record(Author::Policy, ChangeKind::Refund, payment, before, Some(after));
    }
}

/// The transfers that a wallet should have gas for, unless it is configured.
const TRANSFERS: u64 = 20;

/// What is known of a refund that is followed.
struct Following {
    since: Instant,
    /// The last time that its transaction was given to the node.
    sent: Option<Instant>,
    /// The time since which another transaction has used its nonce.
    displaced: Option<Instant>,
}

/// The outcome of one look at a refund.
enum Look {
    Open,
    Ended(RefundEnd),
}

fn transfer(refund: &OpenRefund) -> Option<TokenTransfer> {
    Some(TokenTransfer { token: refund.asset.parse().ok()?, to: refund.payer.parse().ok()?, amount: refund.amount.0 })
}

/// Gives a stored transaction to the node. The reason if the node does not take it; it is given to it again.
async fn send(wallet: &TokenWallet, stored: &StoredTransaction) -> Option<String> {
    let refused = wallet.broadcast(&Bytes::copy_from_slice(stored.raw())).await.err()?;
    tracing::debug!(transaction = stored.hash(), %refused, "a node did not take the transaction of a refund");
    // What used the nonce is found by its receipt.
    (refused != coinslot_evm::BroadcastError::NonceUsed).then(|| refused.to_string())
}
