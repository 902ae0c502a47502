//! Pays a token out of one key on a real chain, through a node that can be told to fail: what was sent, what the chain
//! shows of it, and that no answer lets a caller pay twice.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256, address, keccak256};
use alloy::sol_types::SolValue;
use coinslot_devnet::{CHAIN_ID, USDC};
use coinslot_evm::{
    BroadcastError, Chain, ChainSettings, Key, SignedTransfer, TokenTransfer, TokenWallet, TransferError,
    TransferOutcome,
};
use coinslot_tests::{FaultyNode, NodeFault, TestChain};
use serde_json::{Value, json};

const PAYER: Address = address!("0x000000000000000000000000000000000000beef");
const OTHER: Address = address!("0x000000000000000000000000000000000000cafe");
/// A contract that a test puts there.
const TOKEN: Address = address!("0x00000000000000000000000000000000000070ce");

/// The limit of most wallets here, in wei per unit of gas.
const LIMIT: u128 = 50_000_000_000;

/// A chain, a node before it, and a key with an ether and ten dollars.
struct World {
    chain: TestChain,
    node: FaultyNode,
    key: Key,
}

impl World {
    async fn start() -> Self {
        let chain = TestChain::start().await;
        let world = Self { node: chain.node().await, chain, key: Key::random() };
        world.set_ether(U256::from(10).pow(U256::from(18))).await;
        world.set_dollars(10_000_000).await;
        world
    }

    /// The wallet of the key, as a process that has just started opens it.
    async fn wallet(&self, max_fee_per_gas: u128, confirmations: u64) -> TokenWallet {
        let url = self.node.url().parse().expect("a URL");
        let settings = ChainSettings { request_timeout: Duration::from_secs(20), ..ChainSettings::default() };
        let chain = Chain::connect(&url, CHAIN_ID, settings).await.expect("connected");
        TokenWallet::new(Arc::new(chain), self.key.clone(), max_fee_per_gas, confirmations)
    }

    /// Asks the chain itself.
    async fn ask(&self, method: &str, params: Value) -> Value {
        self.chain.client().call(method, params).await
    }

    async fn set_ether(&self, wei: U256) {
        self.ask("anvil_setBalance", json!([self.key.address(), wei])).await;
    }

    async fn set_dollars(&self, amount: u64) {
        let slot = keccak256((self.key.address(), U256::ZERO).abi_encode());
        self.ask("anvil_setStorageAt", json!([USDC, slot, B256::from(U256::from(amount))])).await;
    }

    async fn mine(&self, blocks: u64) {
        self.ask("anvil_mine", json!([blocks])).await;
    }

    async fn ether(&self) -> U256 {
        let wei = self.ask("eth_getBalance", json!([self.key.address(), "latest"])).await;
        serde_json::from_value(wei).expect("a number")
    }

    async fn transactions(&self) -> U256 {
        let count = self.ask("eth_getTransactionCount", json!([self.key.address(), "pending"])).await;
        serde_json::from_value(count).expect("a number")
    }
}

/// A cent to the payer.
fn cent() -> TokenTransfer {
    TokenTransfer { token: USDC, to: PAYER, amount: U256::from(10_000) }
}

/// Signs a transfer for a nonce and gives it to the node.
async fn send(wallet: &TokenWallet, transfer: &TokenTransfer, nonce: u64) -> SignedTransfer {
    let signed = wallet.sign(transfer, nonce).await.expect("signed");
    wallet.broadcast(&signed.raw).await.expect("sent");
    signed
}

/// Asks what became of a transfer of a cent for which these transactions were signed.
async fn outcome_of(wallet: &TokenWallet, signed: &[&SignedTransfer]) -> TransferOutcome {
    let hashes: Vec<B256> = signed.iter().map(|signed| signed.hash).collect();
    wallet.outcome(&cent(), signed[0].nonce, &hashes).await.expect("an answer")
}

#[tokio::test]
async fn a_transfer_is_made_once_however_often_its_bytes_are_sent() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 1).await;
    let before = world.ether().await;
    let nonce = wallet.next_nonce(0).await.expect("a nonce");
    let signed = wallet.sign(&cent(), nonce).await.expect("signed");
    assert_eq!(world.transactions().await, U256::ZERO, "signing sends nothing");
    assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Waiting);
    wallet.broadcast(&signed.raw).await.expect("sent");
    wallet.broadcast(&signed.raw).await.expect("known");
    assert_eq!(world.chain.balance(PAYER).await, 10_000);
    let TransferOutcome::Paid { hash, fee, .. } = outcome_of(&wallet, &[&signed]).await else { panic!("not paid") };
    assert_eq!((hash, fee), (signed.hash, before - world.ether().await));
    let held = wallet.balances(USDC).await.expect("balances");
    assert_eq!((held.native, held.token), (before - fee, U256::from(9_990_000)));
    assert_eq!(wallet.next_nonce(nonce + 1).await, Ok(nonce + 1));
}

