//! When the money moves.

/// Source: x402 specification v2, payment flows. `escrow` belongs to schemes that we do not settle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flow {
    /// The work is done, and its answer held until the payment is settled. Never written on the wire.
    #[default]
    Authorization,
    /// The payment is settled, and then the work is done: for streaming, for side effects, and for
    /// payers who could take their money back in between.
    Upfront,
}

impl Flow {
    /// As in `extra.paymentFlow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorization",
            Self::Upfront => "upfront",
        }
    }

    /// The flow of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Authorization, Self::Upfront].into_iter().find(|flow| flow.as_str() == text)
    }
}
