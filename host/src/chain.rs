//! EVM chains: contract bindings, providers, the settlement sequencer, and `devnet`, the chain
//! embedded in this process.

pub mod devnet;

pub mod evm;
