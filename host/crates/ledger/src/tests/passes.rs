//! Tests passes: what a settled payment buys beside its answer, for whom, how often and until when.

use coinslot_x402::price::Amount;

use super::*;

const TOKEN: Fingerprint = Fingerprint([9; 32]);

/// A pass of so many requests in a hundred seconds.
fn sold(requests: u64) -> SoldPass {
    SoldPass { terms: PassTerms::new(100, requests).expect("terms"), token: TOKEN }
}

/// Buys a pass, settled at 1,002.
async fn buy(ledger: &SqliteLedger, nonce: &str, pass: SoldPass) -> Hold {
    let hold = sent_by(ledger, Claim { pass: Some(pass), ..claim(nonce, 1) }).await;
    take(ledger, &hold, settled_by(&format!("0x{nonce}"), BY_REQUEST), 1_002).await;
    hold
}

fn asks(proof: PassProof) -> PassQuery {
    PassQuery { proof, plugin: "a".to_owned(), endpoint: "GET /a".to_owned(), price: None }
}

/// The proof of an account by the nonce of this number.
fn account(payer: &str, nonce: u64) -> PassProof {
    let nonce = (nonce.to_be_bytes().to_vec(), UnixTime(9_000));
    PassProof::Account { payer: payer.to_owned(), only_on: None, nonce }
}

fn token() -> PassQuery {
    asks(PassProof::Token(TOKEN))
}

fn uses(query: PassQuery) -> FreeClaim {
    FreeClaim {
        kind: FreeKind::Pass,
        who: "0xpayer".to_owned(),
        plugin: query.plugin.clone(),
        endpoint: query.endpoint.clone(),
        request_id: Some("use-1".to_owned()),
        grant: FreeGrant::Pass(query),
    }
}

async fn found(ledger: &SqliteLedger, query: PassQuery, at: u64) -> Result<u64, PassRefusal> {
    match ledger.pass(query, UnixTime(at)).await.expect("a readable ledger") {
        PassFound::Left { left, .. } => Ok(left.left),
        PassFound::Refused(refusal) => Err(refusal),
    }
}

async fn counted(ledger: &SqliteLedger, query: PassQuery, at: u64) -> FreeCounted {
    ledger.count_free(uses(query), UnixTime(at)).await.expect("a writable ledger")
}

async fn used(ledger: &SqliteLedger, query: PassQuery, at: u64) -> FreeHold {
    match counted(ledger, query, at).await {
        FreeCounted::Counted(hold, _) => hold,
        other => panic!("not counted: {other:?}"),
    }
}

