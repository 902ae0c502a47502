//! The table of evidence, row by row.

use coinslot_facilitator::PaidBy;

use super::*;

const DEAD: UnixTime = UnixTime(1_000);

fn settlement() -> SettlementResponse {
    SettlementResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: None,
        transaction: "0xt".to_owned(),
        network: "eip155:84532".to_owned(),
        amount: None,
        extensions: None,
        extra: None,
    }
}

fn situation(asker: Asker, has_node: bool) -> Situation {
    Situation {
        asker,
        has_node,
        valid_before: DEAD,
        now: UnixTime(900),
        looks_used: 0,
        earlier: EarlierAnswer::Absent,
        reported: None,
    }
}

/// The result of a look at a payment that a transaction without a tag made.
fn shown(on_chain: OnChain) -> ChainEvidence {
    ChainEvidence { on_chain, by: PaidBy::Untagged, shares_receiver: false }
}

/// A word for a conclusion, and for what stands if the chain does not say more.
fn word(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::Settled { alone: true, .. } => "settled alone".to_owned(),
        Conclusion::Settled { alone: false, .. } => "settled".to_owned(),
        Conclusion::Refused { watch: true, .. } => "refused, watched".to_owned(),
        Conclusion::Refused { watch: false, .. } => "refused".to_owned(),
        Conclusion::SettledElsewhere { .. } => "elsewhere".to_owned(),
        Conclusion::NotSent { .. } => "not sent".to_owned(),
        Conclusion::AskChain { otherwise, .. } => format!("ask, else {}", word(otherwise)),
        Conclusion::Open { .. } => "open".to_owned(),
        Conclusion::Undecidable { .. } => "undecidable".to_owned(),
    }
}

fn refused(reason: &str, finality: Finality) -> Settlement {
    Settlement::Refused { reason: reason.to_owned(), message: None, transaction: String::new(), finality }
}

#[test]
fn a_facilitator_is_believed_as_far_as_the_table_says() {
    let settled = |proof| Settlement::Settled { settlement: settlement(), proof };
    // Evidence; request with a node, without; recovery with a node, without, without when the authorisation is dead.
    let rows = [
        (settled(Proof::Logs { block: 7 }), ["settled"; 5]),
        (
            settled(Proof::Word { alone: true }),
            ["ask, else open", "settled alone", "ask, else open", "settled alone", "settled alone"],
        ),
        (settled(Proof::Word { alone: false }), ["ask, else open", "settled", "ask, else open", "settled", "settled"]),
        (
            refused("bad_signature", Finality::Final),
            ["ask, else refused, watched", "refused", "open", "open", "undecidable"],
        ),
        (
            refused("transaction_failed", Finality::Failed),
            ["refused, watched", "refused", "open", "open", "undecidable"],
        ),
        (refused("transaction_failed", Finality::Open), ["ask, else open", "open", "open", "open", "undecidable"]),
        (
            refused(Reason::NonceAlreadyUsed.as_str(), Finality::Open),
            ["ask, else open", "open", "open", "open", "undecidable"],
        ),
        (
            refused(Reason::NonceAlreadyUsed.as_str(), Finality::UsedBefore),
            ["ask, else open", "open", "open", "open", "undecidable"],
        ),
        (
            refused(Reason::DuplicateSettlement.as_str(), Finality::UsedBefore),
            ["ask, else open", "open", "open", "open", "undecidable"],
        ),
        (Settlement::SettledElsewhere { transaction: "0xt".to_owned() }, ["elsewhere"; 5]),
        (Settlement::Unknown { transaction: None, message: String::new(), unanswered: true }, ["open"; 5]),
        (Settlement::NotSent { message: String::new() }, ["not sent", "not sent", "open", "open", "open"]),
    ];
    for (evidence, expected) in rows {
        let dead = Situation { now: DEAD.plus(BLOCK_LAG.as_secs()), ..situation(Asker::Recovery, false) };
        let situations = [
            situation(Asker::Request, true),
            situation(Asker::Request, false),
            situation(Asker::Recovery, true),
            situation(Asker::Recovery, false),
            dead,
        ];
        let concluded = situations.map(|at| word(&conclude(Evidence::Facilitator(evidence.clone()), at)));
        assert_eq!(concluded, expected, "{evidence:?}");
    }
}

