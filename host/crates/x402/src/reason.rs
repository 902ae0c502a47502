//! The protocol's reason strings, as published facilitators write them.

use std::fmt;

use super::Version;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The reason for which a payment is refused. `Display` and [`Reason::as_str`] give the wire string.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, for tables and tests.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The string on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    /// `x402Version` is neither 1 nor 2.
    InvalidX402Version = "invalid_x402_version",
    /// The payload has not the form that the scheme prescribes: a field is missing or not a number.
    InvalidPayload = "invalid_payload",
    /// The payload is of a kind that is not supported here.
    UnsupportedPayloadType = "unsupported_payload_type",
    /// The scheme is not offered here.
    UnsupportedScheme = "unsupported_scheme",
    /// The scheme is not `exact`.
    InvalidScheme = "invalid_exact_evm_scheme",
    /// The network is not known or not configured.
    InvalidNetwork = "invalid_network",
    /// The requirements themselves are unusable.
    InvalidPaymentRequirements = "invalid_payment_requirements",
    /// The payment names another network than the requirements.
    NetworkMismatch = "invalid_exact_evm_network_mismatch",
    /// `extra.name` or `extra.version` is missing.
    MissingEip712Domain = "invalid_exact_evm_missing_eip712_domain",
    /// The client contradicts an extension that the server advertised.
    ExtensionEchoMismatch = "extension_echo_mismatch",
    /// `authorization.to` is not `payTo`.
    RecipientMismatch = "invalid_exact_evm_recipient_mismatch",
    /// The signature is not one of `authorization.from`.
    InvalidSignature = "invalid_exact_evm_signature",
    /// `validBefore` is over, too near to settle, or too far away.
    ValidBefore = "invalid_exact_evm_payload_authorization_valid_before",
    /// `validAfter` is not yet reached.
    ValidAfter = "invalid_exact_evm_payload_authorization_valid_after",
    /// `value` is not `amount` (version 2).
    ValueMismatch = "invalid_exact_evm_payload_authorization_value_mismatch",
    /// `value` is not `maxAmountRequired` (version 1).
    Value = "invalid_exact_evm_authorization_value",
    /// The asset is not a contract.
    AssetNotDeployed = "asset_not_deployed_contract",
    /// The authorisation was used or cancelled.
    NonceAlreadyUsed = "invalid_exact_evm_nonce_already_used",
    /// The payer cannot pay.
    InsufficientBalance = "invalid_exact_evm_insufficient_balance",
    /// The token has no EIP-3009.
    Eip3009NotSupported = "invalid_exact_evm_eip3009_not_supported",
    /// `extra.name` is not the token's name.
    TokenNameMismatch = "invalid_exact_evm_token_name_mismatch",
    /// `extra.version` is not the token's version.
    TokenVersionMismatch = "invalid_exact_evm_token_version_mismatch",
    /// The transfer would revert.
    SimulationFailed = "invalid_exact_evm_transaction_simulation_failed",
    /// The transfer reverted.
    TransactionFailed = "invalid_exact_evm_transaction_failed",
    /// The receipt holds no matching `Transfer` log.
    TransferEventMismatch = "invalid_exact_evm_transfer_event_mismatch",
    /// The signature wants an undeployed wallet deployed by a factory that is not allowed.
    FactoryNotAllowed = "eip6492_factory_not_allowed",
    /// The transaction is broadcast and has no receipt yet: neither paid nor failed.
    SettlementPending = "settlement_pending",
    /// The same payment is being settled or was settled.
    DuplicateSettlement = "duplicate_settlement",
    /// Verification failed for a reason on the facilitator's side.
    UnexpectedVerifyError = "unexpected_verify_error",
    /// Settlement failed for a reason on the facilitator's side.
    UnexpectedSettleError = "unexpected_settle_error",
}

impl Reason {
    /// The reason with this string on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }

    /// True if a facilitator finds the reason in the payment itself, or in the chain's state before it sends anything,
    /// and would not have sent a transaction.
    ///
    /// It tells of this time only: a payment that was sent before may have been settled then, and its balance or its time be
    /// gone for that reason.
    ///
    /// A used nonce is none of these: it may be used by a transaction that the facilitator sent before. Neither is a
    /// simulation that fails, which for tokens with errors of their own may say the same.
    pub fn precedes_sending(self) -> bool {
        match self {
            Self::InvalidX402Version
            | Self::InvalidPayload
            | Self::UnsupportedPayloadType
            | Self::UnsupportedScheme
            | Self::InvalidScheme
            | Self::InvalidNetwork
            | Self::InvalidPaymentRequirements
            | Self::NetworkMismatch
            | Self::MissingEip712Domain
            | Self::ExtensionEchoMismatch
            | Self::RecipientMismatch
            | Self::InvalidSignature
            | Self::ValidBefore
            | Self::ValidAfter
            | Self::ValueMismatch
            | Self::Value
            | Self::AssetNotDeployed
            | Self::InsufficientBalance
            | Self::Eip3009NotSupported
            | Self::TokenNameMismatch
            | Self::TokenVersionMismatch
            | Self::FactoryNotAllowed => true,
            Self::NonceAlreadyUsed
            | Self::SimulationFailed
            | Self::TransactionFailed
            | Self::TransferEventMismatch
            | Self::SettlementPending
            | Self::DuplicateSettlement
            | Self::UnexpectedVerifyError
            | Self::UnexpectedSettleError => false,
        }
    }

    /// The reason as a client of `version` knows it. The rules answer with reasons of version 2; the one string that
    /// differs is that of a wrong amount, which legacy clients hold in a closed list.
    pub fn in_version(self, version: Version) -> Self {
        match (self, version) {
            (Self::ValueMismatch, Version::V1) => Self::Value,
            (reason, _) => reason,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
