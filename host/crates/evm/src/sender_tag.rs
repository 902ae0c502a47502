//! Marks the transactions of one sender at the end of their call data.
//!
//! Two sellers that are paid at one address see the same payment on the chain. The tag says which of them took it, and
//! says so after a crash, too: it is part of the transaction, whose hash the sender may not have written down.
//!
//! A contract that decodes its arguments by the ABI ignores bytes behind them. A tag costs 400 gas. It is public and
//! proves nothing to others: every account can write any bytes. It proves to its owner that a transaction was made for
//! its own sale, because an authorisation moves money in one transaction only, and one transaction has one tag.

use alloy::primitives::{B256, Bytes};
use alloy::signers::local::PrivateKeySigner;
use serde::Deserialize;

use crate::call_error::CallError;
use crate::chain::Chain;

/// The bytes before each tag, by which a tag is told from arguments.
const MARK: &[u8; 8] = b"coinslot";

/// The bytes of a tag in call data: the mark, the kind of sender, and its identity.
const LEN: usize = MARK.len() + 1 + 16;

/// The identity of a sender of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderTag {
    pub kind: SenderKind,
    pub id: [u8; 16],
}

/// The seller for whose sales a sender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderKind {
    /// A host, which sends for its own sales.
    Host,
    /// A facilitator, which sends for the sales of every server that asks it.
    Facilitator,
}

impl SenderTag {
    /// The tag of a new sender.
    pub fn random(kind: SenderKind) -> Self {
        let word: B256 = PrivateKeySigner::random().to_bytes();
        let mut id = [0; 16];
        id.copy_from_slice(&word[..16]);
        Self { kind, id }
    }

    /// Appends the tag to the data of a call.
    pub fn append_to(&self, data: &Bytes) -> Bytes {
        let mut tagged = Vec::with_capacity(data.len() + LEN);
        tagged.extend_from_slice(data);
        tagged.extend_from_slice(MARK);
        tagged.push(self.kind.byte());
        tagged.extend_from_slice(&self.id);
        tagged.into()
    }

    /// The tag at the end of the data of a call, if there is one.
    pub fn of(data: &[u8]) -> Option<Self> {
        let (mark, rest) = data.get(data.len().checked_sub(LEN)?..)?.split_at_checked(MARK.len())?;
        let (kind, id) = rest.split_first()?;
        let kind = SenderKind::of(*kind).filter(|_| mark == MARK)?;
        Some(Self { kind, id: id.try_into().ok()? })
    }
}

impl SenderKind {
    fn byte(self) -> u8 {
        match self {
            Self::Host => b'h',
            Self::Facilitator => b'f',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Host, Self::Facilitator].into_iter().find(|kind| kind.byte() == byte)
    }
}

impl Chain {
    /// The tag of a transaction that is in a block. None: it has no tag. Fails if the node does not have the
    /// transaction.
    pub async fn sender_tag(&self, transaction: B256) -> Result<Option<SenderTag>, CallError> {
        #[derive(Clone, Debug, Deserialize)]
        struct Sent {
            input: Bytes,
        }
        let sent: Option<Sent> = self.request("eth_getTransactionByHash", (transaction,)).await?;
        match sent {
            Some(sent) => Ok(SenderTag::of(&sent.input)),
            None => {
                Err(CallError::Unreachable("the node does not have a transaction whose receipt it shows".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_from_the_end_of_call_data_and_nothing_else_is_one() {
        for kind in [SenderKind::Host, SenderKind::Facilitator] {
            let tag = SenderTag::random(kind);
            let tagged = tag.append_to(&Bytes::from_static(b"arguments"));
            assert!(tagged.starts_with(b"arguments"));
            assert_eq!(SenderTag::of(&tagged), Some(tag));
            // A payer may write a tag into its own signature; the last one counts.
            let other = SenderTag::random(SenderKind::Host);
            assert_eq!(SenderTag::of(&other.append_to(&tagged)), Some(other));
            for cut in 1..=LEN {
                assert_eq!(SenderTag::of(&tagged[..tagged.len() - cut]), None, "{cut}");
            }
            let mut unknown = tagged.to_vec();
            unknown[b"arguments".len() + MARK.len()] = b'x';
            assert_eq!(SenderTag::of(&unknown), None);
        }
        assert_eq!(SenderTag::of(b""), None);
    }
}
