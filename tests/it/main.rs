//! Stories: a host, an act, what the client, the ledger and the chain saw.

mod bad_input;
mod bytes;
mod challenge;
mod commands;
mod crash;
mod faults;
mod flows;
mod grants;
mod health;
mod hostile;
mod hosts;
mod http2;
mod limits;
mod misconfigured;
mod money;
mod operating;
mod paid;
mod reload;
mod replay;
mod rollback;
mod rooms;
mod routing;
mod security;
mod streaming;
mod texts;
mod tls;
