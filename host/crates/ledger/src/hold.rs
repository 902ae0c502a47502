//! The hold on a claim.

use crate::PaymentId;

/// The hold of one attempt on a claim. Every step takes it, and a step of another attempt does nothing: work that was
/// given up for lost cannot change a claim that was taken up again meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    pub id: PaymentId,
    pub attempt: Attempt,
}

/// The number of an attempt: a fencing token, random, of which no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt(pub i64);