/// A payment whose settlement had no answer was called refused as soon as it was too late for another one, although its
/// money had moved; and what a facilitator had said of it was forgotten.
#[test]
fn without_a_node_a_refusal_is_about_its_own_sending() {
    const USED: Reason = Reason::NonceAlreadyUsed;
    let failed = EarlierAnswer::of(Some(Reason::TransactionFailed.as_str()));
    let used = EarlierAnswer::of(Some(USED.as_str()));
    // The answer to the request's sending; the reason now; the conclusion before the authorisation is over, and after.
    let rows = [
        (EarlierAnswer::of(None), Reason::ValidBefore, ["open", "undecidable"]),
        (EarlierAnswer::of(None), Reason::InsufficientBalance, ["open", "undecidable"]),
        (EarlierAnswer::of(None), Reason::InvalidSignature, ["open", "undecidable"]),
        (EarlierAnswer::of(None), Reason::TransactionFailed, ["open", "undecidable"]),
        (EarlierAnswer::of(None), USED, ["open", "undecidable"]),
        (failed, Reason::ValidBefore, ["open", "refused"]),
        (failed, Reason::InsufficientBalance, ["open", "refused"]),
        (failed, USED, ["open", "undecidable"]),
        (EarlierAnswer::of(None), Reason::DuplicateSettlement, ["open", "undecidable"]),
        (failed, Reason::DuplicateSettlement, ["open", "undecidable"]),
        (EarlierAnswer::of(Some("invalid_transaction_state")), Reason::ValidBefore, ["open", "refused"]),
        (used, Reason::ValidBefore, ["open", "undecidable"]),
        (used, USED, ["open", "undecidable"]),
        (EarlierAnswer::of(Some("/settle: it answered 500")), Reason::ValidBefore, ["open", "undecidable"]),
        (EarlierAnswer::of(Some("/settle: it answered 500")), USED, ["open", "undecidable"]),
        (EarlierAnswer::of(Some("a word of its own")), USED, ["open", "undecidable"]),
    ];
    for (earlier, reason, expected) in rows {
        let concluded = [UnixTime(900), DEAD.plus(BLOCK_LAG.as_secs())].map(|now| {
            let at = Situation { earlier, now, ..situation(Asker::Recovery, false) };
            word(&conclude(Evidence::Facilitator(refused(reason.as_str(), Finality::Open)), at))
        });
        assert_eq!(concluded, expected, "{earlier:?}, then {reason}");
    }
}

#[test]
fn the_first_word_of_a_facilitator_is_remembered_and_later_only_that_the_authorization_is_used() {
    let remembered = |settlement, at| match conclude(Evidence::Facilitator(settlement), at) {
        Conclusion::Open { answer, .. } => answer,
        other => panic!("{other:?}"),
    };
    let unknown = |unanswered| Settlement::Unknown { transaction: None, message: "no answer".to_owned(), unanswered };
    let refused = |reason: Reason| refused(reason.as_str(), Finality::Open);
    let first = situation(Asker::Request, false);
    assert_eq!(remembered(unknown(true), first), None);
    assert_eq!(remembered(unknown(false), first).as_deref(), Some("no answer"));
    for reason in [Reason::TransactionFailed, Reason::NonceAlreadyUsed] {
        assert_eq!(remembered(refused(reason), first).as_deref(), Some(reason.as_str()));
    }
    let again = Situation { earlier: EarlierAnswer::Failed, ..situation(Asker::Recovery, false) };
    assert_eq!(remembered(unknown(false), again), None);
    assert_eq!(remembered(refused(Reason::ValidBefore), again), None);
    assert_eq!(
        remembered(refused(Reason::NonceAlreadyUsed), again).as_deref(),
        Some(Reason::NonceAlreadyUsed.as_str())
    );
    // Beside a node the chain is asked anew each time.
    let beside_a_node = Situation { has_node: true, ..again };
    assert_eq!(remembered(refused(Reason::NonceAlreadyUsed), beside_a_node), None);
}

/// A second try of a facilitator finds the balance spent by the first one, and calls that refused.
#[test]
fn a_refusal_stands_only_beside_an_unused_authorization() {
    let at = situation(Asker::Request, true);
    let word_beside = |on_chain| {
        let Conclusion::AskChain { otherwise, .. } =
            conclude(Evidence::Facilitator(refused("insufficient_funds", Finality::Final)), at)
        else {
            panic!("the chain is asked")
        };
        word(&confirm(shown(on_chain), *otherwise, at))
    };
    assert_eq!(word_beside(OnChain::Unused { at: UnixTime(900) }), "refused, watched");
    assert_eq!(word_beside(OnChain::Paid { settlement: settlement(), block: 7 }), "settled");
    assert_eq!(word_beside(OnChain::Canceled), "refused, watched");
    assert_eq!(word_beside(OnChain::Shallow), "open");
    assert_eq!(word_beside(OnChain::Used { at: UnixTime(900) }), "open");
    assert_eq!(word_beside(OnChain::Unavailable("no answer".to_owned())), "open");
}

