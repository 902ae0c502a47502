//! Checks, executes and estimates transactions with revm, on a view of the state. Nothing here changes the state.
//!
//! The rules are those of the Prague hard fork, as on Base. Calls run as in the next block, with two exceptions that
//! go-ethereum makes too: a contract may be the sender, and without a gas price the base fee is zero, so that the
//! sender needs funds for the value only.

use std::convert::Infallible;

use alloy::consensus::transaction::Recovered;
use alloy::consensus::{Transaction as _, TxEnvelope, Typed2718 as _};
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use revm::context::either::Either;
use revm::context::result::{EVMError, ExecutionResult};
use revm::context::{BlockEnv, CfgEnv, Evm, TxEnv};
use revm::database::CacheDB;
use revm::handler::{EthFrame, Handler, MainnetContext, MainnetHandler};
use revm::primitives::hardfork::SpecId;
use revm::state::EvmState;
use revm::{Context, Database, DatabaseCommit as _, ExecuteEvm as _, MainBuilder as _, MainContext as _, MainnetEvm};

use super::rejection::TxRejection;
use super::spec::CHAIN_ID;
use super::state::StateView;

/// Gas limit of a block, and of a call or an estimate: a fraction of a second of work.
pub(super) const BLOCK_GAS_LIMIT: u64 = 60_000_000;

/// The receiver of the tips: the vault of Base's sequencer fees.
pub(super) const FEE_RECIPIENT: Address = alloy::primitives::address!("0x4200000000000000000000000000000000000011");

/// Gas that a callee gets for free with a value. An optimistic estimate leaves room for it.
const CALL_STIPEND: u64 = 2_300;

/// Gas of a transaction that only moves value.
const PLAIN_TRANSFER: u64 = 21_000;

/// The search for an estimate stops when it is at most this much above the need, as a ratio: go-ethereum's tolerance.
const ESTIMATE_ERROR: f64 = 0.015;

/// The block that a transaction runs in.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockContext {
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) base_fee: u64,
    pub(super) randomness: B256,
}

/// The call that `eth_call` or `eth_estimateGas` simulates.
#[derive(Clone, Debug)]
pub(super) struct SimulatedCall {
    pub(super) from: Address,
    pub(super) to: TxKind,
    pub(super) value: U256,
    pub(super) data: Bytes,
    /// The gas limit; none means the largest allowed one.
    pub(super) gas: Option<u64>,
    /// Most wei per gas; zero means that gas costs nothing.
    pub(super) fee_cap: u128,
    pub(super) tip: Option<u128>,
    pub(super) access_list: alloy::eips::eip2930::AccessList,
}

/// Executes the transactions of a block in order, each on the state that the earlier ones left.
pub(super) struct BlockExecutor<'a> {
    database: CacheDB<StateView<'a>>,
    context: BlockContext,
}

impl<'a> BlockExecutor<'a> {
    pub(super) fn new(view: StateView<'a>, context: BlockContext) -> Self {
        Self { database: CacheDB::new(view), context }
    }

    pub(super) fn nonce(&mut self, address: Address) -> u64 {
        let Ok(account) = self.database.basic(address);
        account.map_or(0, |account| account.nonce)
    }

    /// Executes the next transaction. On an error nothing was executed: the transaction does not fit the state or the
    /// block.
    pub(super) fn execute(&mut self, tx: &Recovered<TxEnvelope>) -> Result<(ExecutionResult, EvmState), TxRejection> {
        let fee_cap = tx.max_fee_per_gas();
        let done = evm(&mut self.database, self.context, config())
            .transact(environment(tx))
            .map_err(|error| rejection(error, fee_cap, self.context.base_fee))?;
        self.database.commit(done.state.clone());
        Ok((done.result, done.state))
    }
}

impl std::fmt::Debug for BlockExecutor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockExecutor").field("context", &self.context).finish_non_exhaustive()
    }
}

/// Checks everything that can be checked without executing, except for a nonce in the future.
pub(super) fn check(view: StateView<'_>, context: BlockContext, tx: &Recovered<TxEnvelope>) -> Result<(), TxRejection> {
    let mut database = CacheDB::new(view);
    let mut config = config();
    // The pool takes transactions with a gap before their nonce.
    config.disable_nonce_check = true;
    let mut evm = evm(&mut database, context, config);
    evm.ctx.tx = environment(tx);
    MainnetHandler::<_, EVMError<Infallible>, EthFrame>::default()
        .validate(&mut evm)
        .map_err(|error| rejection(error, tx.max_fee_per_gas(), context.base_fee))?;
    Ok(())
}

/// Simulates a call.
pub(super) fn call(
    view: StateView<'_>,
    context: BlockContext,
    call: &SimulatedCall,
) -> Result<ExecutionResult, TxRejection> {
    call_with_gas(view, context, call, gas_to_offer(view, call)?)
}

