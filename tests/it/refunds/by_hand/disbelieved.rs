//! Transactions that do not pay a debt end nothing: the answer says why.

use alloy::primitives::{Address, B256, U256, address, hex, keccak256};
use alloy::sol_types::SolValue;
use coinslot_devnet::USDC;
use coinslot_tests::{NodeFault, random_word};
use serde_json::json;

use super::{OTHER_TOKEN, OwnWallet, STRANGER, by};
use crate::refunds::{BY_COMMAND, CENT, Debt, PATIENCE, Seller};

#[tokio::test]
async fn a_transaction_that_does_not_pay_the_debt_is_refused_in_its_own_words() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let (debt, second, third) = (seller.owe(0).await, seller.owe(0).await, seller.owe(0).await);

    let elsewhere = own.sends(USDC, STRANGER, CENT).await;
    seller.disbelieves(&debt, by(&elsewhere), 409, "send the money to the payer").await;
    let little = own.sends(USDC, debt.payer, CENT - 1).await;
    seller.disbelieves(&debt, by(&little), 409, "paid 0.009999 USDC to the payer, and 0.01 USDC is owed").await;
    let other_asset = own.sends(OTHER_TOKEN, debt.payer, CENT).await;
    seller.disbelieves(&debt, by(&other_asset), 409, "a debt is paid back in the asset of its payment").await;
    let unknown = random_word().to_string();
    seller.disbelieves(&debt, by(&unknown), 409, "does not know transaction").await;
    seller.disbelieves(&debt, by("0xabc"), 409, "is no hash of a transaction").await;
    seller.disbelieves(&debt, json!({}), 400, "name either the transaction").await;
    seller.disbelieves(&debt, json!({ "by": little, "notPaid": true }), 400, "name either the transaction").await;
    seller.disbelieves(&debt, json!({ "notPaid": true }), 409, "no refund of the payment is under way").await;

    let fails = own.signed(USDC, debt.payer, CENT).await;
    seller.block(debt.payer).await;
    own.wallet.broadcast(&fails.raw).await.expect("sent");
    seller.disbelieves(&debt, by(&fails.hash.to_string()), 409, "was reverted and moved nothing").await;
    seller.unblock().await;

    seller.ask_chain("evm_setAutomine", json!([false])).await;
    let waits = own.sends(USDC, debt.payer, CENT).await;
    seller.disbelieves(&debt, by(&waits), 503, "is in no block that is deep enough").await;
    seller.ask_chain("evm_setAutomine", json!([true])).await;
    seller.ask_chain("anvil_mine", json!([1])).await;

    // A node that does not answer, or denies the transaction, ends nothing.
    for fault in [NodeFault::Status(503), NodeFault::Garbage, NodeFault::Refuse("rate limited")] {
        seller.node.always("*", fault);
        let (status, report) = seller.settle(&debt, by(&waits)).await;
        assert!(status == 503 && seller.state(&debt) == "owed", "{status} {report}");
        seller.node.heal();
    }

    let none = Debt { id: "0".repeat(32), ..debt.clone() };
    let (status, report) = seller.settle(&none, by(&waits)).await;
    assert_eq!(status, 404, "{report}");

    // Of two debts to one payer, one transaction of a cent ends one.
    assert_eq!(seller.settle(&debt, by(&waits)).await.0, 200);
    seller.disbelieves(&second, by(&waits), 409, &format!("of which 0.01 USDC count for payment {}", debt.id)).await;
    let both = own.sends(USDC, debt.payer, 2 * CENT).await;
    assert_eq!(seller.settle(&second, by(&both)).await.0, 200);
    assert_eq!(seller.settle(&third, by(&both.to_uppercase().replace("0X", "0x"))).await.0, 200);

    // The transaction of a refund of the host is that refund's.
    let (fourth, fifth) = (seller.owe(1).await, seller.owe(1).await);
    let refund = seller.pays_back(&fourth).await;
    seller.disbelieves(&fifth, by(&refund), 409, "settle that payment by it").await;
    // The payment itself is no refund of it.
    let payment = seller.query(&format!("SELECT tx FROM payment WHERE payment_id = '{}'", fifth.id));
    seller.disbelieves(&fifth, by(&payment), 409, "send the money to the payer").await;
    let sent = seller.sent().await;
    assert!(matches!(&*sent, [one] if one.transaction == refund), "{sent:?}");
}