#[test]
fn the_chain_is_believed_when_nothing_can_change_any_more() {
    let before = UnixTime(DEAD.0 - 1);
    // Evidence; the first look, the second.
    let rows = [
        (OnChain::Paid { settlement: settlement(), block: 7 }, ["settled", "settled"]),
        (OnChain::Shallow, ["open", "open"]),
        (OnChain::Unused { at: before }, ["open", "open"]),
        (OnChain::Unused { at: DEAD }, ["refused", "refused"]),
        (OnChain::Canceled, ["refused", "refused"]),
        (OnChain::Used { at: before }, ["open", "open"]),
        (OnChain::Used { at: DEAD }, ["open", "refused"]),
        (OnChain::Unavailable(String::new()), ["open", "open"]),
    ];
    for (evidence, expected) in rows {
        for asker in [Asker::Request, Asker::Recovery] {
            let concluded = [0, 1].map(|looks_used| {
                let at = Situation { looks_used, ..situation(asker, true) };
                word(&conclude(Evidence::Chain(shown(evidence.clone())), at))
            });
            assert_eq!(concluded, expected, "{evidence:?}");
        }
    }
}

#[test]
fn a_facilitators_word_about_a_transaction_leads_the_look_at_the_chain() {
    let settled = Settlement::Settled { settlement: settlement(), proof: Proof::Word { alone: true } };
    let asked = conclude(Evidence::Facilitator(settled), situation(Asker::Request, true));
    assert!(matches!(asked, Conclusion::AskChain { transaction: Some(hash), .. } if hash == "0xt"));
}

/// One payment bought an answer of two hosts with one receiver: each saw on the chain that the receiver was paid.
#[test]
fn a_payment_that_is_shown_counts_for_the_seller_whose_transaction_made_it() {
    use Reported::{Settled, UsedBefore};
    // The sender; what the facilitator said; whether others share the receiver; the conclusion.
    let rows = [
        (PaidBy::Us, [None, Some(Settled), Some(UsedBefore)], [false, true], "settled"),
        (PaidBy::OtherSeller, [None, Some(Settled), Some(UsedBefore)], [false; 2], "settled"),
        (PaidBy::OtherSeller, [None, Some(Settled), Some(UsedBefore)], [true; 2], "elsewhere"),
        (PaidBy::Untagged, [Some(Settled); 3], [false, true], "settled"),
        (PaidBy::Untagged, [None, Some(UsedBefore), None], [false; 2], "settled"),
        (PaidBy::Untagged, [None, Some(UsedBefore), None], [true; 2], "elsewhere"),
    ];
    for (by, reports, sharing, expected) in rows {
        for (reported, shares_receiver) in reports.into_iter().flat_map(|one| sharing.map(|share| (one, share))) {
            let shown =
                ChainEvidence { on_chain: OnChain::Paid { settlement: settlement(), block: 7 }, by, shares_receiver };
            for asker in [Asker::Request, Asker::Recovery] {
                let at = Situation { reported, ..situation(asker, true) };
                let concluded = word(&conclude(Evidence::Chain(shown.clone()), at));
                assert_eq!(concluded, expected, "{by:?} {reported:?} {shares_receiver}");
                let open = Conclusion::Open { transaction: None, reported, answer: None, why: String::new() };
                assert_eq!(word(&confirm(shown.clone(), open, at)), expected, "{by:?} {reported:?} {shares_receiver}");
            }
        }
    }
}

/// The node lags behind: the word has to outlive the look, or recovery would take the payment for its own.
#[test]
fn what_the_facilitator_said_is_kept_until_the_chain_shows_the_payment() {
    let at = situation(Asker::Request, true);
    let used = refused(Reason::NonceAlreadyUsed.as_str(), Finality::UsedBefore);
    let settled = Settlement::Settled { settlement: settlement(), proof: Proof::Word { alone: true } };
    for (evidence, expected) in [(used, Reported::UsedBefore), (settled, Reported::Settled)] {
        let Conclusion::AskChain { reported, otherwise, .. } = conclude(Evidence::Facilitator(evidence), at) else {
            panic!("the chain is asked")
        };
        assert_eq!(reported, Some(expected));
        let concluded = confirm(shown(OnChain::Shallow), *otherwise, Situation { reported, ..at });
        assert!(matches!(concluded, Conclusion::Open { reported, .. } if reported == Some(expected)), "{concluded:?}");
    }
}
