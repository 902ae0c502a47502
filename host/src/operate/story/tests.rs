use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use coinslot_ledger::reports::LedgerReader;
use coinslot_ledger::{
    Claim, Claimed, Fingerprint, Hold, Holder, Ledger, PaymentId, Presented, Retained, SettledBy, SqliteLedger, Step,
    StoredAnswer,
};
use coinslot_x402::{Flow, SettlementResponse, UnixTime};

use super::*;

/// A ledger with one payment.
struct Books {
    dir: tempfile::TempDir,
    ledger: SqliteLedger,
}

impl Books {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger");
        Self { dir, ledger }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ledger.db")
    }

    async fn claim(&self, flow: Flow, request: &str, at: u64) -> Hold {
        match self.ledger.claim(claim(flow, request, at)).await {
            Ok(Claimed::Won(hold)) => hold,
            other => panic!("not won: {other:?}"),
        }
    }

    async fn take(&self, hold: &Hold, step: Step, at: u64) {
        self.ledger.advance(hold, step, UnixTime(at)).await.expect("a step in order");
    }

    /// The same payment comes again. The hold, if its answer is owed.
    async fn again(&self, request: &str, at: u64) -> Option<Hold> {
        let Claim { id, payment, request: asked, holder, .. } = claim(Flow::Upfront, request, at);
        let presented = Presented { id, payment, request: asked, holder, request_id: Some(request.to_owned()) };
        match self.ledger.reclaim(presented, UnixTime(at)).await.expect("read") {
            Some(Claimed::Owed { hold, .. }) => Some(hold),
            Some(Claimed::Settled { answer: Some(_), .. }) => None,
            other => panic!("nothing to fetch: {other:?}"),
        }
    }

    async fn story(&self) -> StoryRecord {
        // What is noted is written with the next step that waits.
        self.ledger.probe(UnixTime(0)).await.expect("a write");
        let id = id().short();
        let told = LedgerReader::open(&self.file()).expect("a ledger").story(&id).expect("a story");
        StoryRecord::of(&id, &told, &Units::of(None)).expect("known")
    }
}

fn id() -> PaymentId {
    let network = Network::parse("eip155:84532").expect("a network");
    PaymentId::new(network, "0xa".to_owned(), "0xpayer".to_owned(), "0x1".to_owned())
}

fn claim(flow: Flow, request: &str, at: u64) -> Claim {
    Claim {
        id: id(),
        payment: Fingerprint([1; 32]),
        request: Fingerprint([2; 32]),
        holder: Holder { secret: None, client: Some(Fingerprint([3; 32])) },
        identifier: None,
        request_id: Some(request.to_owned()),
        endpoint: "GET /a".to_owned(),
        plugin: "a".to_owned(),
        generation: 1,
        amount: "10000".to_owned(),
        pay_to: "0xc".to_owned(),
        testnet: true,
        flow,
        pass: None,
        valid_before: UnixTime(9_000),
        at: UnixTime(at),
    }
}

fn settled(by: SettledBy) -> Step {
    let settlement = SettlementResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: None,
        transaction: "0xhash".to_owned(),
        network: "eip155:84532".to_owned(),
        amount: None,
        extensions: None,
        extra: None,
    };
    Step::Settled { settlement, by, block: Some(42) }
}

fn answer() -> StoredAnswer {
    StoredAnswer { status: 200, headers: Vec::new(), body: Bytes::from_static(b"hello") }
}

fn names(story: &StoryRecord) -> Vec<&str> {
    story.steps.iter().map(|step| step.step.as_str()).collect()
}

fn step<'s>(story: &'s StoryRecord, name: &str) -> &'s StepRecord {
    story.steps.iter().find(|step| step.step.as_str() == name).unwrap_or_else(|| panic!("no {name}: {story:?}"))
}