#[tokio::test]
async fn a_transfer_that_the_wallet_cannot_make_is_not_signed_and_the_reason_is_named() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 1).await;
    let refused = async |transfer: TokenTransfer| wallet.sign(&transfer, 0).await.expect_err("not signed");

    let too_much = refused(TokenTransfer { amount: U256::from(10_000_001), ..cent() }).await;
    assert_eq!(too_much, TransferError::TokenBalance { have: U256::from(10_000_000), need: U256::from(10_000_001) });
    assert!(too_much.to_string().ends_with("send it at least 1"), "{too_much}");

    // The token refuses this receiver, as USDC refuses one that is blocked.
    let blocked = refused(TokenTransfer { to: Address::ZERO, ..cent() }).await;
    assert!(blocked.to_string().contains("the token refuses the transfer: "), "{blocked}");
    assert!(blocked.to_string().contains("transfer to the zero address"), "{blocked}");

    let no_token = refused(TokenTransfer { token: TOKEN, ..cent() }).await;
    assert!(matches!(no_token, TransferError::Reverts(_)), "{no_token:?}");

    // It returns 68 less the length of the call: a balance of 32, and `transfer` is false.
    world.ask("anvil_setCode", json!([TOKEN, "0x366044035f5260205ff3"])).await;
    let declined = refused(TokenTransfer { token: TOKEN, amount: U256::ONE, ..cent() }).await;
    assert!(declined.to_string().contains("returns false"), "{declined}");

    world.set_ether(U256::from(7)).await;
    let no_gas = refused(cent()).await;
    assert!(matches!(no_gas, TransferError::GasBalance { have, .. } if have == U256::from(7)), "{no_gas:?}");
    assert!(no_gas.to_string().contains("send it at least 0.0"), "{no_gas}");

    // Base fee of the chain: 5,000,000 wei.
    let frugal = world.wallet(4_999_999, 1).await;
    let dear = frugal.sign(&cent(), 0).await;
    assert_eq!(dear, Err(TransferError::FeeAboveLimit { needed: 5_000_000, limit: 4_999_999 }));

    world.node.always("*", NodeFault::Status(503));
    assert!(matches!(refused(cent()).await, TransferError::Unreachable(_)));
    assert_eq!(world.transactions().await, U256::ZERO, "nothing was sent");
}

/// The state changes between the simulation and the block: the transaction is mined and moves nothing.
#[tokio::test]
async fn a_transfer_that_reverts_in_its_block_is_reverted_and_costs_gas() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 2).await;
    let signed = wallet.sign(&cent(), 0).await.expect("signed");
    world.set_dollars(9_999).await;
    wallet.broadcast(&signed.raw).await.expect("sent");
    assert!(matches!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Confirming { .. }));
    world.mine(1).await;
    let TransferOutcome::Reverted { hash, fee, .. } = outcome_of(&wallet, &[&signed]).await else { panic!("reverted") };
    assert_eq!(hash, signed.hash);
    assert!(fee > U256::ZERO);
    assert_eq!(world.chain.balance(PAYER).await, 0);
}

