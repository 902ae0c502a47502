use std::collections::HashMap;
use std::path::Path;

use alloy_primitives::{Address, B256, U256};

use super::reconcile::{ChainPayment, Coverage, Difference, LOOK_BACK, LedgerSide, PaymentSum, TxOutcome};
use super::*;
use crate::testing::{ASSET, LedgerFile, LedgerRow, PAYER, SELLER, entry};

impl LedgerFile {
    fn books(&self) -> LedgerReader {
        LedgerReader::open(&self.path).expect("books")
    }

    fn ids(&self, filter: &Filter) -> Vec<String> {
        let books = self.books();
        let mut selection = books.select(filter).expect("a selection");
        selection.rows().expect("rows").map(|row| row.expect("a row").payment_id[..2].to_owned()).collect()
    }
}

#[test]
fn a_file_that_is_no_ledger_of_this_version_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.db");
    let open = |path: &Path| LedgerReader::open(path).expect_err("not a ledger");
    assert!(matches!(open(&path), ReportError::Missing(_)));
    assert!(!path.exists(), "looking creates nothing");
    std::fs::write(&path, "these are no pages of a database, however long they go on and on and on").expect("a file");
    assert!(matches!(open(&path), ReportError::Foreign(_)), "{:?}", open(&path));
    std::fs::remove_file(&path).expect("removed");
    Connection::open(&path).expect("a file").execute_batch("CREATE TABLE mine (a)").expect("a table");
    assert!(matches!(open(&path), ReportError::Foreign(_)));
    let file = LedgerFile::new();
    file.run("PRAGMA user_version = 99");
    assert!(matches!(open(&file.path), ReportError::Newer { found: 99, .. }));
    file.run("PRAGMA user_version = 1");
    assert!(matches!(open(&file.path), ReportError::Older { found: 1, .. }));
}

#[test]
fn books_are_read_as_of_one_moment_while_the_host_goes_on() {
    let file = LedgerFile::new();
    file.add(&entry(1, "settled"));
    let books = file.books();
    let sum = |books: &LedgerReader| books.earned(GroupBy::Asset, None, None).expect("sums")[0].payments;
    assert_eq!(sum(&books), 1);
    file.run("BEGIN IMMEDIATE");
    file.add(&entry(2, "settled"));
    file.run("COMMIT");
    assert_eq!(sum(&books), 1, "the state that was opened");
    assert_eq!(sum(&file.books()), 2);
    assert!(books.connection.execute("DELETE FROM payment", []).is_err(), "nothing is ever written");
}

#[test]
fn payments_are_found_by_state_endpoint_payer_and_time() {
    let file = LedgerFile::new();
    for (id, state, endpoint, payer, at) in [
        (1, "settled", "GET /a", PAYER, 1_000),
        (2, "owed", "POST /b", "0x00000000000000000000000000000000000000B2", 2_000),
        (3, "refused", "GET /a", PAYER, 3_000),
    ] {
        file.add(&LedgerRow { endpoint, payer, at, ..entry(id, state) });
    }
    let all = Filter::default();
    assert_eq!(file.ids(&all), ["03", "02", "01"]);
    assert_eq!(file.ids(&Filter { order: ClaimOrder::OldestFirst, limit: Some(2), ..all.clone() }), ["01", "02"]);
    assert_eq!(
        file.ids(&Filter { states: vec![PaymentState::Owed, PaymentState::Settled], ..all.clone() }),
        ["02", "01"]
    );
    for endpoint in ["/b", "POST /b"] {
        assert_eq!(file.ids(&Filter { endpoint: Some(endpoint.to_owned()), ..all.clone() }), ["02"]);
    }
    let payer = Some("0x00000000000000000000000000000000000000b2".to_owned());
    assert_eq!(file.ids(&Filter { payer, ..all.clone() }), ["02"]);
    let (since, until) = (Some(UnixTime(1_001)), Some(UnixTime(3_000)));
    assert_eq!(file.ids(&Filter { since, until, ..all }), ["02"]);
}

