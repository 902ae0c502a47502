use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use alloy_primitives::{Address, B256, U256};
use coinslot_x402::price::Amount;
use coinslot_x402::{Network, UnixTime};
use rusqlite::Connection;

use super::reconcile::{ChainPayment, Comparison, Coverage, DifferenceKind, LedgerSide, PaymentSum, TxOutcome};
use super::*;
use crate::testing::{ASSET, LedgerFile, LedgerRow, PAYER, SELLER, row};
use crate::{DAY, PaymentState};

impl LedgerFile {
    fn reader(&self) -> LedgerReader {
        LedgerReader::open(&self.path).expect("a ledger")
    }

    fn ids(&self, filter: &Filter) -> Vec<String> {
        let reader = self.reader();
        let mut selection = reader.select(filter).expect("a selection");
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
    let file = LedgerFile::create();
    file.run("PRAGMA user_version = 99");
    assert!(matches!(open(&file.path), ReportError::Newer { found: 99, .. }));
    file.run("PRAGMA user_version = 1");
    assert!(matches!(open(&file.path), ReportError::Older { found: 1, .. }));
}

#[test]
fn each_sum_shows_the_state_of_its_moment_and_nothing_is_written() {
    let file = LedgerFile::create();
    file.add(&row(1, "settled"));
    let reader = file.reader();
    let sum = || reader.earned(GroupBy::Asset, None, None).expect("sums")[0].payments;
    assert_eq!(sum(), 1);
    file.run("BEGIN IMMEDIATE");
    file.add(&row(2, "settled"));
    file.run("COMMIT");
    assert_eq!(sum(), 2);
    assert!(reader.connection().execute("DELETE FROM claim", []).is_err());
}

#[test]
fn a_report_of_several_queries_is_made_from_one_state() {
    let file = LedgerFile::create();
    file.add(&row(1, "settled"));
    let reader = file.reader();
    let listed = || reader.select(&Filter::default()).expect("a selection").rows().expect("rows").count();
    let counts = reader.in_one_state(|| {
        let before = listed();
        file.add(&row(2, "settled"));
        Ok([before, listed()])
    });
    assert_eq!(counts, Ok([1, 1]));
    assert_eq!(listed(), 2);
}

/// Two thousand payments, of which many were claimed in the same second.
fn many() -> LedgerFile {
    let file = LedgerFile::create();
    file.run("BEGIN");
    for number in 0..2_000_u64 {
        let id = u8::try_from(number % 7).expect("small");
        let key = format!("{number:064x}");
        file.add(&LedgerRow { at: 1_000 + number / 900, nonce: key, ..row(id, "settled") });
        file.run("UPDATE claim SET key = randomblob(32) WHERE id = last_insert_rowid()");
    }
    file.run("COMMIT");
    file
}

/// A list held one state of the file for as long as its reader took: with `ledger export | less` the log of a busy host
/// grew without bound.
#[test]
fn a_list_that_is_read_slowly_does_not_keep_the_log_from_being_emptied() {
    let file = many();
    let reader = file.reader();
    let mut selection =
        reader.select(&Filter { order: ClaimOrder::OldestFirst, ..Filter::default() }).expect("a selection");
    let mut rows = selection.rows().expect("rows");
    let first = rows.next().expect("a row").expect("readable");
    file.run("INSERT INTO heartbeat VALUES (1, 1)");
    let host = Connection::open(&file.path).expect("the file");
    let busy: i64 = host.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("a checkpoint");
    assert_eq!(busy, 0, "the log is emptied while the list is open");
    let nonces: Vec<String> =
        std::iter::once(first).chain(rows.map(|row| row.expect("readable"))).map(|row| row.nonce).collect();
    assert!(nonces.iter().cloned().eq((0..2_000).map(|number| format!("{number:064x}"))), "each once, in order");
}

#[test]
fn a_list_ends_at_its_limit_in_whatever_page_that_is() {
    let file = many();
    for limit in [0, 1, 499, 500, 501, 1_000, 1_999, 2_000, 2_001] {
        let filter = Filter { limit: Some(limit), ..Filter::default() };
        let found = file.ids(&filter).len();
        assert_eq!(found, usize::try_from(limit.min(2_000)).expect("small"), "{limit}");
    }
    let newest = Filter { since: Some(UnixTime(1_001)), until: Some(UnixTime(1_002)), ..Filter::default() };
    assert_eq!(file.ids(&newest).len(), 900);
}

#[test]
fn every_open_payment_is_in_the_list_of_its_state() {
    let file = LedgerFile::create();
    let states = [
        PaymentState::Reserved,
        PaymentState::Executing,
        PaymentState::Settling,
        PaymentState::Unknown,
        PaymentState::Owed,
    ];
    for (id, state) in (1..).zip(states) {
        file.add(&row(id, state.as_str()));
    }
    file.add(&row(9, "settled"));
    for (id, state) in (1..).zip(states) {
        assert_eq!(file.ids(&Filter { states: vec![state], ..Filter::default() }), [format!("{id:02x}")]);
    }
    assert_eq!(file.ids(&Filter { states: states.to_vec(), ..Filter::default() }).len(), 5);
}

#[test]
fn lists_walk_the_index_of_claims_and_lists_of_open_payments_only_the_open_ones() {
    let file = LedgerFile::create();
    let plan = |filter: &Filter| {
        let reader = file.reader();
        let sql = format!("EXPLAIN QUERY PLAN {}", selection::sql(filter));
        let mut plan = reader.connection().prepare(&sql).expect("a query");
        let unbound = vec![None::<i64>; plan.parameter_count()];
        let steps = plan.query_map(rusqlite::params_from_iter(unbound), |row| row.get::<_, String>(3)).expect("a plan");
        steps.collect::<Result<Vec<_>, _>>().expect("its steps").join("; ")
    };
    for order in [ClaimOrder::NewestFirst, ClaimOrder::OldestFirst] {
        let all = plan(&Filter { order, ..Filter::default() });
        assert!(all.contains("SEARCH claim USING INDEX claim_by_time") && !all.contains("TEMP B-TREE"), "{all}");
        let owed = plan(&Filter { states: vec![PaymentState::Owed], order, ..Filter::default() });
        assert!(owed.contains("SEARCH claim USING INTEGER PRIMARY KEY") && !owed.contains("SCAN claim"), "{owed}");
        assert!(owed.contains("progress_owed") && !owed.contains("progress_lease"), "{owed}");
        let of_request = plan(&Filter { request_id: Some("a".to_owned()), order, ..Filter::default() });
        assert!(of_request.contains("COVERING INDEX claim_by_time"), "no row is read of other requests: {of_request}");
        assert!(of_request.contains("SEARCH claim USING INTEGER PRIMARY KEY"), "{of_request}");
    }
}

#[test]
fn payments_are_found_by_state_endpoint_payer_and_time() {
    let file = LedgerFile::create();
    for (id, state, endpoint, payer, at) in [
        (1, "settled", "GET /a", PAYER, 1_000),
        (2, "owed", "POST /b", "0x00000000000000000000000000000000000000B2", 2_000),
        (3, "refused", "GET /a", PAYER, 3_000),
    ] {
        file.add(&LedgerRow { endpoint, payer, at, ..row(id, state) });
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
    let file = LedgerFile::create();
    for (id, state) in [(1, "settled"), (2, "delivered"), (3, "owed"), (4, "refused"), (5, "unknown"), (6, "settling")]
    {
        file.add(&row(id, state));
    }
    file.add(&LedgerRow { testnet: true, network: "eip155:84532", amount: "7", ..row(7, "settled") });
    file.add(&LedgerRow { payer: &SELLER.to_ascii_lowercase(), amount: "5", ..row(8, "settled") });
    // In the upfront flow the money is there while the guest runs.
    file.add(&LedgerRow { transaction: Some(B256::ZERO.to_string()), amount: "3", ..row(9, "executing") });
    file.run(&format!(
        "INSERT INTO total VALUES (1, 'eip155:8453', '{ASSET}', '{SELLER}', 'a', 'GET /a', 0, 4, '40000'),
            (2, 'eip155:84532', '{ASSET}', '{SELLER}', 'a', 'GET /a', 1, 1, '9')"
    ));
    let lines = |by| {
        let lines = file.reader().earned(by, None, None).expect("sums");
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
    let later = file.reader().earned(GroupBy::Asset, since, None).expect("sums");
    assert_eq!(later.len(), 1, "days that began earlier are left out: {later:?}");
}

#[test]
fn sums_are_exact_beyond_floats_and_an_overflow_is_an_error() {
    let file = LedgerFile::create();
    let most = U256::MAX.to_string();
    let almost = (U256::MAX - U256::from(10_001)).to_string();
    file.add(&row(1, "settled"));
    file.add(&LedgerRow { amount: &almost, ..row(2, "settled") });
    let sum = file.reader().earned(GroupBy::Asset, None, None).expect("sums")[0].amount;
    assert_eq!(sum, Amount(U256::MAX - U256::ONE));
    file.add(&LedgerRow { amount: &most, ..row(3, "settled") });
    assert_eq!(file.reader().earned(GroupBy::Asset, None, None), Err(ReportError::Overflow));
    let file = LedgerFile::create();
    file.add(&LedgerRow { amount: "1e4", ..row(1, "settled") });
    assert!(matches!(
        file.reader().earned(GroupBy::Asset, None, None),
        Err(ReportError::Malformed { column: "amount", .. })
    ));
}

fn paid(id: u8) -> ChainPayment {
    ChainPayment {
        asset: ASSET.parse().expect("an address"),
        payer: PAYER.parse().expect("an address"),
        nonce: B256::repeat_byte(id),
        pay_to: SELLER.parse().expect("an address"),
        amount: Amount(U256::from(10_000)),
        transaction: B256::repeat_byte(id),
        coverage: Coverage::Row,
    }
}

fn side(file: &LedgerFile, since: u64) -> LedgerSide {
    let (network, since, now) = (Network::eip155(8453), UnixTime(since), UnixTime(100_000));
    let mut sides = LedgerSide::read_all(&file.reader(), since, now).expect("a ledger");
    sides.remove(&network).expect("rows of the network")
}

fn kinds(comparison: &Comparison) -> Vec<(Option<String>, DifferenceKind)> {
    let mut kinds: Vec<_> = comparison
        .differences
        .iter()
        .map(|difference| (difference.payment_id.as_ref().map(|id| id[..2].to_owned()), difference.kind))
        .collect();
    kinds.sort();
    kinds
}

#[test]
fn ledger_and_chain_agree_on_batched_and_single_settlements() {
    let file = LedgerFile::create();
    file.add(&row(1, "settled"));
    file.add(&LedgerRow { transaction: Some(B256::repeat_byte(1).to_string()), ..row(2, "delivered") });
    file.add(&row(3, "refused"));
    let batched = ChainPayment { transaction: B256::repeat_byte(1), ..paid(2) };
    let ledger = side(&file, 0);
    assert_eq!(ledger.unseen(&[paid(1)]).len(), 1);
    let agreed = Comparison::of(&ledger, &[paid(1), batched], &HashMap::new(), &HashSet::new()).expect("sums");
    assert_eq!(kinds(&agreed), []);
    let totals = agreed.totals.values().next().expect("one receiver");
    assert_eq!(totals.ledger, totals.chain);
    assert_eq!(totals.chain, PaymentSum { payments: 2, amount: Amount(U256::from(20_000)) });
}

#[test]
fn every_difference_between_ledger_and_chain_is_reported() {
    let file = LedgerFile::create();
    for id in 1..=6 {
        file.add(&row(id, "settled"));
    }
    file.add(&LedgerRow { transaction: None, ..row(7, "owed") });
    file.add(&row(8, "refused"));
    file.add(&row(9, "unknown"));
    file.add(&row(10, "settling"));
    file.add(&LedgerRow { at: 99_900, ..row(11, "settling") });
    file.add(&LedgerRow { reason: Some("duplicate_settlement"), ..row(13, "refused") });
    let chain = [
        paid(1),
        ChainPayment { amount: Amount(U256::from(9_999)), ..paid(2) },
        ChainPayment { transaction: B256::repeat_byte(0xee), ..paid(3) },
        paid(8),
        paid(9),
        paid(10),
        paid(11),
        paid(12),
        paid(13),
    ];
    let outcomes = HashMap::from([
        (B256::repeat_byte(4), TxOutcome::Missing),
        (B256::repeat_byte(5), TxOutcome::Reverted),
        (B256::repeat_byte(6), TxOutcome::Other),
    ]);
    let comparison = Comparison::of(&side(&file, 0), &chain, &outcomes, &HashSet::new()).expect("sums");
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(
        kinds(&comparison),
        [
            (None, DifferenceKind::OutsideLedger),
            (id("02"), DifferenceKind::OtherTerms),
            (id("03"), DifferenceKind::OtherTransaction),
            (id("04"), DifferenceKind::NotOnChain),
            (id("05"), DifferenceKind::Reverted),
            (id("06"), DifferenceKind::NoTransfer),
            (id("07"), DifferenceKind::NoTransaction),
            (id("08"), DifferenceKind::NotBooked),
            (id("09"), DifferenceKind::NotBooked),
            (id("0a"), DifferenceKind::NotBooked),
            (id("0d"), DifferenceKind::OutsideLedger),
        ]
    );
    let totals = comparison.totals.values().next().expect("one receiver");
    assert_eq!((totals.ledger.payments, totals.chain.payments, totals.at_work), (7, 8, 1));
}

#[test]
fn rows_from_before_the_period_are_matched_and_not_counted() {
    let file = LedgerFile::create();
    file.add(&LedgerRow { at: 999_990, ..row(1, "settled") });
    let chain = [paid(1), ChainPayment { coverage: Coverage::Outside, ..paid(2) }];
    let comparison = Comparison::of(&side(&file, 1_000_000), &chain, &HashMap::new(), &HashSet::new()).expect("sums");
    assert_eq!(kinds(&comparison), []);
    assert!(comparison.totals.is_empty());
}

#[test]
fn pruned_rows_are_compared_by_their_totals() {
    let group: (Address, Address) = (paid(1).asset, paid(1).pay_to);
    let chain = [
        ChainPayment { coverage: Coverage::RowOrTotal, ..paid(1) },
        ChainPayment { coverage: Coverage::RowOrTotal, ..paid(2) },
    ];
    let compared = |amount: u64| {
        let totals = PaymentSum { payments: 2, amount: Amount(U256::from(amount)) };
        let ledger = LedgerSide {
            pruned: BTreeMap::from([(group, totals)]),
            ..LedgerSide::empty(Network::eip155(8453), UnixTime(0), UnixTime(100_000))
        };
        kinds(&Comparison::of(&ledger, &chain, &HashMap::new(), &HashSet::new()).expect("sums"))
    };
    assert_eq!(compared(20_000), []);
    assert_eq!(compared(30_000), [(None, DifferenceKind::PrunedTotals)]);
}

/// A list that was to follow a payment without a row was empty, as if it were at its end.
#[test]
fn a_list_goes_on_from_a_place_whose_payment_is_gone() {
    let file = LedgerFile::create();
    for (id, at) in [(1, 10), (2, 11), (3, 12)] {
        file.add(&LedgerRow { at, ..row(id, "settled") });
    }
    let reader = file.reader();
    let all: Vec<PaymentRow> =
        reader.select(&Filter::default()).expect("it").rows().expect("rows").map(|row| row.expect("a row")).collect();
    let [newest, middle, _] = &all[..] else { panic!("three") };
    let after = |start: &str| Filter { after: ListStart::parse(start), ..Filter::default() };
    let middle_place = middle.place().to_string();
    assert_eq!(file.ids(&after(&newest.place().to_string())), ["02", "01"]);
    assert_eq!(file.ids(&after(&newest.payment_id)), ["02", "01"]);
    file.run(&format!("DELETE FROM progress WHERE id = {0}; DELETE FROM claim WHERE id = {0}", middle.number));
    assert_eq!(file.ids(&after(&middle_place)), ["01"]);
    let gone = Err(ReportError::Gone { payment: middle.payment_id.clone() });
    assert_eq!(reader.select(&after(&middle.payment_id)).expect("it").rows().map(drop), gone);
    for text in ["", "-", "1-", "x-1", "12", "1-2-3", "9999999999999999999-1"] {
        assert_eq!(ListStart::parse(text), None, "{text}");
    }
}

#[test]
fn a_sum_ends_at_its_bound_and_a_report_that_is_stopped_ends() {
    let file = many();
    let reader = file.reader();
    let payers = |most| reader.earned_within(most, GroupBy::Endpoint, None, None).map(|sums| sums.len());
    let groups = payers(usize::MAX).expect("sums");
    assert_eq!(payers(groups), Ok(groups));
    assert_eq!(payers(groups - 1), Err(ReportError::TooMany(groups - 1)));
    assert_eq!(reader.count(PaymentState::Settled, UnixTime(u64::MAX)), Ok(2_000));
    assert_eq!(reader.count(PaymentState::Owed, UnixTime(u64::MAX)), Ok(0));

    let stop = ReportStop::default();
    let slow = LedgerReader::open_until(&file.path, &stop).expect("a ledger");
    std::thread::scope(|scope| {
        let counted = scope.spawn(move || {
            let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
            slow.connection().query_row(endless, [], |row| row.get::<_, i64>(0)).map_err(ReportError::from)
        });
        // An interrupt meets a query that runs.
        while !counted.is_finished() {
            stop.stop();
            std::thread::yield_now();
        }
        assert_eq!(counted.join().expect("an end"), Err(ReportError::Stopped));
    });
    assert!(matches!(LedgerReader::open_until(&file.path, &stop), Err(ReportError::Stopped)));
}
