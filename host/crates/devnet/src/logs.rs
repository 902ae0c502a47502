//! Answers `eth_getLogs`: the logs that a filter matches. A range that reaches back beyond the kept blocks is an error,
//! not a shorter answer.

use alloy::rpc::types::{Filter, FilterBlockOption, Log};

use super::block::Block;
use super::chain::DevnetChain;
use super::error::RpcError;
use super::params;

/// Most logs of one answer. A client that needs more asks for fewer blocks at a time.
const MAX_LOGS: usize = 20_000;

/// The logs of the kept blocks that match the filter, oldest first.
pub(super) fn matching(chain: &DevnetChain, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let mut found = Vec::new();
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number = chain.block_by_hash(hash).ok_or(RpcError::UnknownBlock)?.header.number;
            (number, number)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let head = chain.head().header.number;
            let from = from_block.map_or(head, |tag| params::number(chain, tag));
            let to = to_block.map_or(head, |tag| params::number(chain, tag));
            if from > to {
                return Err(RpcError::BlockRange { from, to });
            }
            if from < chain.oldest() {
                return Err(RpcError::HistoryGone { oldest: chain.oldest() });
            }
            (from, to.min(head))
        }
    };
    for block in (from..=to).filter_map(|number| chain.block(number)) {
        // The bloom filter says for certain that a block has no such log, and never that it has one.
        if !filter.matches_bloom(block.header.logs_bloom) {
            continue;
        }
        found.extend(of(block).filter(|log| matches(filter, log)).cloned());
        if found.len() > MAX_LOGS {
            return Err(RpcError::TooManyLogs { limit: MAX_LOGS });
        }
    }
    Ok(found)
}

fn of(block: &Block) -> impl Iterator<Item = &Log> {
    block.receipts.iter().flat_map(|receipt| receipt.logs())
}

fn matches(filter: &Filter, log: &Log) -> bool {
    filter.matches_address(log.address()) && filter.matches_topics(log.topics())
}
