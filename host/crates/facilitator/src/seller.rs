//! Tells a payment for this seller from a payment that another seller with the same receiver has taken.
//!
//! Several hosts may be paid at one address. A payer can give one authorisation to two of them at the same moment: both
//! find it valid, one transaction moves the money, and the chain shows to both that their receiver was paid. So a
//! payment that is found by its log counts for a sale only if its transaction may have been made for it: see
//! [`PaidBy`].

use alloy::primitives::B256;
use coinslot_evm::{CallError, Chain, SenderKind, SenderTag};

/// The identity of a seller on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seller {
    /// The tag of its transactions.
    pub tag: SenderTag,
    /// Others sell for the same receiver, so that a payment by another sender may be for one of them.
    pub shares_receiver: bool,
}

/// The sender of the transaction that made a payment, as far as its tag tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaidBy {
    /// This seller itself, now or before a crash; or an account that copied its transaction. Only this seller counts
    /// the payment.
    Us,
    /// Another seller, for a sale of its own.
    OtherSeller,
    /// An account that says nothing: a facilitator, an earlier release, or a stranger who saw the signature.
    Untagged,
}

/// The senders whose tags are no other seller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Senders {
    /// This seller alone sends its payments.
    Own,
    /// Facilitators send them, too.
    AndFacilitators,
}

impl Seller {
    /// A seller that is not known to share its receiver, with a tag that nothing else has.
    pub fn random(kind: SenderKind) -> Self {
        Self { tag: SenderTag::random(kind), shares_receiver: false }
    }

    /// Reads the tag of the transaction that made a payment.
    pub(crate) async fn paid_by(
        &self,
        chain: &Chain,
        transaction: B256,
        senders: Senders,
    ) -> Result<PaidBy, CallError> {
        Ok(match chain.sender_tag(transaction).await? {
            None => PaidBy::Untagged,
            Some(tag) if tag == self.tag => PaidBy::Us,
            Some(SenderTag { kind: SenderKind::Facilitator, .. }) if senders == Senders::AndFacilitators => {
                PaidBy::Untagged
            }
            Some(_) => PaidBy::OtherSeller,
        })
    }

    /// True if a payment counts for this seller of which no more is known than the sender of its transaction.
    ///
    /// A host's payment by another sender counts unless its receiver is shared, whatever the tag says. The money has
    /// arrived, and where nobody else sells for this receiver it can be for no other sale: to refuse it would let every
    /// account that sees a signature, and makes up a tag, take the payer's answer away for the price of gas. Where
    /// others do sell for it, a payer can show one payment to two sellers, so only the one that sent it serves it. A
    /// facilitator works for sellers that it does not know, so it never reports another's transaction as a success of
    /// its own.
    pub fn counts(&self, by: PaidBy) -> bool {
        match (by, self.tag.kind) {
            (PaidBy::Us, _) => true,
            (PaidBy::OtherSeller, SenderKind::Facilitator) => false,
            (PaidBy::OtherSeller, SenderKind::Host) | (PaidBy::Untagged, _) => !self.shares_receiver,
        }
    }
}