#[tokio::test]
async fn of_a_hundred_requests_at_once_a_pass_serves_as_many_as_it_is_for() {
    let (_dir, ledger) = ledger();
    buy(&ledger, "n", sold(10)).await;
    let asked = (0..100).map(|nonce| {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move { counted(&ledger, asks(account("0xpayer", nonce)), 1_010).await })
    });
    let mut lefts = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.expect("no panic") {
            FreeCounted::Counted(_, Some(left)) => {
                assert_eq!(left.resets_at, Some(UnixTime(1_102)));
                lefts.push(left.left);
            }
            FreeCounted::NoPass(PassRefusal::UsedUp) => {}
            other => panic!("{other:?}"),
        }
    }
    lefts.sort_unstable();
    assert_eq!(lefts, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_pass_is_of_its_payer_route_plugin_and_network_and_of_its_time() {
    let (_dir, ledger) = ledger();
    buy(&ledger, "n", sold(5)).await;
    let mine = || asks(account("0xpayer", 1));
    assert_eq!(found(&ledger, mine(), 1_002).await, Ok(5));
    assert_eq!(found(&ledger, mine(), 1_101).await, Ok(5));
    assert_eq!(found(&ledger, token(), 1_101).await, Ok(5));
    assert_eq!(found(&ledger, mine(), 1_102).await, Err(PassRefusal::Expired));
    assert_eq!(found(&ledger, token(), 1_102).await, Err(PassRefusal::Expired));
    let on = |network| match account("0xpayer", 1) {
        PassProof::Account { payer, nonce, .. } => asks(PassProof::Account { payer, nonce, only_on: Some(network) }),
        token @ PassProof::Token(_) => asks(token),
    };
    assert_eq!(found(&ledger, on(Network::eip155(84532)), 1_010).await, Ok(5));
    for other in [
        asks(account("0xother", 1)),
        PassQuery { endpoint: "POST /a".to_owned(), ..mine() },
        PassQuery { plugin: "b".to_owned(), ..mine() },
        on(Network::eip155(1)),
        asks(PassProof::Token(Fingerprint([8; 32]))),
        PassQuery { endpoint: "POST /a".to_owned(), ..token() },
        PassQuery { plugin: "b".to_owned(), ..token() },
    ] {
        assert_eq!(found(&ledger, other.clone(), 1_010).await, Err(PassRefusal::Unknown), "{other:?}");
        let refused = counted(&ledger, other, 1_010).await;
        assert_eq!(refused, FreeCounted::NoPass(PassRefusal::Unknown));
    }
}

#[tokio::test]
async fn a_payment_without_a_settlement_or_with_a_debt_or_that_was_paid_back_has_no_pass() {
    let (dir, ledger) = ledger();
    let hold = sent_by(&ledger, Claim { pass: Some(sold(5)), ..claim("sent", 1) }).await;
    assert_eq!(found(&ledger, token(), 1_010).await, Err(PassRefusal::Unknown), "it may never be settled");
    take(&ledger, &hold, refused(false), 1_003).await;
    assert_eq!(count(&dir, "pass"), 0);
    let upfront = Claim { flow: Flow::Upfront, pass: Some(sold(5)), ..claim("owed", 1) };
    let hold = won(&ledger, upfront).await;
    take(&ledger, &hold, Step::SettlingUpfront { request: "{}".to_owned() }, 1_001).await;
    take(&ledger, &hold, settled_by("0xowed", BY_REQUEST), 1_002).await;
    assert_eq!(found(&ledger, token(), 1_010).await, Err(PassRefusal::Ended), "its answer is not there yet");
    take(&ledger, &hold, Step::Owed { reason: "trap".to_owned(), client_left: false }, 1_003).await;
    assert_eq!(found(&ledger, token(), 1_010).await, Err(PassRefusal::Ended));
    file(&dir).execute("UPDATE progress SET state = 'refunded'", []).expect("a refund");
    let refused = counted(&ledger, asks(account("0xpayer", 1)), 1_010).await;
    assert_eq!(refused, FreeCounted::NoPass(PassRefusal::Ended));
    file(&dir).execute("UPDATE progress SET state = 'delivered'", []).expect("an answer");
    assert_eq!(found(&ledger, token(), 1_010).await, Ok(5));
}

#[tokio::test]
async fn a_settlement_that_recovery_finds_out_makes_the_pass_too() {
    let (_dir, ledger) = ledger();
    let hold = sent_by(&ledger, Claim { pass: Some(sold(5)), ..claim("n", 1) }).await;
    take(&ledger, &hold, Step::Unknown { transaction: None, reason: None, reported: None }, 1_002).await;
    assert_eq!(found(&ledger, token(), 1_010).await, Err(PassRefusal::Unknown));
    take(&ledger, &hold, settled(BY_RECOVERY), 1_050).await;
    assert_eq!(found(&ledger, token(), 1_149).await, Ok(5), "from the settlement on");
    assert_eq!(found(&ledger, token(), 1_150).await, Err(PassRefusal::Expired));
}

#[tokio::test]
async fn a_nonce_is_good_for_one_use_and_a_failed_call_is_given_back_a_bounded_number_of_times() {
    let (_dir, ledger) = ledger();
    buy(&ledger, "n", sold(2)).await;
    let hold = used(&ledger, asks(account("0xpayer", 1)), 1_010).await;
    assert_eq!(counted(&ledger, asks(account("0xpayer", 1)), 1_010).await, FreeCounted::NonceUsed);
    assert_eq!(found(&ledger, token(), 1_010).await, Ok(1));
    ledger.end_free(hold, FreeEnd::Failed, UnixTime(1_011)).await.expect("an end");
    assert_eq!(found(&ledger, token(), 1_011).await, Ok(2));
    for left in [2, 1] {
        let hold = used(&ledger, token(), 1_012).await;
        ledger.end_free(hold, FreeEnd::Failed, UnixTime(1_012)).await.expect("an end");
        assert_eq!(found(&ledger, token(), 1_012).await, Ok(left), "as many failures as it has requests");
    }
    let hold = used(&ledger, token(), 1_013).await;
    assert_eq!(found(&ledger, token(), 1_013).await, Err(PassRefusal::UsedUp));
    assert_eq!(found(&ledger, asks(account("0xpayer", 2)), 1_013).await, Err(PassRefusal::UsedUp));
    ledger.end_free(hold, FreeEnd::NotRun, UnixTime(1_013)).await.expect("an end");
    assert_eq!(found(&ledger, token(), 1_013).await, Ok(1), "nothing ran");
}

#[tokio::test]
async fn of_several_passes_the_one_that_ends_first_is_used_and_each_only_at_its_price() {
    let (_dir, ledger) = ledger();
    let cheap = Claim { pass: Some(SoldPass { token: Fingerprint([1; 32]), ..sold(1) }), ..claim("cheap", 1) };
    let hold = sent_by(&ledger, cheap).await;
    take(&ledger, &hold, settled_by("0xcheap", BY_REQUEST), 1_002).await;
    let dear = Claim { amount: "20000".to_owned(), pass: Some(sold(1)), ..claim("dear", 1) };
    let hold = sent_by(&ledger, dear).await;
    take(&ledger, &hold, settled_by("0xdear", BY_REQUEST), 1_052).await;
    let priced = |amount: &str, nonce| PassQuery {
        price: Some(vec![PassPrice {
            network: Network::eip155(84532),
            asset: "0xASSET".to_owned(),
            amount: Amount::parse_atomic(amount).expect("an amount"),
        }]),
        ..asks(account("0xpayer", nonce))
    };
    assert_eq!(found(&ledger, priced("20001", 1), 1_060).await, Err(PassRefusal::BelowPrice));
    let FreeCounted::Counted(_, Some(left)) = counted(&ledger, priced("15000", 1), 1_060).await else {
        panic!("the dear one")
    };
    assert_eq!(left.resets_at, Some(UnixTime(1_152)));
    assert_eq!(found(&ledger, priced("15000", 2), 1_060).await, Err(PassRefusal::BelowPrice));
    let FreeCounted::Counted(_, Some(left)) = counted(&ledger, priced("10000", 2), 1_060).await else {
        panic!("the cheap one")
    };
    assert_eq!((left.left, left.resets_at), (0, Some(UnixTime(1_102))));
    assert_eq!(found(&ledger, priced("1", 3), 1_060).await, Err(PassRefusal::UsedUp));
    assert_eq!(
        found(&ledger, asks(account("0xpayer", 3)), 1_151).await,
        Err(PassRefusal::UsedUp),
        "the newest says why"
    );
}

#[tokio::test]
async fn uses_are_in_the_story_of_the_payment_and_survive_the_file() {
    let (dir, ledger) = ledger();
    let path = dir.path().join("ledger.db");
    let hold = buy(&ledger, "n", sold(5)).await;
    let served = used(&ledger, token(), 1_010).await;
    ledger.end_free(served, FreeEnd::Served, UnixTime(1_010)).await.expect("an end");
    // The host goes down while a second one runs: its client has no answer.
    used(&ledger, token(), 1_011).await;
    drop(ledger);
    let ledger = reopened(&path).await;
    assert_eq!(found(&ledger, token(), 1_012).await, Ok(4));
    let reader = LedgerReader::open(&path).expect("a ledger");
    let story = reader.story(&hold.id.short()).expect("a story");
    let pass = story.pass.expect("a pass");
    assert_eq!((pass.requests, pass.used), (5, 1));
    assert_eq!((pass.begins_at, pass.ends_at), (UnixTime(1_002), UnixTime(1_102)));
    let outcomes: Vec<_> = story.pass_uses.iter().map(|pass_use| &*pass_use.outcome).collect();
    assert_eq!(outcomes, ["interrupted", "served"]);
    let rows = reader.free_uses(&FreeUseFilter::default(), 9).expect("rows");
    assert!(rows.iter().all(|row| row.payment_id == Some(hold.id.short()) && row.kind == "pass"), "{rows:?}");
}

/// A payment is kept for as long as its pass, and both are deleted together.
#[tokio::test]
async fn pruning_keeps_what_can_still_be_used() {
    let (dir, ledger) = ledger();
    let hold = buy(&ledger, "n", SoldPass { terms: PassTerms::new(400 * 3_600, 5).expect("terms"), ..sold(5) }).await;
    take(&ledger, &hold, Step::Delivered { keep: true }, 1_003).await;
    let served = used(&ledger, token(), 1_010).await;
    ledger.end_free(served, FreeEnd::Served, UnixTime(1_010)).await.expect("an end");
    let hour = Duration::from_secs(3_600);
    let kept = Retention { answers: hour, payments: hour, answer_bytes: 1_000_000 };
    let ends = 1_002 + 400 * 3_600;
    ledger.prune(UnixTime(ends - 1), kept).await.expect("a pruned ledger");
    assert_eq!(found(&ledger, token(), ends - 1).await, Ok(4));
    drop(ledger);
    let ledger = reopened(&dir.path().join("ledger.db")).await;
    ledger.prune(UnixTime(ends), kept).await.expect("a pruned ledger");
    assert_eq!((count(&dir, "pass"), count(&dir, "claim")), (0, 0));
    assert_eq!(count(&dir, "free_use WHERE claim IS NOT NULL"), 0);
    assert_eq!(found(&ledger, token(), ends).await, Err(PassRefusal::Unknown));
}
