//! Events: one for each change that somebody may want to hear of, in the commit of the change.

use super::*;

async fn kinds(ledger: &SqliteLedger) -> Vec<(EventKind, u64)> {
    ledger.events(0, 100).await.expect("events").into_iter().map(|event| (event.kind, event.at.0)).collect()
}

#[tokio::test]
async fn a_payment_that_is_settled_is_paid_once_and_names_its_transaction() {
    let (_dir, ledger) = ledger();
    let hold = sent(&ledger, "n").await;
    assert_eq!((kinds(&ledger).await, ledger.last_event().await), (vec![], Ok(0)), "nothing has happened yet");
    take(&ledger, &hold, settled(BY_REQUEST), 1_007).await;
    ledger.delivered(&hold.id, true, UnixTime(1_008)).await;
    let [event] = &ledger.events(0, 9).await.expect("events")[..] else { panic!("one") };
    assert_eq!(
        *event,
        PaymentEvent {
            number: 1,
            kind: EventKind::Paid,
            at: UnixTime(1_007),
            payment_id: hold.id.short(),
            network: Network::eip155(84532),
            asset: "0xasset".to_owned(),
            payer: "0xpayer".to_owned(),
            pay_to: "0xseller".to_owned(),
            amount: coinslot_x402::price::Amount::parse_atomic("10000").expect("an amount"),
            testnet: true,
            endpoint: "GET /a".to_owned(),
            plugin: "a".to_owned(),
            transaction: Some("0xhash".to_owned()),
            reason: None,
            request_id: Some("request-1".to_owned()),
            after_work: None,
        }
    );
    assert_eq!((ledger.events(1, 9).await, ledger.last_event().await), (Ok(vec![]), Ok(1)));
}

#[tokio::test]
async fn each_end_of_a_payment_has_its_event_also_those_of_leases_and_of_recovery() {
    let (_dir, ledger) = ledger();
    let failed = won(&ledger, claim("failed", 1)).await;
    take(&ledger, &failed, Step::Failed { reason: "it trapped".to_owned() }, 1_001).await;
    let unknown = sent(&ledger, "unknown").await;
    let lost = Step::Unknown { transaction: None, reason: None, reported: None };
    take(&ledger, &unknown, lost.clone(), 1_002).await;
    take(&ledger, &unknown, lost, 1_003).await;
    let no = sent(&ledger, "refused").await;
    take(&ledger, &no, refused(false), 1_004).await;
    let upfront = won(&ledger, claim("owed", 1)).await;
    take(&ledger, &upfront, Step::SettlingUpfront { request: "{}".to_owned() }, 1_005).await;
    take(&ledger, &upfront, settled_by("0xother", BY_REQUEST), 1_006).await;
    take(&ledger, &upfront, Step::Owed { reason: "it trapped".to_owned(), client_left: false }, 1_007).await;
    sent(&ledger, "lease").await;
    let later = UnixTime(1_000 + LEASE.as_secs() * 2);
    assert_eq!(ledger.expire(later).await, Ok(1));
    let expected = [
        (EventKind::Failed, 1_001),
        (EventKind::Unknown, 1_002),
        (EventKind::Refused, 1_004),
        (EventKind::Paid, 1_006),
        (EventKind::Owed, 1_007),
        (EventKind::Unknown, later.0),
    ];
    assert_eq!(kinds(&ledger).await, expected, "a second look at an unknown one is no event");
    let reasons: Vec<_> = ledger.events(0, 9).await.expect("events").into_iter().map(|event| event.reason).collect();
    assert_eq!((reasons[0].as_deref(), reasons[4].as_deref()), (Some("it trapped"), Some("it trapped")));
    // The unknown one is settled after all.
    take(&ledger, &unknown, settled_by("0xlate", BY_RECOVERY), 1_100).await;
    assert_eq!(ledger.events(6, 9).await.expect("events")[0].transaction.as_deref(), Some("0xlate"));
}

/// One statement did both, and the debt was told before the payment.
#[tokio::test]
async fn a_payment_that_recovery_finds_paid_is_paid_before_its_answer_is_owed() {
    let (_dir, ledger) = ledger();
    let hold = won(&ledger, Claim { flow: Flow::Upfront, ..claim("n", 1) }).await;
    take(&ledger, &hold, Step::SettlingUpfront { request: "{}".to_owned() }, 1_001).await;
    take(&ledger, &hold, Step::Unknown { transaction: None, reason: None, reported: None }, 1_002).await;
    take(&ledger, &hold, settled_by("0xlate", BY_RECOVERY), 1_003).await;
    let expected = [(EventKind::Unknown, 1_002), (EventKind::Paid, 1_003), (EventKind::Owed, 1_003)];
    assert_eq!(kinds(&ledger).await, expected);
}

#[tokio::test]
async fn a_reader_of_events_finds_its_place_again_and_the_oldest_events_go() {
    let (dir, ledger) = ledger();
    assert_eq!(ledger.place("webhook").await, Ok(None));
    let hold = sent(&ledger, "n").await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_007).await;
    for number in [1, 7] {
        ledger.set_place("webhook", number).await.expect("written");
        assert_eq!(ledger.place("webhook").await, Ok(Some(number)));
    }
    assert_eq!(ledger.place("another").await, Ok(None));
    file(&dir).execute("UPDATE event SET id = 100001", []).expect("an older file");
    let next = sent(&ledger, "next").await;
    take(&ledger, &next, settled_by("0xnext", BY_REQUEST), 1_008).await;
    let numbers =
        async || ledger.events(0, 9).await.expect("events").iter().map(|event| event.number).collect::<Vec<_>>();
    assert_eq!(numbers().await, [100_001, 100_002]);
    file(&dir).execute("UPDATE event SET id = 2 WHERE id = 100001", []).expect("an older file");
    let last = sent(&ledger, "last").await;
    take(&ledger, &last, settled_by("0xlast", BY_REQUEST), 1_009).await;
    assert_eq!(numbers().await, [100_002, 100_003]);
}
