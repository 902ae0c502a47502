//! Stories: a host, an act, what the client, the ledger and the chain saw.

mod bad_input;
mod challenge;
mod commands;
mod faults;
mod paid;
mod reload;
mod replay;
mod rooms;
mod routing;
mod security;
