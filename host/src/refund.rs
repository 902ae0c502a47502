//! Pays owed answers back from a wallet that the operator names for it, once each, within a daily budget: when an
//! operator says so, or by the rule of `[refunds]`.
//!
//! The wallet is not the gas wallet and not a receiver: the host holds no key to what was earned. What is under way is
//! in the ledger, and the chain says how it ends: see [`coinslot_ledger::RefundOrder`].

mod by_hand;
mod error;
mod follow;
mod policy;
mod prepare;
mod queue;
mod settle;
mod wallet_state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use coinslot_evm::Key;
use coinslot_ledger::reports::{LedgerReader, PaymentRow};
use coinslot_ledger::{Author, Ledger, PaymentState};
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::config::{AcceptConfig, Config, RefundConfig};
use crate::operate::Audit;
use crate::operate::units::Units;
use crate::payment::Payments;

use self::prepare::Budget;
use self::queue::{Order, RefundQueue, Turn};

pub(crate) use self::error::{RefundError, SettleError};
pub(crate) use self::prepare::PreparedRefund;
pub(crate) use self::queue::Begun;
pub(crate) use self::settle::{DebtClaim, DebtDesk, HandPayment};
pub(crate) use self::wallet_state::{UnderWay, WalletState};

/// The time for which the policy leaves a debt alone whose refund failed.
const POLICY_RETRY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest wait of an operator for the turn of a refund.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The wallet of refunds, on each network of the configuration that has a node.
#[derive(Debug)]
pub(crate) struct Refunds {
    address: Address,
    config: RefundConfig,
    file: PathBuf,
    units: Units,
    queues: BTreeMap<Network, Arc<RefundQueue>>,
    /// The networks on which nothing is paid back.
    without_node: Vec<Network>,
    /// The orders of each queue, until the queues run.
    waiting: Mutex<Vec<(Network, mpsc::Receiver<Order>)>>,
    books: std::sync::OnceLock<Arc<RefundBooks>>,
    receivers: Arc<RwLock<Vec<(String, String)>>>,
}

/// The ledger and the audit log, and the rules, as a queue needs them.
#[derive(Debug)]
struct RefundBooks {
    payments: Arc<Payments>,
    audit: Arc<Audit>,
    config: RefundConfig,
    file: PathBuf,
    units: Units,
    /// The receivers of `[[accept]]` that have a budget: token and receiver. A plugin's own receiver could pay itself, have
    /// the plugin fail, and be paid back from the operator's wallet.
    receivers: Arc<RwLock<Vec<(String, String)>>>,
}

impl RefundBooks {
    fn ledger(&self) -> &dyn Ledger {
        &**self.payments.ledger()
    }

    fn now(&self) -> UnixTime {
        self.payments.now()
    }

    /// True if `[payers]` admits the payer of this payment.
    fn admits_payer(&self, row: &PaymentRow) -> bool {
        self.payments.allowances().policy().payers.check(&row.network, &row.payer).is_ok()
    }
}

impl Refunds {
    /// The wallet of this key. Fails if the key is one of those that the host settles with, or of an address that
    /// receives payments.
    pub(crate) fn new(
        config: &Config,
        refunds: &RefundConfig,
        key: Key,
        gas_wallets: &[Address],
        receivers: &[Address],
    ) -> Result<Self, String> {
        let address = key.address();
        if gas_wallets.contains(&address) {
            return Err(format!("{address} pays for the gas of settlements: name the key of another wallet"));
        }
        check_receivers(address, receivers)?;
        let networks: BTreeSet<&Network> =
            config.payment.accepts.iter().map(|entry| &entry.accept.asset.network).collect();
        let (mut queues, mut waiting, mut without_node) = (BTreeMap::new(), Vec::new(), Vec::new());
        for network in networks {
            let node = config.payment.node_of(network);
            match node.and_then(|node| RefundQueue::new(network, node, key.clone(), refunds)) {
                Some((queue, orders)) => {
                    queues.insert(network.clone(), Arc::new(queue));
                    waiting.push((network.clone(), orders));
                }
                None => without_node.push(network.clone()),
            }
        }
        Ok(Self {
            address,
            config: refunds.clone(),
            file: config.state.ledger(),
            units: Units::of(Some(config)),
            queues,
            without_node,
            waiting: Mutex::new(waiting),
            books: std::sync::OnceLock::new(),
            receivers: Arc::new(RwLock::new(receivers_of(config, refunds))),
        })
    }