/// Everything within one second: only what the ledger knows beside the time puts the steps into their order.
#[tokio::test]
async fn steps_of_one_second_stand_in_the_order_in_which_they_were_taken() {
    let books = Books::new();
    let failed = books.claim(Flow::Authorization, "first", 1_000).await;
    books.take(&failed, Step::Executing, 1_000).await;
    books.take(&failed, Step::Failed { reason: "it trapped".to_owned() }, 1_000).await;
    let given_back = books.story().await;
    assert_eq!(names(&given_back), ["claimed", "started", "given_back"]);
    let StoryRecord { state, payer, request_id, payment, .. } = &given_back;
    assert_eq!((&**state, &**payer, request_id.as_deref()), ("given_back", "0xpayer", Some("first")));
    assert_eq!(payment, &None);

    let hold = books.claim(Flow::Upfront, "second", 1_000).await;
    books.take(&hold, Step::SettlingUpfront { request: "{}".to_owned() }, 1_000).await;
    let (verify, settle) = (Duration::from_micros(1_500), Duration::from_millis(20));
    books.take(&hold, settled(SettledBy::Request { alone: true, verify, run: None, settle }), 1_000).await;
    books.take(&hold, Step::Owed { reason: "trap".to_owned(), client_left: false }, 1_000).await;
    let hold = books.again("third", 1_000).await.expect("it is owed");
    books.take(&hold, Step::Owed { reason: "trap again".to_owned(), client_left: false }, 1_000).await;
    let hold = books.again("fourth", 1_000).await.expect("it is owed");
    let run = Duration::from_millis(3);
    books.take(&hold, Step::Answered { kept: Retained::Answer(answer()), run }, 1_000).await;
    books.ledger.delivered(&hold.id, true, UnixTime(1_000)).await;
    assert_eq!(books.again("fifth", 1_000).await.map(drop), None, "it gets what is kept");
    let story = books.story().await;
    let before = ["claimed", "started", "given_back"];
    let after =
        ["claimed", "verified", "sent", "paid", "started", "owed", "run_again", "owed", "run_again", "answered"];
    assert_eq!(names(&story), [&before[..], &after, &["delivered", "asked_again"]].concat());
    let requests: Vec<_> = story.steps.iter().filter_map(|step| step.request_id.as_deref()).collect();
    assert_eq!(requests, ["first", "second", "third", "fourth", "fifth"]);
    assert_eq!(step(&story, "verified").took_microseconds, Some(1_500));
    assert_eq!(step(&story, "verified").after().as_deref(), Some("1.5 ms"));
    assert_eq!((step(&story, "paid").block, step(&story, "paid").transaction.as_deref()), (Some(42), Some("0xhash")));
}

#[tokio::test]
async fn every_step_says_its_time_and_the_time_since_the_step_before() {
    let books = Books::new();
    let hold = books.claim(Flow::Authorization, "first", 1_000).await;
    books.take(&hold, Step::Executing, 1_002).await;
    books.take(&hold, Step::Settling { request: "{}".to_owned(), answer: answer() }, 1_005).await;
    let unknown = Step::Unknown { transaction: None, reason: None, reported: None };
    books.take(&hold, unknown, 1_030).await;
    books.take(&hold, settled(SettledBy::Recovery { alone: true }), 1_090).await;
    books.ledger.delivered(&hold.id, true, UnixTime(1_095)).await;
    let story = books.story().await;
    let told: Vec<_> = story.steps.iter().map(|step| (step.step.as_str(), step.seconds_after)).collect();
    let expected = [
        ("claimed", None),
        ("started", Some(2)),
        ("answered", Some(3)),
        ("sent", Some(0)),
        ("unknown", Some(25)),
        ("paid", Some(60)),
        ("delivered", Some(5)),
    ];
    assert_eq!(told, expected);
    assert_eq!(step(&story, "paid").at.as_deref(), Some("1970-01-01T00:18:10Z"));
    assert_eq!(
        (step(&story, "sent").after(), step(&story, "paid").after()),
        (Some("< 1 s".to_owned()), Some("60 s".to_owned()))
    );
}

#[tokio::test]
async fn a_refusal_tells_whether_the_plugin_had_worked() {
    let books = Books::new();
    let hold = books.claim(Flow::Authorization, "first", 1_000).await;
    books.take(&hold, Step::Settling { request: "{}".to_owned(), answer: answer() }, 1_001).await;
    let refused = Step::Refused { reason: "insufficient_funds".to_owned(), transaction: None, watch: false };
    books.take(&hold, refused, 1_002).await;
    let story = books.story().await;
    assert_eq!(names(&story), ["claimed", "answered", "sent", "refused"]);
    let end = step(&story, "refused");
    assert_eq!((end.after_work, end.reason.as_deref()), (Some(true), Some("insufficient_funds")));
}
