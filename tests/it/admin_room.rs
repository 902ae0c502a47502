//! Checks that strangers who hold connections of the admin listener keep no operator out.

use std::time::Duration;

use coinslot_tests::TestChain;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

/// Opens a connection from an address of this machine.
async fn connect(from: [u8; 4], to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("an address of this machine");
    socket.connect(to.parse().expect("an address")).await.expect("a connection")
}

/// Four addresses with 64 connections each, which send nothing, took every place of the listener.
#[tokio::test]
async fn idle_connections_of_strangers_give_way_to_operators() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["status"], "").await;
    let config = host.configuration();
    host.write_configuration(&format!("{config}[admin]\nlisten = \"127.0.0.1:0\"\ntoken_env = \"OPS_TOKEN\"\n"));
    let token = "0123456789abcdef";
    host.restart(&[("OPS_TOKEN", token)]).await;
    let url = host.admin();
    let address = url.strip_prefix("http://").expect("a URL").to_owned();
    let operator = reqwest::Client::builder().timeout(Duration::from_secs(4)).build().expect("a client");
    let ask = async || {
        let answer = operator.get(format!("{url}/api/v1/status")).bearer_auth(token).send().await;
        answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
    };
    assert_eq!(ask().await, Ok(200));
    let mut strangers = Vec::new();
    for last in 2..8 {
        for _ in 0..64 {
            strangers.push(connect([127, 0, 0, last], &address).await);
        }
    }
    assert_eq!(ask().await, Ok(200), "the connection that was admitted stays, or another is taken");
    let newcomer = reqwest::Client::builder().timeout(Duration::from_secs(4)).build().expect("a client");
    let answer = newcomer.get(format!("{url}/api/v1/status")).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    // The oldest have been closed.
    let read = tokio::time::timeout(Duration::from_secs(4), strangers[0].read(&mut [0; 1])).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
}