/// Finds the least gas, or at most 1.5 % more, that makes the call succeed. `Ok(Err(..))` is the result of a call that
/// fails even with all the gas that it may have.
///
/// The search is go-ethereum's: a guess from the gas that the call spends, then a bisection that leans to the lower
/// end.
pub(super) fn estimate(
    view: StateView<'_>,
    context: BlockContext,
    call: &SimulatedCall,
) -> Result<Result<u64, ExecutionResult>, TxRejection> {
    let mut enough = gas_to_offer(view, call)?;
    if is_plain_transfer(view, call)
        && enough >= PLAIN_TRANSFER
        && call_with_gas(view, context, call, PLAIN_TRANSFER)?.is_success()
    {
        return Ok(Ok(PLAIN_TRANSFER));
    }
    let first = call_with_gas(view, context, call, enough)?;
    if !first.is_success() {
        return Ok(Err(first));
    }
    // No gas below what was used can suffice, so the search begins there.
    let mut too_little = first.tx_gas_used().saturating_sub(1);
    // The gas spent before refunds, a stipend, and the 63/64 rule (EIP-150): right for nearly every call.
    let optimistic = (first.gas().total_gas_spent() + CALL_STIPEND).saturating_mul(64) / 63;
    let mut attempt = optimistic;
    while too_little + 1 < enough {
        if attempt > too_little && attempt < enough {
            match call_with_gas(view, context, call, attempt) {
                Ok(result) if result.is_success() => enough = attempt,
                Ok(_) | Err(TxRejection::IntrinsicGasTooLow { .. } | TxRejection::FloorDataGasTooLow { .. }) => {
                    too_little = attempt;
                }
                Err(other) => return Err(other),
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "gas is far below 2^52, and this is a tolerance")]
        if ((enough - too_little) as f64) / (enough as f64) < ESTIMATE_ERROR {
            break;
        }
        // Most transactions need little more than they use, so the search leans to the lower end.
        attempt = (too_little + (enough - too_little) / 2).min(too_little.saturating_mul(2));
    }
    Ok(Ok(enough))
}

/// Recognises a call that only moves value to an account without code. The caller still runs it: a precompile has no
/// code, and may need more gas.
fn is_plain_transfer(view: StateView<'_>, call: &SimulatedCall) -> bool {
    call.data.is_empty()
        && call.access_list.is_empty()
        && matches!(call.to, TxKind::Call(to) if view.code(to).is_empty())
}

/// The gas to simulate the call with: the request's, at most a block's, and if gas costs something, at most what the
/// sender's balance pays for.
fn gas_to_offer(view: StateView<'_>, call: &SimulatedCall) -> Result<u64, TxRejection> {
    let asked = call.gas.unwrap_or(BLOCK_GAS_LIMIT).min(BLOCK_GAS_LIMIT);
    if call.fee_cap == 0 {
        return Ok(asked);
    }
    let balance = view.balance(call.from);
    let spendable =
        balance.checked_sub(call.value).ok_or(TxRejection::InsufficientFunds { balance, cost: call.value })?;
    Ok(asked.min((spendable / U256::from(call.fee_cap)).saturating_to()))
}

fn call_with_gas(
    view: StateView<'_>,
    context: BlockContext,
    call: &SimulatedCall,
    gas: u64,
) -> Result<ExecutionResult, TxRejection> {
    let mut config = config();
    // A call names no nonce, and its sender may be a contract (EIP-3607 forbids that to transactions).
    config.disable_nonce_check = true;
    config.disable_eip3607 = true;
    let base_fee = if call.fee_cap == 0 { 0 } else { context.base_fee };
    let mut tx = TxEnv {
        caller: call.from,
        gas_limit: gas,
        gas_price: call.fee_cap,
        gas_priority_fee: call.tip,
        kind: call.to,
        value: call.value,
        data: call.data.clone(),
        nonce: view.nonce(call.from),
        chain_id: Some(CHAIN_ID),
        access_list: call.access_list.clone(),
        ..TxEnv::default()
    };
    tx.tx_type = if call.tip.is_some() { 2 } else { u8::from(!call.access_list.is_empty()) };
    let mut database = CacheDB::new(view);
    let done = evm(&mut database, BlockContext { base_fee, ..context }, config)
        .transact(tx)
        .map_err(|error| rejection(error, call.fee_cap, base_fee))?;
    Ok(done.result)
}

fn evm<'d, 'a>(
    database: &'d mut CacheDB<StateView<'a>>,
    context: BlockContext,
    config: CfgEnv,
) -> MainnetEvm<MainnetContext<&'d mut CacheDB<StateView<'a>>>> {
    let mut block = BlockEnv {
        number: U256::from(context.number),
        beneficiary: FEE_RECIPIENT,
        timestamp: U256::from(context.timestamp),
        gas_limit: BLOCK_GAS_LIMIT,
        basefee: context.base_fee,
        difficulty: U256::ZERO,
        prevrandao: Some(context.randomness),
        ..BlockEnv::default()
    };
    block.set_blob_excess_gas_and_price(0, config.blob_base_fee_update_fraction());
    let evm: Evm<_, _, _, _, _> =
        Context::mainnet().with_db(database).with_block(block).with_cfg(config).build_mainnet();
    evm
}

fn config() -> CfgEnv {
    CfgEnv::new_with_spec(SpecId::PRAGUE).with_chain_id(CHAIN_ID)
}

fn environment(tx: &Recovered<TxEnvelope>) -> TxEnv {
    TxEnv {
        tx_type: tx.ty(),
        caller: tx.signer(),
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: tx.chain_id(),
        access_list: tx.access_list().cloned().unwrap_or_default(),
        authorization_list: tx
            .authorization_list()
            .map(|list| list.iter().cloned().map(Either::Left).collect())
            .unwrap_or_default(),
        ..TxEnv::default()
    }
}

fn rejection(error: EVMError<Infallible>, fee_cap: u128, base_fee: u64) -> TxRejection {
    match error {
        EVMError::Transaction(invalid) => TxRejection::of(invalid, fee_cap, base_fee),
        EVMError::Database(never) => match never {},
        EVMError::Header(error) => TxRejection::Inexecutable(error.to_string()),
        EVMError::Custom(error) => TxRejection::Inexecutable(error),
        EVMError::CustomAny(error) => TxRejection::Inexecutable(error.to_string()),
    }
}
