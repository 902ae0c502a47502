//! Checks the wallets that a host refuses to pay from, and what becomes of a refund whose wallet is named no more.

use coinslot_tests::{SELLER, random_word};

use super::{BY_COMMAND, Seller};

/// Has `serve` and `check` refuse the configuration with this reason.
async fn is_refused(seller: &mut Seller, reason: &str) {
    let (code, out, error) = seller.local(vec!["check".to_owned()]).await;
    assert!(code == Some(2) && error.contains(reason), "{code:?} {out}{error}");
    seller.host.fails_to_start(reason).await;
}

#[tokio::test]
async fn a_wallet_that_holds_other_money_of_the_host_is_refused() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let config = seller.host.configuration();
    let (code, out, error) = seller.local(vec!["check".to_owned()]).await;
    let wallet = seller.wallet.address().to_string();
    assert!(
        code == Some(0) && out.contains(&format!("{wallet} has 1 ether, 10 USDC on eip155:84532 for refunds")),
        "{out}{error}"
    );
    assert!(!out.contains("warning: the wallet of refunds"), "{out}");
    seller.host.write_configuration(&config.replace("[refunds]\n", "[refunds]\nlow_balance = \"2 ether\"\n"));
    let (code, out, error) = seller.local(vec!["check".to_owned()]).await;
    let low =
        format!("warning: the wallet of refunds {wallet} has 1 ether for gas on eip155:84532; it should have 2 ether");
    assert!(code == Some(0) && out.contains(&low), "a low wallet is a warning: {out}{error}");
    seller.host.write_configuration(&config);

    let gas_key = std::fs::read_to_string(seller.host.path("key")).expect("a key");
    std::fs::write(seller.key.path(), gas_key).expect("a key file");
    is_refused(&mut seller, "pays for the gas of settlements: name the key of another wallet").await;

    let own = random_word().to_string();
    std::fs::write(seller.key.path(), &own).expect("a key file");
    let receiver = coinslot_tests::Wallet::from_key(&own).address().to_checksum(None);
    seller.reconfigure(&SELLER.to_checksum(None), &receiver);
    let reason = "receives payments, and a host holds no key to what was earned";
    is_refused(&mut seller, reason).await;
    // A receiver of one plugin alone, too.
    seller.host.write_configuration(&format!("{config}[plugin.upfront]\npay_to = \"{receiver}\"\n"));
    is_refused(&mut seller, reason).await;

    std::fs::write(seller.key.path(), "no key").expect("a key file");
    seller.host.write_configuration(&config);
    is_refused(&mut seller, "refunds: ").await;
}

#[tokio::test]
async fn a_table_of_refunds_that_could_not_work_is_refused() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let config = seller.host.configuration();
    let key_file = format!("key_file = \"{}\"\n", seller.key.path().display());
    for (from, to, reason) in [
        (BY_COMMAND, "", "the most that is paid back in a day, such as \"$20\""),
        (BY_COMMAND, "daily_budget = \"a lot\"\n", "daily_budget"),
        (BY_COMMAND, "daily_budget = []\n", "name an amount, such as \"$20\""),
        (BY_COMMAND, "daily_budget = [\"$20\", \"$30\"]\n", "is a second budget of the same money"),
        (&*key_file, "", "name the key of the wallet that pays, with key_env or key_file"),
        (BY_COMMAND, "daily_budget = \"$20\"\npolicy = \"at once\"\n", "is neither `by command` nor a time such as"),
        (BY_COMMAND, "daily_budget = \"$20\"\npolicy = \"after 0s\"\n", "is neither `by command` nor a time such as"),
        (BY_COMMAND, "daily_budget = \"$20\"\nwallet = \"mine\"\n", "wallet"),
    ] {
        assert!(config.contains(from));
        seller.host.write_configuration(&config.replace(from, to));
        is_refused(&mut seller, reason).await;
    }
}

/// A budget of money that the debt is not in: the order is refused and says what to add.
#[tokio::test]
async fn a_debt_in_money_without_a_budget_is_not_paid_back() {
    let seller = Seller::start("daily_budget = \"20 EURC\"\n").await;
    let debt = seller.owe(0).await;
    seller.refuses(&debt, 409, "names no amount of USDC: add one, such as \"10 USDC\", and restart the host").await;
    seller.sent_nothing_and_owes(&debt).await;
}

#[tokio::test]
async fn a_remote_facilitator_without_a_node_has_the_order_refused_until_a_node_is_named() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let debt = seller.owe(0).await;
    let own = format!("rpc = \"{}\"\nkey_file = \"key\"\npoll_interval = \"50ms\"\n", seller.node.url());
    let remote = format!("url = \"{}\"\n", seller.chain.our_facilitator(1).await);
    seller.reconfigure(&own, &remote);
    seller.host.restart(&[]).await;
    seller
        .refuses(&debt, 409, "no node of eip155:84532 is configured, so nothing is paid back on it: name `rpc`")
        .await;
    seller.reconfigure(&remote, &format!("{remote}rpc = \"{}\"\n", seller.node.url()));
    seller.host.restart(&[]).await;
    seller.pays_back(&debt).await;
    seller.paid_back_once(&debt).await;
}

/// The money may be in the next block: no other wallet may pay the same debt, and nothing of it is forgotten.
#[tokio::test]
async fn a_refund_whose_key_was_changed_waits_for_the_key() {
    let mut seller = Seller::start(BY_COMMAND).await;
    let (debt, other) = (seller.owe(0).await, seller.owe(1).await);
    let key = std::fs::read_to_string(seller.key.path()).expect("a key");
    seller.node.withhold();
    assert_eq!(seller.order(&debt).await.0, 200);
    std::fs::write(seller.key.path(), random_word().to_string()).expect("a key file");
    seller.restart_in_a_hurry().await;
    let wallet = seller.wallet.address().to_string().to_lowercase();
    seller.until_alert("refund_trouble", &format!("the wallet {wallet} sent it")).await;
    let (code, status, _) = seller.command(&["status", "--format", "table"]).await;
    assert!(code == Some(3) && status.contains("name the key of the former until it has an end"), "{status}");
    assert_eq!(seller.present(&debt).await.0, 503);
    seller.refuses(&other, 503, &format!("the refund of payment {} is under way", debt.id)).await;

    // Nor is it forgotten without the table, which is easily removed by an operator who pays back nothing more.
    let config = seller.host.configuration();
    let (without, _) = config.split_once("[refunds]").expect("the table");
    seller.host.write_configuration(without);
    seller.restart_in_a_hurry().await;
    seller.until_alert("refund_trouble", &format!("name the key of {wallet} in [refunds]")).await;
    assert_eq!(seller.present(&debt).await.0, 503);

    seller.host.write_configuration(&config);
    std::fs::write(seller.key.path(), key).expect("a key file");
    seller.node.release().await;
    seller.restart_in_a_hurry().await;
    seller.until(&debt, "refunded").await;
    seller.paid_back_once(&debt).await;
}
