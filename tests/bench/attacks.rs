//! Measures what an attack costs the host and a neighbour: the resident memory of the host, and the 99th percentile of
//! a small free route. Beside it in the same run: plain hyper, which nobody attacks meanwhile, and then plain hyper
//! under the same attack.
//!
//! Attacker, host, neighbour and plain hyper are processes of their own and share all processors, so the percentile of
//! plain hyper during the attack is what the machine itself adds, and the last column is what a server that only reads
//! and answers has under the attack. The attacker and the neighbour have an address each. The program ends with 1 if the host takes more than
//! 512 MiB, or if its percentile grows by more than three times the factor by which that of plain hyper grows.
//! `tests/bench/attacks [SECONDS] [ATTACK]` starts it.

mod client;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use client::{call_forever, p99, times};
use coinslot_tests::{TestChain, Wallet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const MAX_MEMORY: u64 = 512 << 20;
const MAX_RATIO: f64 = 3.0;
/// A neighbour asks as a client does: from a few connections, and not without a pause.
const CONNECTIONS: usize = 8;
const PAUSE: Duration = Duration::from_millis(5);
/// The size of a body that is announced, and the part of it that is sent.
const BODY: usize = 10 << 20;
const SENT: usize = BODY - (64 << 10);

const GUESTS: &[&str] = &["status", "spin", "grow", "unruly", "flood", "quoter", "keeper", "echo"];
/// No circuit opens, because a plugin with an open circuit is not called.
const CONFIG: &str = "[health]\nfailures = 0\n";

/// One attack. The paths are taken in turn by its connections.
struct Attack {
    name: &'static str,
    connections: usize,
    how: How,
    paths: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum How {
    /// Asks without a pause, and reads the answers.
    Ask,
    /// Asks, and never reads.
    Stall,
    /// Sends most of a large body, and waits.
    Upload,
    /// The same with a payment of an account without money.
    PaidUpload,
}

const ATTACKS: &[Attack] = &[
    Attack {
        name: "memory of the host (F1)",
        connections: 64,
        how: How::Ask,
        paths: &["/unruly?hoard-bodies", "/unruly?hoard-texts"],
    },
    Attack { name: "memory of the guest (F1)", connections: 64, how: How::Ask, paths: &["/grow"] },
    Attack { name: "unpaid bodies (F2)", connections: 500, how: How::Upload, paths: &["/quoter/x"] },
    Attack { name: "worthless payments (F2)", connections: 200, how: How::PaidUpload, paths: &["/echo"] },
    Attack { name: "held instances (F3)", connections: 500, how: How::Ask, paths: &["/spin?how=sleep"] },
    Attack { name: "stalled readers (F9)", connections: 2_000, how: How::Stall, paths: &["/flood"] },
    Attack { name: "log storm (F10)", connections: 64, how: How::Ask, paths: &["/unruly?newlines", "/unruly?chatter"] },
    Attack {
        name: "unpaid flood (F12)",
        connections: 500,
        how: How::Ask,
        paths: &["/quoter/x", "/keeper/quoted", "/quoter/x?loop", "/spin?how=sleep"],
    },
    Attack { name: "processor hogs (F13)", connections: 64, how: How::Ask, paths: &["/spin?how=waits", "/spin"] },
    Attack {
        name: "2,000 connections",
        connections: 2_000,
        how: How::Ask,
        paths: &["/unruly?leak", "/quoter/x", "/spin", "/flood"],
    },
];

/// Sends the head and most of a body, and waits for the end of the connection.
async fn upload(address: &str, path: &str, payment: Option<&str>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let payment = payment.map_or(String::new(), |payment| format!("payment-signature: {payment}\r\n"));
    let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {BODY}\r\n{payment}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let piece = vec![b'x'; 64 << 10];
    for _ in 0..SENT / piece.len() {
        stream.write_all(&piece).await?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map(drop)
}

/// Asks, and keeps the connection until the host ends it.
async fn stall(address: &str, path: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await?;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        // Writing tells that the host has closed, and reading would take what it sends.
        stream.write_all(b" ").await?;
    }
}

/// Runs one connection of an attack for ever. A transfer that ended begins anew after a second: without a pause,
/// copying bytes would keep all processors from everybody, and measure the machine.
async fn attack(address: String, how: How, path: &'static str, payment: Option<String>) {
    loop {
        let _ = match how {
            How::Ask => match call_forever(address.clone(), path).await {},
            How::Stall => stall(&address, path).await,
            How::Upload => upload(&address, path, None).await,
            How::PaidUpload => upload(&address, path, payment.as_deref()).await,
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The process of an attacker: `attack NAME ADDRESS`. Payments come from standard input, one in each line.
async fn attacker(name: &str, address: &str) {
    let Some(known) = ATTACKS.iter().find(|attack| attack.name == name) else { return };
    let payments: Vec<String> = std::io::stdin().lines().map_while(Result::ok).collect();
    let mut connections = JoinSet::new();
    for index in 0..known.connections {
        let path = known.paths[index % known.paths.len()];
        connections.spawn(attack(address.to_owned(), known.how, path, payments.get(index).cloned()));
    }
    connections.join_all().await;
}

/// The process of a neighbour: `neighbour ADDRESS SECONDS`. Prints its 99th percentile.
async fn neighbour(address: &str, seconds: u64) {
    let all = times(address, "/status", CONNECTIONS, PAUSE, Duration::from_secs(seconds)).await;
    println!("{}", p99(&all));
}

/// A process of this program.
fn role(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// The percentiles at the host and at plain hyper, taken at the same time. None if a neighbour was not served.
fn percentiles(host: &str, peer: &str, seconds: u64) -> [Option<f64>; 2] {
    let begin = |address| role(&["neighbour", address, &seconds.to_string()]).spawn().expect("this program");
    let both = [begin(host), begin(peer)];
    both.map(|neighbour| {
        let output = neighbour.wait_with_output().expect("this program");
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    })
}

/// Plain hyper, which ends with this value.
struct Peer(Child, String);

impl Peer {
    fn start() -> Self {
        let program = std::env::current_exe().expect("this program").with_file_name("plain-hyper");
        let mut child = Command::new(program).stdout(Stdio::piped()).spawn().expect("plain-hyper is built");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("its address");
        Self(child, line.trim().replace("http://", ""))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process of an attacker, which ends with this value.
struct Attacker(Child);

impl Attacker {
    /// Starts it, and waits until it is at work.
    async fn start(attack: &Attack, address: &str, payments: &str) -> Self {
        let mut child = role(&["attack", attack.name, address]).spawn().expect("this program");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), payments.as_bytes()).expect("sent");
        tokio::time::sleep(Duration::from_secs(2)).await;
        Self(child)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Payments by accounts without money, one in each line.
async fn payments(url: &str, count: usize) -> String {
    let challenge = reqwest::Client::new().post(url).send().await.expect("a challenge");
    (0..count).map(|_| Wallet::poor().pay(&challenge).header() + "\n").collect()
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["attack", name, address] => attacker(name, address).await,
        ["neighbour", address, seconds] => neighbour(address, seconds.parse().expect("seconds")).await,
        ref rest => return measure(rest).await,
    }
    ExitCode::SUCCESS
}

/// Runs the attacks whose names have the second argument, each for the seconds of the first one.
async fn measure(arguments: &[&str]) -> ExitCode {
    let seconds = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(8);
    let only = arguments.get(1).copied().unwrap_or("");
    let chain = TestChain::start().await;
    let peer = Peer::start();
    let mut is_within = true;
    println!(
        "{:<28}{:>9}{:>11}{:>11}{:>8}{:>13}{:>11}{:>8}{:>16}",
        "attack", "peak MiB", "alone ms", "during ms", "ratio", "hyper alone", "during ms", "ratio", "hyper attacked"
    );
    for attack in ATTACKS.iter().filter(|attack| attack.name.contains(only)) {
        // A host of its own: what one attack leaves is not counted for the next one.
        let host = chain.serve(GUESTS, CONFIG).await;
        let address = host.url("").replace("http://", "");
        let payments = match attack.how {
            How::PaidUpload => payments(&host.url("/echo"), attack.connections).await,
            How::Ask | How::Stall | How::Upload => String::new(),
        };
        percentiles(&address, &peer.1, 1);
        let before = percentiles(&address, &peer.1, seconds);
        host.resident_memory();
        let attacker = Attacker::start(attack, &address, &payments).await;
        let during = percentiles(&address, &peer.1, seconds);
        let memory = host.peak_memory();
        drop(attacker);
        drop(host);
        let attacked = Peer::start();
        let attacker = Attacker::start(attack, &attacked.1, &payments).await;
        let [of_attacked, _] = percentiles(&attacked.1, &peer.1, seconds);
        drop(attacker);
        let ratio = |which: usize| Some(during[which]? / before[which]?);
        let shown = |number: Option<f64>| number.map_or("not served".to_owned(), |number| format!("{number:.2}"));
        println!(
            "{:<28}{:>9}{:>11}{:>11}{:>8}{:>13}{:>11}{:>8}{:>16}",
            attack.name,
            memory >> 20,
            shown(before[0]),
            shown(during[0]),
            shown(ratio(0)),
            shown(before[1]),
            shown(during[1]),
            shown(ratio(1)),
            shown(of_attacked)
        );
        let allowed = ratio(1).unwrap_or_default().max(1.0) * MAX_RATIO;
        is_within &= memory <= MAX_MEMORY && ratio(0).is_some_and(|ratio| ratio <= allowed);
    }
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