#[test]
fn revenue_is_what_was_received_apart_from_testnets_and_from_oneself() {
    let file = LedgerFile::new();
    for (id, state) in [(1, "settled"), (2, "delivered"), (3, "owed"), (4, "refused"), (5, "unknown"), (6, "settling")]
    {
        file.add(&entry(id, state));
    }
    file.add(&LedgerRow { testnet: true, network: "eip155:84532", amount: "7", ..entry(7, "settled") });
    file.add(&LedgerRow { payer: &SELLER.to_ascii_lowercase(), amount: "5", ..entry(8, "settled") });
    // In the upfront flow the money is there while the guest runs.
    file.add(&LedgerRow { transaction: Some(B256::ZERO.to_string()), amount: "3", ..entry(9, "executing") });
    file.run(&format!(
        "INSERT INTO total VALUES (1, 'eip155:8453', '{ASSET}', '{SELLER}', 'a', 'GET /a', 0, 4, '40000'),
            (2, 'eip155:84532', '{ASSET}', '{SELLER}', 'a', 'GET /a', 1, 1, '9')"
    ));
    let lines = |by| {
        let lines = file.books().earned(by, None, None).expect("sums");
        lines.into_iter().map(|line| (line.kind, line.key, line.payments, line.amount.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(GroupBy::Asset),
        [
            (MoneyKind::Revenue, GroupKey::All, 8, "70003".to_owned()),
            (MoneyKind::SelfPaid, GroupKey::All, 1, "5".to_owned()),
            (MoneyKind::Testnet, GroupKey::All, 2, "16".to_owned()),
        ]
    );
    let days = lines(GroupBy::Day);
    assert_eq!(days[0], (MoneyKind::Revenue, GroupKey::Day(0), 4, "30003".to_owned()));
    assert_eq!(days[1], (MoneyKind::Revenue, GroupKey::Day(1), 4, "40000".to_owned()));
    assert_eq!(lines(GroupBy::Payer)[1], (MoneyKind::Revenue, GroupKey::Pruned, 4, "40000".to_owned()));
    let since = Some(UnixTime(DAY + 1));
    let later = file.books().earned(GroupBy::Asset, since, None).expect("sums");
    assert_eq!(later.len(), 1, "days that began earlier are left out: {later:?}");
}

#[test]
fn sums_are_exact_beyond_floats_and_an_overflow_is_an_error() {
    let file = LedgerFile::new();
    let most = U256::MAX.to_string();
    let almost = (U256::MAX - U256::from(10_001)).to_string();
    file.add(&entry(1, "settled"));
    file.add(&LedgerRow { amount: &almost, ..entry(2, "settled") });
    let sum = file.books().earned(GroupBy::Asset, None, None).expect("sums")[0].amount;
    assert_eq!(sum, Amount(U256::MAX - U256::ONE));
    file.add(&LedgerRow { amount: &most, ..entry(3, "settled") });
    assert_eq!(file.books().earned(GroupBy::Asset, None, None), Err(ReportError::Overflow));
    let file = LedgerFile::new();
    file.add(&LedgerRow { amount: "1e4", ..entry(1, "settled") });
    assert!(matches!(
        file.books().earned(GroupBy::Asset, None, None),
        Err(ReportError::Malformed { column: "amount", .. })
    ));
}

fn seen(id: u8) -> ChainPayment {
    ChainPayment {
        asset: ASSET.parse().expect("an address"),
        payer: PAYER.parse().expect("an address"),
        nonce: B256::repeat_byte(id),
        pay_to: SELLER.parse().expect("an address"),
        amount: Amount(U256::from(10_000)),
        transaction: B256::repeat_byte(id),
        when: Coverage::Within,
    }
}

fn question(file: &LedgerFile, since: u64) -> LedgerSide {
    let books = file.books();
    let since_rows = Some(UnixTime(since.saturating_sub(LOOK_BACK)));
    let mut selection = books.select(&Filter { since: since_rows, ..Filter::default() }).expect("a selection");
    let rows = selection.rows().expect("rows").collect::<Result<_, _>>().expect("rows");
    LedgerSide {
        network: Network::eip155(8453),
        since: UnixTime(since),
        now: UnixTime(100_000),
        rows,
        pruned: Vec::new(),
    }
}

fn kinds(comparison: &reconcile::Comparison) -> Vec<(Option<String>, Difference)> {
    let mut kinds: Vec<_> = comparison
        .findings
        .iter()
        .map(|finding| (finding.payment_id.as_ref().map(|id| id[..2].to_owned()), finding.difference))
        .collect();
    kinds.sort();
    kinds
}

#[test]
fn ledger_and_chain_agree_on_batched_and_single_settlements() {
    let file = LedgerFile::new();
    file.add(&entry(1, "settled"));
    file.add(&LedgerRow { transaction: Some(B256::repeat_byte(1).to_string()), ..entry(2, "delivered") });
    file.add(&entry(3, "refused"));
    let batched = ChainPayment { transaction: B256::repeat_byte(1), ..seen(2) };
    let question = question(&file, 0);
    assert_eq!(question.unseen(&[seen(1)]).len(), 1);
    let agreed = question.compare(&[seen(1), batched], &HashMap::new()).expect("sums");
    assert_eq!(kinds(&agreed), []);
    let sides = agreed.sides.values().next().expect("one receiver");
    assert_eq!(sides.ledger, sides.chain);
    assert_eq!(sides.chain, PaymentSum { payments: 2, amount: Amount(U256::from(20_000)) });
}

#[test]
fn every_difference_between_ledger_and_chain_is_told() {
    let file = LedgerFile::new();
    for id in 1..=6 {
        file.add(&entry(id, "settled"));
    }
    file.add(&LedgerRow { transaction: None, ..entry(7, "owed") });
    file.add(&entry(8, "refused"));
    file.add(&entry(9, "unknown"));
    file.add(&entry(10, "settling"));
    file.add(&LedgerRow { at: 99_900, ..entry(11, "settling") });
    let chain = [
        seen(1),
        ChainPayment { amount: Amount(U256::from(9_999)), ..seen(2) },
        ChainPayment { transaction: B256::repeat_byte(0xee), ..seen(3) },
        seen(8),
        seen(9),
        seen(10),
        seen(11),
        seen(12),
    ];
    let fates = HashMap::from([
        (B256::repeat_byte(4), TxOutcome::Missing),
        (B256::repeat_byte(5), TxOutcome::Reverted),
        (B256::repeat_byte(6), TxOutcome::Other),
    ]);
    let comparison = question(&file, 0).compare(&chain, &fates).expect("sums");
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(
        kinds(&comparison),
        [
            (None, Difference::OutsideLedger),
            (id("02"), Difference::OtherTerms),
            (id("03"), Difference::OtherTransaction),
            (id("04"), Difference::NotOnChain),
            (id("05"), Difference::Reverted),
            (id("06"), Difference::NoTransfer),
            (id("07"), Difference::NoTransaction),
            (id("08"), Difference::NotBooked),
            (id("09"), Difference::NotBooked),
            (id("0a"), Difference::NotBooked),
        ]
    );
    let sides = comparison.sides.values().next().expect("one receiver");
    assert_eq!((sides.ledger.payments, sides.chain.payments, sides.at_work), (7, 7, 1));
}

#[test]
fn rows_from_before_the_period_are_matched_and_not_counted() {
    let file = LedgerFile::new();
    file.add(&LedgerRow { at: 999_990, ..entry(1, "settled") });
    let chain = [seen(1), ChainPayment { when: Coverage::Before, ..seen(2) }];
    let comparison = question(&file, 1_000_000).compare(&chain, &HashMap::new()).expect("sums");
    assert_eq!(kinds(&comparison), []);
    assert!(comparison.sides.is_empty());
}

#[test]
fn pruned_rows_are_compared_by_their_totals() {
    let file = LedgerFile::new();
    let group: (Address, Address) = (seen(1).asset, seen(1).pay_to);
    let chain =
        [ChainPayment { when: Coverage::Pruned, ..seen(1) }, ChainPayment { when: Coverage::Pruned, ..seen(2) }];
    let compared = |amount: u64| {
        let totals = PaymentSum { payments: 2, amount: Amount(U256::from(amount)) };
        let question = LedgerSide { pruned: vec![(group, totals)], ..question(&file, 0) };
        kinds(&question.compare(&chain, &HashMap::new()).expect("sums"))
    };
    assert_eq!(compared(20_000), []);
    assert_eq!(compared(30_000), [(None, Difference::PrunedTotals)]);
}