/// A top-up of the payer, seconds before its purchase, ended the debt: clocks were compared, with ten minutes of grace.
#[tokio::test]
async fn a_transfer_that_came_before_the_payment_does_not_end_its_debt() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let payer = seller.chain.payer(0).address();
    let top_up = own.sends(USDC, payer, CENT).await;
    let debt = seller.owe(0).await;
    seller.disbelieves(&debt, by(&top_up), 409, "only a later block can pay it back").await;
    let later = own.sends(USDC, payer, CENT).await;
    let (status, report) = seller.settle(&debt, json!({ "by": later, "senderIsMine": true, "dryRun": true })).await;
    assert_eq!((status, &report["moved"]), (200, &json!("0.01 USDC")), "{report}");

    // Where nobody knows the block of the payment, a transaction counts once the payment could not be settled any more.
    let file = rusqlite::Connection::open(seller.host.path(".coinslot/ledger.db")).expect("the ledger");
    file.busy_timeout(PATIENCE).expect("a timeout");
    let settled = seller.query(&format!("SELECT tx FROM payment WHERE payment_id = '{}'", debt.id));
    for hash in [random_word().to_string(), String::new()] {
        file.execute("UPDATE settlement SET tx = ?1 WHERE tx = ?2", [&hash, &settled]).expect("another transaction");
        seller.disbelieves(&debt, by(&later), 409, "when the payment could not be settled any more").await;
        file.execute("UPDATE settlement SET tx = ?1 WHERE tx = ?2", [&settled, &hash]).expect("put back");
    }
    file.execute("UPDATE settlement SET tx = '' WHERE tx = ?1", [&settled]).expect("no transaction");
    let expired = format!("UPDATE claim SET valid_before = 1 WHERE payment_id = '{}'", debt.id);
    file.execute_batch(&expired).expect("an older payment");
    assert_eq!(seller.settle(&debt, by(&later)).await.0, 200);
    assert_eq!(seller.state(&debt), "refunded");
}

/// A contract that takes the money from the payer and gives it back ended a debt: what the payer received was counted
/// alone.
#[tokio::test]
async fn money_that_the_payer_sends_in_the_same_transaction_does_not_count() {
    const CONTRACT: Address = address!("0x00000000000000000000000000000000000d00d1");
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let debt = seller.owe(0).await;
    // Every call is `transferFrom(payer, contract, a cent)` and `transfer(payer, a cent)`, and returns 1. If one of them
    // fails, it jumps to a revert at its beginning.
    let begin = "6007565b5f5ffd5b";
    let (payer, token) = (hex::encode(debt.payer), hex::encode(USDC));
    let selector = |name: &str| format!("63{name}60e01b5f52");
    let call = |size: &str| format!("5f5f60{size}5f5f73{token}5af115600357");
    let pull = format!("{}73{payer}60045230602452612710604452", selector("23b872dd")) + &call("64");
    let push = format!("{}73{payer}600452612710602452", selector("a9059cbb")) + &call("44");
    seller.ask_chain("anvil_setCode", json!([CONTRACT, format!("0x{begin}{pull}{push}60015f5260205ff3")])).await;
    // The payer has allowed the contract to take the money: slot 2 of the token.
    let of_payer = keccak256((debt.payer, U256::from(2)).abi_encode());
    let allowance = keccak256((CONTRACT, of_payer).abi_encode());
    seller.ask_chain("anvil_setStorageAt", json!([USDC, allowance, B256::from(U256::from(CENT))])).await;

    let before = seller.chain.balance(debt.payer).await;
    let there_and_back = own.sends(CONTRACT, debt.payer, 1).await;
    assert_eq!(seller.chain.balance(debt.payer).await, before, "the payer has what it had");
    let words = "paid 0.01 USDC to the payer, who sent 0.01 USDC in it";
    seller.disbelieves(&debt, by(&there_and_back), 409, words).await;
    // Two cents back for one make a cent.
    seller.ask_chain("anvil_setStorageAt", json!([USDC, allowance, B256::from(U256::from(CENT))])).await;
    seller.set_dollars(CONTRACT, CENT).await;
    let twice = format!("0x{begin}{pull}{push}{push}60015f5260205ff3");
    seller.ask_chain("anvil_setCode", json!([CONTRACT, twice])).await;
    let refunded = own.sends(CONTRACT, debt.payer, 1).await;
    let (status, report) = seller.settle(&debt, by(&refunded)).await;
    assert_eq!((status, &report["moved"]), (200, &json!("0.01 USDC")), "{report}");
    assert_eq!(seller.chain.balance(debt.payer).await, before + CENT);
}

/// Somebody else's transfer to the payer may have nothing to do with the debt.
#[tokio::test]
async fn an_unknown_sender_needs_the_operators_word() {
    let seller = Seller::start(BY_COMMAND).await;
    let own = OwnWallet::new(&seller).await;
    let debt = seller.owe(0).await;
    let transaction = own.sends(USDC, debt.payer, CENT).await;
    let words = format!("paid 0.01 USDC to the payer, from {}", own.wallet.address());
    for dry_run in [true, false] {
        seller.disbelieves(&debt, json!({ "by": transaction, "dryRun": dry_run }), 409, &words).await;
    }
    let (code, _, said) = seller.command(&["owed", "settle", &debt.id, "--by", &transaction]).await;
    assert!(code == Some(1) && said.contains(&words) && said.contains("--sender-is-mine"), "{said}");
    // The wallet of refunds is known: nobody has to vouch for it.
    let same_key = OwnWallet::of(&seller, seller.key.path()).await;
    let known = same_key.sends(USDC, debt.payer, CENT).await;
    let (status, report) = seller.settle(&debt, json!({ "by": known })).await;
    let sender = seller.wallet.address().to_string();
    assert_eq!((status, &report["sender"]), (200, &json!(sender)), "{report}");
}
