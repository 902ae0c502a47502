//! The file of spending: what counts, who sends, and what is kept.

use alloy::primitives::U256;
use serde_json::{Value, json};

use super::content::{MAX_OPEN, SENT_AGAIN_FOR};
use super::*;

const NOW: u64 = 1_800_000_000;
const A_DAY: u64 = 86_400;

fn payment(nonce: &str, dollars: u64, now: u64) -> OpenPayment {
    OpenPayment {
        tool: "t".to_owned(),
        arguments: JsonObject::new(),
        payment: Value::Null,
        price: "1".to_owned(),
        counted: CountedAuthorization {
            nonce: nonce.to_owned(),
            network: "eip155:84532".to_owned(),
            token: Address::ZERO.to_string(),
            dollars: dollars.to_string(),
            day: day_of(now),
            expires: now + 60,
        },
    }
}

fn file() -> (tempfile::TempDir, SpendingFile) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = same_file(folder.path());
    (folder, file)
}

/// The file as another process has it.
fn same_file(folder: &Path) -> SpendingFile {
    let url = "https://api.example.com/mcp".parse().expect("a URL");
    SpendingFile::open(folder, &url, Address::ZERO).expect("a file")
}

fn dollars(sum: u64) -> Dollars {
    Dollars(U256::from(sum))
}

fn begin_in(file: &SpendingFile, period: Period, nonce: &str, sum: u64, now: u64) -> Result<SendingPayment, NotBegun> {
    let budget = Budget { most: dollars(10), period };
    file.begin(budget, dollars(sum), now, || Ok(payment(nonce, sum, now)))
}

fn begin(file: &SpendingFile, nonce: &str, sum: u64) -> Result<SendingPayment, NotBegun> {
    begin_in(file, Period::Forever, nonce, sum, NOW)
}

fn resumed(file: &SpendingFile, now: u64) -> Option<String> {
    let resumed = file.resume("t", &JsonObject::new(), now).expect("readable");
    resumed.map(|sending| sending.payment.counted.nonce.clone())
}

fn spent(file: &SpendingFile, period: Period, now: u64) -> u64 {
    file.spent(period, now).expect("readable").spent.0.to()
}

#[test]
fn what_is_signed_is_spent_for_good_whatever_the_server_says() {
    let (_folder, file) = file();
    let first = begin(&file, "1", 6).expect("room");
    assert!(matches!(begin(&file, "2", 5), Err(NotBegun::OverBudget { left }) if left == dollars(4)));
    let second = begin(&file, "2", 4).expect("just enough");
    file.end(&first, PaymentEnd::Charged);
    file.end(&first, PaymentEnd::Charged);
    file.end(&second, PaymentEnd::NotCharged);
    // The server may have taken the second, too: that its time is over proves nothing.
    for now in [NOW, NOW + 61, NOW + 1_000 * A_DAY] {
        assert_eq!(spent(&file, Period::Forever, now), 10);
    }
    assert_eq!(file.spent(Period::Forever, NOW).expect("readable").unproven, dollars(4));
    assert!(matches!(begin(&file, "3", 1), Err(NotBegun::OverBudget { .. })));
}

#[test]
fn only_what_a_node_proves_to_be_unused_is_given_back_and_once() {
    let (_folder, file) = file();
    let first = begin(&file, "1", 6).expect("room");
    file.end(&first, PaymentEnd::NotCharged);
    drop(begin(&file, "2", 4).expect("room"));
    assert!(file.provable(NOW + 60).is_empty(), "they can still be taken");
    let provable: Vec<String> = file.provable(NOW + 61).into_iter().map(|payment| payment.nonce).collect();
    assert_eq!(provable, ["1", "2"]);
    let unused =
        |nonces: &[&str]| Proven { unused: nonces.iter().map(ToString::to_string).collect(), used: Vec::new() };
    for _ in 0..2 {
        file.note(&unused(&["1"]));
        assert_eq!(spent(&file, Period::Forever, NOW), 4);
    }
    let sending = file.resume("t", &JsonObject::new(), NOW).expect("readable").expect("the second");
    file.note(&unused(&["1", "2"]));
    assert_eq!(spent(&file, Period::Forever, NOW), 4, "its answer may come at this moment");
    drop(sending);
    file.note(&unused(&["1", "2"]));
    assert_eq!((spent(&file, Period::Forever, NOW), resumed(&file, NOW)), (0, None));
    let third = begin(&file, "3", 5).expect("room again");
    file.end(&third, PaymentEnd::NotCharged);
    file.note(&Proven { unused: Vec::new(), used: vec!["3".to_owned()] });
    assert_eq!((spent(&file, Period::Forever, NOW), file.provable(NOW + 61)), (5, Vec::new()), "it was taken");
}