    /// Fails if the wallet is one of these receivers.
    pub(crate) fn check_receivers(&self, receivers: &[Address]) -> Result<(), String> {
        check_receivers(self.address, receivers)
    }

    /// Takes over the receivers of a configuration that was read again.
    pub(crate) fn reconfigure(&self, config: &Config) {
        *self.receivers.write() = receivers_of(config, &self.config);
    }

    /// The address of the wallet, the same on every network.
    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// True if the wallet pays on this network, and follows what is under way there.
    pub(crate) fn is_on(&self, network: &Network) -> bool {
        self.queues.contains_key(network)
    }

    /// The queue of a network.
    fn queue_on(&self, network: &Network) -> Option<&RefundQueue> {
        self.queues.get(network).map(|queue| &**queue)
    }

    /// The rule by which debts are paid back, as the configuration spells it.
    pub(crate) fn policy(&self) -> String {
        match self.config.after {
            Some(after) => format!("after {}", coinslot_base::units::shown_duration(after)),
            None => "by command".to_owned(),
        }
    }

    /// Reads what the wallet has on each network: the coin for gas, and the tokens that have a budget. A line each, and
    /// a warning where the coin is low.
    pub(crate) async fn balances(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (network, queue) in &self.queues {
            let read = async {
                let wallet = queue.wallet().await?;
                let failed = |error: coinslot_evm::CallError| RefundError::Node(error.to_string());
                let gas = queue.gas(&wallet).await.map_err(failed)?;
                let mut held = vec![coinslot_evm::Ether(gas.native).to_string()];
                for asset in self.units.assets().into_iter().filter(|asset| asset.network == *network) {
                    let Ok(token) = asset.address.parse() else { continue };
                    let amount = Amount(wallet.balances(token).await.map_err(failed)?.token);
                    held.push(format!("{} {}", amount.decimal(asset.decimals), asset.symbol));
                }
                Ok::<_, RefundError>((held.join(", "), gas))
            };
            match read.await {
                Ok((held, gas)) => {
                    lines.push(format!("{} has {held} on {network} for refunds", self.address));
                    lines.extend(gas.needed.map(|needed| {
                        format!(
                            "warning: the wallet of refunds {} has {} for gas on {network}; it should have {}: fund it",
                            self.address,
                            coinslot_evm::Ether(gas.native),
                            coinslot_evm::Ether(needed)
                        )
                    }));
                }
                Err(error) => lines.push(format!("{} on {network}: {error}", self.address)),
            }
        }
        for network in &self.without_node {
            lines.push(format!("on {network} nothing is paid back: no `rpc` is named in the table of its facilitator"));
        }
        lines
    }

