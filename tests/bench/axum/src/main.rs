//! A peer of tests/bench/paid: axum with the published x402-axum sells one route for a cent, on a free port. The first
//! argument is the facilitator, the second the receiver.

use axum::Router;
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use x402_axum::X402Middleware;
use x402_chain_eip155::{KnownNetworkEip155, V2Eip155Exact, chain::ChecksummedAddress};
use x402_types::networks::USDC;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(facilitator), Some(pay_to)) = (arguments.next(), arguments.next()) else {
        return Err("usage: coinslot-bench-axum FACILITATOR PAY_TO".into());
    };
    let pay_to: ChecksummedAddress = pay_to.parse()?;
    let price = V2Eip155Exact::price_tag(pay_to, USDC::base_sepolia().parse("0.01")?);
    let gate = X402Middleware::try_new(&facilitator)?.with_price_tag(price);
    let app = Router::new().route("/status", post(async || "as asked").layer(gate));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    // As Coinslot does.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, app).await?)
}