/// B sent A's payment, too, heard that it was used, and wrote that nothing was charged: A's receipt came to no books.
#[test]
fn a_payment_has_one_sender_and_counts_with_its_receipt_also_among_processes() {
    let (folder, file) = file();
    let other = same_file(folder.path());
    let of_file = begin(&file, "1", 6).expect("room");
    assert_eq!(resumed(&other, NOW), None, "it is being sent");
    let of_other = begin(&other, "2", 4).expect("room");
    other.end(&of_other, PaymentEnd::NotCharged);
    file.end(&of_file, PaymentEnd::Charged);
    assert_eq!(spent(&other, Period::Forever, NOW), 10);
    let names = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(names, 2, "the file and its lock: those of payments are gone");
}

#[test]
fn an_open_payment_is_found_by_its_call_also_by_another_process() {
    let (folder, file) = file();
    let open = begin(&file, "1", 6).expect("room");
    drop(open);
    let other = same_file(folder.path());
    assert_eq!(resumed(&other, NOW), Some("1".to_owned()));
    let arguments = json!({ "a": 1 }).as_object().cloned().expect("an object");
    assert!(other.resume("u", &JsonObject::new(), NOW).expect("readable").is_none());
    assert!(other.resume("t", &arguments, NOW).expect("readable").is_none());
    let sending = other.resume("t", &JsonObject::new(), NOW).expect("readable").expect("the payment");
    assert!(sending.was_sent);
    other.end(&sending, PaymentEnd::Charged);
    assert_eq!(resumed(&file, NOW), None);
}

/// Open payments of earlier days filled the budget of each day, and only the very same call could end them.
#[test]
fn an_open_payment_counts_on_its_own_day_and_is_not_sent_again_for_ever() {
    let (folder, file) = file();
    drop(begin_in(&file, Period::Day, "1", 10, NOW).expect("room"));
    assert!(matches!(begin_in(&file, Period::Day, "2", 1, NOW), Err(NotBegun::OverBudget { .. })));
    let tomorrow = NOW + A_DAY;
    assert_eq!(spent(&file, Period::Day, tomorrow), 0);
    assert_eq!(resumed(&file, NOW + 60 + SENT_AGAIN_FOR), Some("1".to_owned()));
    assert_eq!(resumed(&file, NOW + 61 + SENT_AGAIN_FOR), None);
    drop(begin_in(&file, Period::Day, "2", 10, tomorrow + 3_600).expect("a new day"));
    assert_eq!(spent(&file, Period::Forever, tomorrow), 20, "what is not sent again stays spent");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 3, "one payment is locked, beside the file");
}

#[test]
fn open_payments_are_bounded_and_the_oldest_that_is_over_gives_way() {
    let (_folder, file) = file();
    let budget = Budget { most: dollars(u64::MAX), period: Period::Forever };
    let begin = |number: usize, now: u64| {
        let nonce = number.to_string();
        file.begin(budget, dollars(1), now, || Ok(payment(&nonce, 1, now))).map(drop)
    };
    for number in 0..MAX_OPEN {
        begin(number, NOW).expect("room");
    }
    assert!(matches!(begin(MAX_OPEN, NOW), Err(NotBegun::TooManyOpen)));
    begin(MAX_OPEN, NOW + 61).expect("the first gives way");
    let open = file.spent(Period::Forever, NOW).expect("readable");
    assert_eq!((open.open, open.spent, open.unproven), (MAX_OPEN, dollars(MAX_OPEN as u64 + 1), dollars(1)));
}

#[test]
fn processes_at_once_do_not_pay_more_than_the_budget() {
    let (folder, _file) = file();
    let begun: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let file = same_file(folder.path());
                scope.spawn(move || (0..5).filter(|n| begin(&file, &format!("{number}.{n}"), 1).is_ok()).count())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a count")).sum()
    });
    assert_eq!(begun, 10);
}
