//! The order of work and settlement.

/// The order in which a server works and is paid.
///
/// Source: x402 specification v2, payment flows. Its third flow, `escrow`, belongs to schemes that we do not settle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flow {
    /// The server works first and holds the answer until the payment is settled. Never written on the wire.
    #[default]
    Authorization,
    /// The server settles the payment first and then works: for streams, for side effects, and for payers who could
    /// take their money back in between.
    Upfront,
}

impl Flow {
    /// The word of `extra.paymentFlow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Upfront => "upfront",
        }
    }

    /// Parses the word of `extra.paymentFlow`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Authorization, Self::Upfront].into_iter().find(|flow| flow.as_str() == text)
    }
}