/// A token that answers yes and logs nothing, and a transfer of another amount, prove no payment, and do not prove that
/// nothing moved.
#[tokio::test]
async fn a_transfer_that_succeeds_without_its_log_is_neither_paid_nor_reverted() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 1).await;
    // It returns 1 to every call.
    world.ask("anvil_setCode", json!([TOKEN, "0x60015f5260205ff3"])).await;
    let silent = TokenTransfer { token: TOKEN, amount: U256::ONE, ..cent() };
    let signed = send(&wallet, &silent, 0).await;
    let outcome = wallet.outcome(&silent, 0, &[signed.hash]).await.expect("an answer");
    assert!(matches!(outcome, TransferOutcome::Unproven { hash, .. } if hash == signed.hash), "{outcome:?}");

    let signed = send(&wallet, &TokenTransfer { amount: U256::from(9_000), ..cent() }, 1).await;
    let outcome = outcome_of(&wallet, &[&signed]).await;
    assert!(matches!(outcome, TransferOutcome::Unproven { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_transfer_that_waits_is_replaced_under_its_nonce_and_one_of_both_is_mined() {
    let world = World::start().await;
    world.ask("evm_setAutomine", json!([false])).await;
    // A limit at which the fees are below the market.
    let frugal = world.wallet(5_500_000, 1).await;
    let first = send(&frugal, &cent(), 0).await;
    assert_eq!(frugal.next_nonce(0).await, Err(TransferError::Busy { mined: 0, pending: 1 }));
    let no_room = frugal.reprice(&first, &cent()).await;
    assert!(matches!(no_room, Err(TransferError::FeeAboveLimit { limit: 5_500_000, .. })), "{no_room:?}");

    let wallet = world.wallet(LIMIT, 1).await;
    let second = wallet.reprice(&first, &cent()).await.expect("repriced").expect("a replacement");
    assert_eq!(second.nonce, 0);
    assert_ne!(second.hash, first.hash);
    wallet.broadcast(&second.raw).await.expect("the node takes the replacement");
    assert_eq!(wallet.reprice(&second, &cent()).await, Ok(None), "it pays today's fees");
    assert_eq!(wallet.broadcast(&first.raw).await, Err(BroadcastError::Underpriced), "it pays less than the other");
    assert_eq!(outcome_of(&wallet, &[&first, &second]).await, TransferOutcome::Waiting);
    world.mine(1).await;
    let outcome = outcome_of(&wallet, &[&first, &second]).await;
    assert!(matches!(outcome, TransferOutcome::Paid { hash, .. } if hash == second.hash), "{outcome:?}");
    assert_eq!(wallet.broadcast(&first.raw).await, Err(BroadcastError::NonceUsed));
    world.mine(3).await;
    assert_eq!(world.chain.balance(PAYER).await, 10_000, "paid once");
}

#[tokio::test]
async fn an_earlier_transaction_that_wins_over_its_replacement_is_the_payment() {
    let world = World::start().await;
    world.ask("evm_setAutomine", json!([false])).await;
    let first = send(&world.wallet(5_500_000, 1).await, &cent(), 0).await;
    let wallet = world.wallet(LIMIT, 1).await;
    let second = wallet.reprice(&first, &cent()).await.expect("repriced").expect("a replacement");
    world.mine(1).await;
    assert_eq!(wallet.broadcast(&second.raw).await, Err(BroadcastError::NonceUsed));
    let outcome = outcome_of(&wallet, &[&first, &second]).await;
    assert!(matches!(outcome, TransferOutcome::Paid { hash, .. } if hash == first.hash), "{outcome:?}");
}

#[tokio::test]
async fn only_the_wallets_own_transaction_of_the_transfer_is_replaced() {
    let world = World::start().await;
    let frugal = world.wallet(5_500_000, 1).await;
    let wallet = world.wallet(LIMIT, 1).await;
    let signed = frugal.sign(&cent(), 4).await.expect("signed");
    wallet.reprice(&signed, &cent()).await.expect("repriced").expect("a replacement");

    let cut = SignedTransfer { raw: signed.raw.slice(..signed.raw.len() - 1), ..signed.clone() };
    let longer = SignedTransfer { raw: [&signed.raw[..], &[0]].concat().into(), ..signed.clone() };
    let other_nonce = SignedTransfer { nonce: 5, ..signed.clone() };
    let other_hash = SignedTransfer { hash: B256::repeat_byte(1), ..signed.clone() };
    let empty = SignedTransfer { raw: Default::default(), ..signed.clone() };
    for wrong in [cut, longer, other_nonce, other_hash, empty] {
        assert_eq!(wallet.reprice(&wrong, &cent()).await, Err(TransferError::WrongTransaction), "{wrong:?}");
    }
    for wrong in [
        TokenTransfer { to: OTHER, ..cent() },
        TokenTransfer { amount: U256::ONE, ..cent() },
        TokenTransfer { token: TOKEN, ..cent() },
    ] {
        assert_eq!(wallet.reprice(&signed, &wrong).await, Err(TransferError::WrongTransaction), "{wrong:?}");
    }
    let stranger = World { key: Key::random(), ..world };
    let foreign = stranger.wallet(LIMIT, 1).await.reprice(&signed, &cent()).await;
    assert_eq!(foreign, Err(TransferError::WrongTransaction));
}

/// A failure of a node says nothing of the transaction: here it is in a block all the same.
#[tokio::test]
async fn a_node_that_fails_while_it_is_given_a_transaction_proves_nothing() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 1).await;
    for (nonce, fault) in [NodeFault::LoseReply, NodeFault::RefuseAfter("internal error")].into_iter().enumerate() {
        let signed = wallet.sign(&cent(), nonce as u64).await.expect("signed");
        world.node.next("eth_sendRawTransaction", fault, 1);
        wallet.broadcast(&signed.raw).await.expect_err("no confirmation");
        assert!(matches!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Paid { .. }), "{fault:?}");
    }
    let signed = wallet.sign(&cent(), 2).await.expect("signed");
    world.set_ether(U256::ONE).await;
    assert_eq!(wallet.broadcast(&signed.raw).await, Err(BroadcastError::NoMoney));
    assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Waiting);
}

