//! Coinslot: drop in a `.wasm`, get a paid endpoint.

pub mod price;

pub mod x402;

pub mod facilitator;

pub mod chain;

pub mod plugin;

pub mod cli;

pub mod wallet;
