//! EVM chains: contract bindings, providers, and `devnet`, the chain embedded in this process.

pub mod devnet;
