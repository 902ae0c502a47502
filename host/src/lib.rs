//! Coinslot: drop in a `.wasm`, get a paid endpoint.

pub mod price;

pub mod x402;

pub mod facilitator;

pub mod chain;

pub mod route;

pub mod plugin;

pub mod ledger;

pub mod catalog;

pub mod payment;

pub mod respond;

pub mod serve;