    /// Begins and follows refunds, for ever.
    pub(crate) async fn run(self: Arc<Self>, payments: Arc<Payments>, audit: Arc<Audit>) {
        let (config, file, units) = (self.config.clone(), self.file.clone(), self.units.clone());
        let receivers = Arc::clone(&self.receivers);
        let books = Arc::new(RefundBooks { payments, audit, config, file, units, receivers });
        let books = Arc::clone(self.books.get_or_init(|| books));
        let mut tasks = JoinSet::new();
        for (network, orders) in std::mem::take(&mut *self.waiting.lock()) {
            if let Some(queue) = self.queues.get(&network) {
                tasks.spawn(Arc::clone(queue).run(Arc::clone(&books), orders));
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Begins the refund of a payment when its turn comes, and returns when its transaction is durable and about to be
    /// sent. The ledger has the rest. After an error nothing has begun, but for [`RefundError::Stopped`] and
    /// [`RefundError::Ledger`]: it may have.
    pub(crate) async fn refund(&self, payment: &str, who: Author) -> Result<Begun, RefundError> {
        let queue = self.queue_of(payment).await?;
        let (reply, mut answer) = oneshot::channel();
        let turn = Arc::<Turn>::default();
        let order = Order { payment: payment.to_owned(), who, turn: Arc::clone(&turn), reply };
        queue.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => self.busy(queue),
            mpsc::error::TrySendError::Closed(_) => RefundError::Stopped,
        })?;
        match tokio::time::timeout(LONGEST_WAIT, &mut answer).await {
            Err(_) if turn.take() => Err(self.busy(queue)),
            // It is written down now.
            Err(_) => answer.await.unwrap_or(Err(RefundError::Stopped)),
            Ok(begun) => begun.unwrap_or(Err(RefundError::Stopped)),
        }
    }

    /// Prepares the refund of a payment, and sends nothing.
    pub(crate) async fn prepare(&self, payment: &str) -> Result<PreparedRefund, RefundError> {
        let queue = self.queue_of(payment).await?;
        let books = self.books.get().ok_or(RefundError::Stopped)?;
        let wallet = queue.wallet().await?;
        queue.prepare(books, &wallet, payment).await
    }

    /// The state of the wallet on each network.
    pub(crate) fn wallets(&self) -> Vec<(Network, WalletState)> {
        self.queues.iter().map(|(network, queue)| (network.clone(), queue.state.lock().clone())).collect()
    }

    /// The sum of each budget in the last 24 hours, and its limit. Budgets of test networks are apart.
    pub(crate) async fn budgets(&self) -> Result<Vec<(bool, String, String)>, RefundError> {
        let books = self.books.get().ok_or(RefundError::Stopped)?;
        let mut budgets: Vec<(bool, String, String)> = Vec::new();
        let mut seen: Vec<(bool, Option<String>)> = Vec::new();
        for asset in self.units.assets() {
            let Some(named) = prepare::budget_of(&asset, &self.config.daily_budget) else { continue };
            let key = (asset.testnet, named.symbol.clone());
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let budget = Budget::of(&asset, &self.config.daily_budget, &self.units)?;
            let spent = books.ledger().refunds_spent(budget.counted.clone(), books.now()).await?;
            let (spent, limit) = budget.shown(spent);
            budgets.push((asset.testnet, spent, limit));
        }
        Ok(budgets)
    }

    /// The queue of the network that a payment is on, which must be owed. The queue looks again, when its turn has come:
    /// here nobody waits for a turn to hear that the payment is not owed.
    async fn queue_of(&self, payment: &str) -> Result<&Arc<RefundQueue>, RefundError> {
        let (file, payment) = (self.file.clone(), payment.to_owned());
        let found = tokio::task::spawn_blocking(move || LedgerReader::open(&file)?.payment(&payment)).await;
        let found = found.map_err(|error| RefundError::Ledger(error.to_string()))?;
        let row = found.map_err(|error| RefundError::Ledger(error.to_string()))?.ok_or(RefundError::NoPayment)?;
        if row.state != PaymentState::Owed {
            return Err(RefundError::NotOwed { state: row.state });
        }
        let no_node = || RefundError::NoNode { network: row.network.clone() };
        self.queues.get(&row.network).ok_or_else(no_node)
    }

    fn busy(&self, queue: &RefundQueue) -> RefundError {
        match queue.state.lock().under_way.as_ref().map(|refund| refund.payment_id.clone()) {
            Some(payment_id) => RefundError::Busy { payment_id },
            None => RefundError::SlowNode { network: queue.network.clone() },
        }
    }
}

fn check_receivers(wallet: Address, receivers: &[Address]) -> Result<(), String> {
    if receivers.contains(&wallet) {
        return Err(format!(
            "{wallet} receives payments, and a host holds no key to what was earned: name the key of another wallet"
        ));
    }
    Ok(())
}

/// A time of this module and those below it. A test may shorten all of them.
fn paced(usual: Duration) -> Duration {
    #[cfg(feature = "fault-points")]
    let usual = crate::fault_points::hurried(usual);
    usual
}

/// The receivers of `[[accept]]` whose money is paid back: token and receiver.
fn receivers_of(config: &Config, refunds: &RefundConfig) -> Vec<(String, String)> {
    let accepts = config.payment.accepts.iter().map(|AcceptConfig { accept, .. }| accept);
    let budgeted = accepts.filter(|accept| prepare::budget_of(&accept.asset, &refunds.daily_budget).is_some());
    budgeted.map(|accept| (accept.asset.address.clone(), accept.pay_to.to_string())).collect()
}
