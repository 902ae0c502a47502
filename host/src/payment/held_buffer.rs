//! Collects bytes that arrive in pieces, and counts what they take up for the budget.

use bytes::Bytes;

use super::budget::{Exhausted, HeldBytes, STEP};

/// Bytes that arrive in pieces.
///
/// The capacity counts, not the length: a vector that doubles takes up to twice its length. Pieces are copied, because one
/// that is kept takes many times its length if it is small, or is part of a larger buffer.
#[derive(Debug)]
pub(super) struct HeldBuffer {
    held: HeldBytes,
    bytes: Vec<u8>,
    most: usize,
}

impl HeldBuffer {
    /// An empty buffer. No room is kept for more than `most` bytes before they arrive.
    pub(super) fn new(held: HeldBytes, most: usize) -> Self {
        Self { held, bytes: Vec::new(), most }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a piece. On an error the buffer keeps what it has.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Exhausted> {
        let length = self.bytes.len().saturating_add(piece.len());
        if length > self.bytes.capacity() {
            self.grow_for(length)?;
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Grows ahead of what is needed, so that few pieces have the bytes copied: within the unit in which the budget counts,
    /// and by a quarter beyond it. If the budget has no room for that, the buffer grows by as much as is needed.
    fn grow_for(&mut self, length: usize) -> Result<(), Exhausted> {
        let capacity = self.bytes.capacity();
        let ahead = if length <= STEP { STEP.min(2 * capacity) } else { capacity.saturating_add(capacity / 4) };
        for capacity in [ahead.min(self.most).max(length), length] {
            if self.held.grow_to(capacity).is_ok() {
                self.bytes.reserve_exact(capacity - self.bytes.len());
                return Ok(());
            }
        }
        Err(Exhausted)
    }

    /// All bytes, which count for the budget until their last copy is dropped.
    pub(super) fn whole(self) -> Bytes {
        self.held.counted(self.bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::super::budget::ByteBudget;
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34));

    /// The pieces that fit, and the capacity in which they are.
    fn fill(buffer: &mut HeldBuffer, piece: &[u8], times: usize) -> (usize, usize) {
        let fit = (0..times).take_while(|_| buffer.push(piece).is_ok()).count();
        (fit, buffer.bytes.capacity())
    }

    /// A body of nine units took the memory of sixteen, and the budget counted nine.
    #[test]
    fn a_buffer_takes_no_more_memory_than_is_counted() {
        let budget = ByteBudget::new(1_000 * STEP);
        let mut buffer = HeldBuffer::new(budget.client(CLIENT), usize::MAX);
        for _ in 0..90 {
            buffer.push(&[b'x'; STEP / 10]).expect("room");
            assert!(buffer.bytes.capacity() <= buffer.held.bytes());
        }
    }

    #[test]
    fn a_declared_length_bounds_the_room_that_is_kept() {
        let budget = ByteBudget::new(1_000 * STEP);
        let mut buffer = HeldBuffer::new(budget.client(CLIENT), 9 * STEP);
        assert_eq!(fill(&mut buffer, &[b'x'; 4 * STEP], 2), (2, 8 * STEP));
        assert_eq!(fill(&mut buffer, &[b'x'; STEP], 1), (1, 9 * STEP), "and not a quarter more");
        assert_eq!(buffer.whole(), vec![b'x'; 9 * STEP]);
    }

    #[test]
    fn all_of_a_share_can_be_filled() {
        let budget = ByteBudget::new(72 * STEP);
        let mut buffer = HeldBuffer::new(budget.client(CLIENT), usize::MAX);
        assert_eq!(fill(&mut buffer, &[b'x'; STEP / 4], 100), (36, 9 * STEP), "a share is an eighth of the budget");
        assert_eq!(buffer.len(), 9 * STEP, "a refused piece leaves the others");
        assert_eq!(HeldBuffer::new(budget.client(CLIENT), usize::MAX).push(b"x"), Err(Exhausted));
        drop(buffer);
        assert_eq!(HeldBuffer::new(budget.client(CLIENT), usize::MAX).push(b"x"), Ok(()));
    }
}
