//! The EIP-712 domain of a token, in which authorisations are signed.

use alloy_primitives::{Address, B256, U256, b256, keccak256};

use super::Authorization;

/// keccak-256 of `TransferWithAuthorization(address from,address to,uint256 value,uint256
/// validAfter,uint256 validBefore,bytes32 nonce)`, from EIP-3009.
pub(super) const TRANSFER_TYPEHASH: B256 = b256!("7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267");

/// keccak-256 of `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
pub(super) const DOMAIN_TYPEHASH: B256 = b256!("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");

/// A token's EIP-712 domain, of which only the separator is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    separator: B256,
}

impl Domain {
    /// `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
    pub fn new(name: &str, version: &str, chain_id: u64, verifying_contract: Address) -> Self {
        let mut words = [0; 5 * 32];
        let (typehash, rest) = words.split_at_mut(32);
        typehash.copy_from_slice(DOMAIN_TYPEHASH.as_slice());
        rest[..32].copy_from_slice(keccak256(name).as_slice());
        rest[32..64].copy_from_slice(keccak256(version).as_slice());
        rest[64..96].copy_from_slice(&U256::from(chain_id).to_be_bytes::<32>());
        rest[96..].copy_from_slice(verifying_contract.into_word().as_slice());
        Self { separator: keccak256(words) }
    }

    /// The domain separator, as the token's `DOMAIN_SEPARATOR()` returns it.
    pub fn separator(&self) -> B256 {
        self.separator
    }

    /// The EIP-712 digest of an authorisation, which the payer signs.
    pub fn digest(&self, authorization: &Authorization) -> B256 {
        let mut words = [0; 7 * 32];
        let fields = [
            TRANSFER_TYPEHASH,
            authorization.from.into_word(),
            authorization.to.into_word(),
            authorization.value.into(),
            authorization.valid_after.into(),
            authorization.valid_before.into(),
            authorization.nonce,
        ];
        for (word, field) in words.chunks_exact_mut(32).zip(fields) {
            word.copy_from_slice(field.as_slice());
        }
        let mut message = [0; 2 + 2 * 32];
        message[..2].copy_from_slice(&[0x19, 0x01]);
        message[2..34].copy_from_slice(self.separator.as_slice());
        message[34..].copy_from_slice(keccak256(words).as_slice());
        keccak256(message)
    }
}
