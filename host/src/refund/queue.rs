//! Begins the refunds of one network, one at a time, and has each followed until the chain shows its end.
//!
//! One task takes the orders, so that the wallet has one nonce open on its network. Nothing of it is in memory alone that
//! matters: after a restart the task goes on with what the ledger has, and sends the bytes that the ledger has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::U256;
use coinslot_evm::{CallError, Chain, ChainSettings, GasLimits, Key, TokenWallet, default_confirmations};
use coinslot_ledger::{Author, ChangeKind, OpenRefund, RefundAuthor, RefundBegun};
use coinslot_x402::Network;
use coinslot_x402::price::{Amount, Asset};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use url::Url;

use crate::config::RefundConfig;

use super::error::RefundError;
use super::follow::LATE_LOOK;
use super::policy::TriedDebts;
use super::prepare::{PreparedRefund, budget_of, prepare};
use super::wallet_state::{GasHeld, WalletState};
use super::{RefundBooks, paced};

/// The transfers that a wallet should have gas for, unless it is configured.
const TRANSFERS: u64 = 20;

/// The pause between two looks for debts that the policy pays back, and after a look at which one could not be.
const POLICY_LOOK: Duration = Duration::from_secs(5);
const POLICY_PAUSE: Duration = Duration::from_secs(60);

/// The pause between two readings of the wallet's balances.
const BALANCE_LOOK: Duration = Duration::from_secs(60);

/// A refund that an operator wants.
pub(super) struct Order {
    pub(super) payment: String,
    pub(super) who: Author,
    pub(super) turn: Arc<Turn>,
    /// Dropped by a caller that waits no longer: then nothing begins.
    pub(super) reply: oneshot::Sender<Result<Begun, RefundError>>,
}

/// The decision about an order, which the first of both takes: its caller, who waits no longer, or the queue, which begins
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

/// The orders to the wallet on one network, and its refund under way.
#[derive(Debug)]
pub(super) struct RefundQueue {
    pub(super) network: Network,
    chain_id: u64,
    node: Url,
    confirmations: u64,
    key: Key,
    max_gas_price: u128,
    low_balance: Option<U256>,
    pub(super) orders: mpsc::Sender<Order>,
    wallet: tokio::sync::Mutex<Option<Arc<TokenWallet>>>,
    pub(super) state: Mutex<WalletState>,
}

impl RefundQueue {
    pub(super) fn new(
        network: &Network,
        (node, confirmations): (&Url, Option<u64>),
        key: Key,
        config: &RefundConfig,
    ) -> Option<(Self, mpsc::Receiver<Order>)> {
        let chain_id = network.chain_id()?;
        let (orders, received) = mpsc::channel(16);
        let queue = Self {
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
        Some((queue, received))
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
        let mut tried = TriedDebts::new();
        loop {
            match self.open(&books).await {
                Ok(Some(refund)) => {
                    self.follow(&books, refund).await;
                    read_at = None; // it has less now
                }
                Ok(None) => {
                    if read_at.is_none_or(|read| read.elapsed() > paced(BALANCE_LOOK)) {
                        self.read_balance(&books).await;
                        read_at = Some(Instant::now());
                    }
                    match tokio::time::timeout_at(policy_at, orders.recv()).await {
                        Ok(Some(order)) => self.answer(&books, order).await,
                        Ok(None) => return,
                        Err(_) => {
                            let goes_on = self.apply_policy(&books, &mut tried).await;
                            policy_at = Instant::now() + paced(if goes_on { POLICY_LOOK } else { POLICY_PAUSE });
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

    /// Reads what the wallet has for gas, and what it should have.
    pub(super) async fn gas(&self, wallet: &TokenWallet) -> Result<GasHeld, CallError> {
        let (native, usual) = (wallet.native_balance().await?, wallet.gas_for(TRANSFERS).await);
        let needed = self.low_balance.or(usual.ok()).filter(|needed| native < *needed);
        Ok(GasHeld { native, needed })
    }

    /// Reads what the wallet has for gas, and of the tokens that have a budget. What cannot be read stays as it was.
    async fn read_balance(&self, books: &RefundBooks) {
        let Ok(wallet) = self.wallet().await else { return };
        if let Ok(GasHeld { native, needed }) = self.gas(&wallet).await {
            let mut state = self.state.lock();
            (state.native, state.needed) = (Some(native), needed);
        }
        let of_network =
            |asset: &Asset| asset.network == self.network && budget_of(asset, &books.config.daily_budget).is_some();
        let mut tokens = Vec::new();
        for asset in books.units.assets().into_iter().filter(of_network) {
            let Ok(token) = asset.address.parse() else { continue };
            let Ok(balances) = wallet.balances(token).await else { return };
            tokens.push((asset, Amount(balances.token)));
        }
        self.state.lock().tokens = tokens;
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
    pub(super) async fn ready(
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
    pub(super) async fn begin(
        &self,
        books: &RefundBooks,
        wallet: &TokenWallet,
        prepared: PreparedRefund,
        who: Author,
    ) -> Result<Begun, RefundError> {
        let author = if who == Author::Policy { RefundAuthor::Policy } else { RefundAuthor::Operator };
        let (row, transaction) = (&prepared.row, prepared.transaction());
        let amount = books.units.shown(&row.network, &row.asset, row.amount);
        let after = format!("{amount} sent back to {} by transaction {transaction}", row.payer);
        let change =
            books.audit.change(who, ChangeKind::Refund, &*row.payment_id, Some("owed".to_owned()), Some(after));
        let order = prepared.order(wallet.address(), author, change);
        let begun = books.ledger().begin_refund(order, books.now()).await?;
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
}
