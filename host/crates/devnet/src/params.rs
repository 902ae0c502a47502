//! Reads the parameters of a call, by position.

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy::primitives::{Bytes, TxKind, U64};
use alloy::rpc::types::TransactionRequest;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::block::Block;
use super::chain::DevnetChain;
use super::error::RpcError;
use super::execute::SimulatedCall;

/// The parameters of one call.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<Value>);

impl Params {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values)
    }

    pub(super) fn required<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        self.optional(index)?.ok_or(RpcError::MissingParam(index))
    }

    /// The parameter; none if it is absent or null.
    pub(super) fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                T::deserialize(value).map(Some).map_err(|error| RpcError::Param { index, reason: error.to_string() })
            }
        }
    }

    /// A number, in hexadecimal or decimal digits, since tools differ; none if it is absent or null.
    pub(super) fn number(&self, index: usize) -> Result<Option<u64>, RpcError> {
        Ok(self.optional::<U64>(index)?.map(|number| number.to()))
    }

    /// As [`Self::number`], for a parameter that must be there.
    pub(super) fn required_number(&self, index: usize) -> Result<u64, RpcError> {
        self.number(index)?.ok_or(RpcError::MissingParam(index))
    }

    /// The block that the parameter names; the head if it is absent.
    pub(super) fn block<'a>(&self, chain: &'a DevnetChain, index: usize) -> Result<&'a Block, RpcError> {
        block(chain, self.optional(index)?.unwrap_or_default()).ok_or(RpcError::UnknownBlock)
    }

    /// The transaction request of `eth_call` and `eth_estimateGas`.
    pub(super) fn call(&self, index: usize) -> Result<SimulatedCall, RpcError> {
        let request: TransactionRequest = self.required(index)?;
        let wrong = |reason: &str| RpcError::Param { index, reason: reason.into() };
        if request.gas_price.is_some()
            && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
        {
            return Err(wrong("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"));
        }
        if request.authorization_list.is_some() || request.blob_versioned_hashes.is_some() {
            return Err(wrong("authorization lists and blobs cannot be simulated here"));
        }
        let data = match (&request.input.input, &request.input.data) {
            (Some(input), Some(data)) if input != data => {
                return Err(wrong("both \"data\" and \"input\" are set and not equal"));
            }
            (Some(data), _) | (None, Some(data)) => data.clone(),
            (None, None) => Bytes::new(),
        };
        let fee_cap = request.gas_price.or(request.max_fee_per_gas).unwrap_or(0);
        Ok(SimulatedCall {
            from: request.from.unwrap_or_default(),
            to: request.to.unwrap_or(TxKind::Create),
            value: request.value.unwrap_or_default(),
            data,
            gas: request.gas,
            fee_cap,
            tip: request.max_priority_fee_per_gas.filter(|_| fee_cap > 0),
            access_list: request.access_list.unwrap_or_default(),
        })
    }

    /// Refuses a parameter that would otherwise be ignored in silence. `name` is its plural, for the error.
    pub(super) fn absent(&self, index: usize, name: &str) -> Result<(), RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Object(empty)) if empty.is_empty() => Ok(()),
            Some(_) => Err(RpcError::Param { index, reason: format!("{name} are not supported by this chain") }),
        }
    }
}

/// The number of the block that a tag names. Blocks of this chain are final at once.
pub(super) fn number(chain: &DevnetChain, tag: BlockNumberOrTag) -> u64 {
    match tag {
        BlockNumberOrTag::Number(number) => number,
        BlockNumberOrTag::Earliest => 0,
        BlockNumberOrTag::Latest | BlockNumberOrTag::Pending | BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized => {
            chain.head().header.number
        }
    }
}

/// The block that an identifier names; none if it is not mined yet or no longer kept.
pub(super) fn block(chain: &DevnetChain, id: BlockId) -> Option<&Block> {
    match id {
        BlockId::Hash(hash) => chain.block_by_hash(hash.block_hash),
        BlockId::Number(tag) => chain.block(number(chain, tag)),
    }
}