#[tokio::test]
async fn a_nonce_that_a_foreign_transaction_used_is_displaced_once_that_is_deep() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 3).await;
    world.mine(4).await;
    let signed = wallet.sign(&cent(), 0).await.expect("signed");
    let foreign = send(&wallet, &TokenTransfer { to: OTHER, ..cent() }, 0).await;
    assert_eq!(wallet.broadcast(&signed.raw).await, Err(BroadcastError::NonceUsed));
    assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Unclear);
    world.mine(1).await;
    assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Unclear);
    // The transaction is found in its block, wherever that is.
    for more in [1, 1, 1, 2, 5, 30] {
        world.mine(more).await;
        assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Displaced { by: Some(foreign.hash) });
    }
    assert_eq!(wallet.next_nonce(0).await, Ok(1));

    // A node without the states of old blocks: the first two questions are about the newest block and the deep one.
    world.node.next("eth_getTransactionCount", NodeFault::Slow(Duration::ZERO), 2);
    world.node.always("eth_getTransactionCount", NodeFault::Refuse("missing trie node"));
    assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Displaced { by: None });
}

/// A ledger that was restored knows the first transaction of a transfer, and the chain has its replacement: it counted as
/// foreign, and the transfer would have been made again.
#[tokio::test]
async fn a_transaction_under_the_nonce_that_made_this_very_transfer_is_the_payment_although_it_is_not_known() {
    let world = World::start().await;
    let (wallet, dearer) = (world.wallet(5_500_000, 1).await, world.wallet(LIMIT, 1).await);
    let known = wallet.sign(&cent(), 0).await.expect("signed");
    world.mine(1).await;
    let unknown = dearer.sign(&cent(), 0).await.expect("signed");
    assert_ne!(unknown.hash, known.hash);
    dearer.broadcast(&unknown.raw).await.expect("sent");
    world.mine(1).await;
    let outcome = outcome_of(&wallet, &[&known]).await;
    assert!(matches!(outcome, TransferOutcome::Paid { hash, .. } if hash == unknown.hash), "{outcome:?}");
}

/// An answer that ends the transfer would have it paid again, under another nonce.
#[tokio::test]
async fn a_payment_whose_receipt_the_node_lost_is_never_displaced() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 1).await;
    world.mine(2).await;
    let signed = send(&wallet, &cent(), 0).await;
    world.mine(5).await;
    world.node.always("eth_getTransactionReceipt", NodeFault::Null);
    assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Unclear);
    world.node.always("eth_getTransactionByHash", NodeFault::Null);
    assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Unclear, "its block shows it");
    world.node.heal();
    assert!(matches!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Paid { .. }));
}

#[tokio::test]
async fn a_reorganisation_takes_a_payment_back_until_it_is_deep() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 3).await;
    let before = world.ask("evm_snapshot", json!([])).await;
    let signed = send(&wallet, &cent(), 0).await;
    world.mine(1).await;
    let outcome = outcome_of(&wallet, &[&signed]).await;
    assert!(matches!(outcome, TransferOutcome::Confirming { hash, .. } if hash == signed.hash), "{outcome:?}");
    assert_eq!(world.ask("evm_revert", json!([before])).await, true);
    world.mine(5).await;
    assert_eq!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Waiting);
    let behind = wallet.next_nonce(1).await;
    assert_eq!(behind, Err(TransferError::NodeBehind { mined: 0, least: 1 }));

    wallet.broadcast(&signed.raw).await.expect("the same bytes are valid again");
    world.mine(2).await;
    assert!(matches!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Paid { .. }));
    assert_eq!(world.chain.balance(PAYER).await, 10_000);
}

/// The receipt is of a block that is deep enough on the old branch. Then the chain is reorganised, and the payment is
/// in a later block, which is not deep. By the numbers alone it would be.
#[tokio::test]
async fn a_reorganisation_between_two_reads_is_no_payment() {
    let world = World::start().await;
    let wallet = world.wallet(LIMIT, 3).await;
    let before = world.ask("evm_snapshot", json!([])).await;
    let signed = send(&wallet, &cent(), 0).await;
    world.mine(2).await;
    let seen = world.node.calls("eth_getBlockByNumber");
    // The newest block, and the one that is to be deep enough above the receipt's.
    world.node.next("eth_getBlockByNumber", NodeFault::Slow(Duration::from_secs(3)), 2);
    let reorganise = async {
        while world.node.calls("eth_getBlockByNumber") < seen + 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(world.ask("evm_revert", json!([before])).await, true);
        world.mine(1).await;
        world.ask("eth_sendRawTransaction", json!([signed.raw])).await;
        world.mine(1).await;
    };
    let all = [&signed];
    let (outcome, ()) = tokio::join!(outcome_of(&wallet, &all), reorganise);
    assert_eq!(outcome, TransferOutcome::Unclear);
    assert!(matches!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Confirming { .. }));
    world.mine(1).await;
    assert!(matches!(outcome_of(&wallet, &[&signed]).await, TransferOutcome::Paid { .. }));
}
