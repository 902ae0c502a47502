//! Checks that slow bodies and unread answers stay within the budget of bytes, and keep out no payer who has paid.

use std::time::Duration;

use coinslot_tests::{ServeHost, TestChain, Wallet};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// A client that sends a part of its body, and then nothing.
struct SlowSender(TcpStream);

impl SlowSender {
    /// Sends 64 KiB of 200,000 bytes, with a payment that is signed by an account without money.
    async fn start(host: &ServeHost, challenge: &reqwest::Response) -> Self {
        let payment = Wallet::poor().pay(challenge).header();
        let head =
            format!("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 200000\r\npayment-signature: {payment}\r\n\r\n");
        let mut stream = TcpStream::connect(host.url("").trim_start_matches("http://")).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("sent");
        // A host that has answered may close before it has read everything.
        let _ = stream.write_all(&[b'x'; 64 << 10]).await;
        Self(stream)
    }

    /// The status that the host answers within this time.
    async fn status(&mut self, within: Duration) -> Option<u16> {
        let mut line = [0; 12];
        tokio::time::timeout(within, self.0.read_exact(&mut line)).await.ok()?.expect("an answer");
        std::str::from_utf8(&line[9..]).ok()?.parse().ok()
    }
}

/// Connections whose answers are not read beyond the status.
#[derive(Default)]
struct UnreadAnswers {
    statuses: Vec<String>,
    open: Vec<TcpStream>,
}

impl UnreadAnswers {
    /// Sends a body with a payment to `/echo?stream`, and reads the status.
    async fn ask(&mut self, host: &ServeHost, payment: &str, body: &str) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
        let address = host.url("").trim_start_matches("http://").parse().expect("an address");
        let mut stream = socket.connect(address).await.expect("a connection");
        let length = body.len();
        let head = format!(
            "POST /echo?stream HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\npayment-signature: {payment}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(body.as_bytes()).await.expect("sent");
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.expect("an answer");
        self.statuses.push(String::from_utf8_lossy(&line[9..]).into_owned());
        self.open.push(stream);
    }
}

async fn upload(host: &ServeHost, payer: &Wallet, challenge: &reqwest::Response, bytes: usize) -> reqwest::Response {
    let url = host.url(challenge.url().path());
    let request = reqwest::Client::new().post(url).header("PAYMENT-SIGNATURE", payer.pay(challenge).header());
    request.body(vec![b'y'; bytes]).send().await.expect("an answer")
}

/// Keys cost nothing, and each key proves its signature. Bodies of payments without money, sent slowly, filled the
/// budget for all bodies, and all other clients got 503 for a minute.
#[tokio::test]
async fn slow_bodies_of_empty_accounts_do_not_keep_out_a_payer_who_has_paid() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], "[server]\nmax_held_bytes = \"1MiB\"\n").await;
    let challenge = reqwest::Client::new().post(host.url("/echo")).send().await.expect("a challenge");
    let first = upload(&host, chain.payer(0), &challenge, 10).await;
    assert_eq!(first.status(), 200, "{}", host.log());
    // The payers who have paid are known again after a restart.
    host.signal("TERM");
    host.wait_for_exit().await;
    host.restart(&[]).await;
    let mut senders = Vec::new();
    for _ in 0..20 {
        senders.push(SlowSender::start(&host, &challenge).await);
    }
    // At the same time: a body that stops is given up after ten seconds.
    let mut looks = JoinSet::new();
    for mut sender in senders {
        looks.spawn(async move {
            let status = sender.status(Duration::from_secs(4)).await;
            (sender, status)
        });
    }
    let mut waiting = Vec::new();
    for (sender, status) in looks.join_all().await {
        match status {
            None => waiting.push(sender),
            Some(status) => assert_eq!(status, 503, "the budget of its kind is used up"),
        }
    }
    assert_eq!(waiting.len(), 8, "half of the budget");
    let newcomer = upload(&host, chain.payer(1), &challenge, 50_000).await;
    assert_eq!(newcomer.status(), 503);
    let body: Value = newcomer.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&"host_busy".into(), &"no".into()));
    let served = upload(&host, chain.payer(0), &challenge, 90_000).await;
    assert_eq!(served.status(), 200, "{}", host.log());
    // A body that stops is given up long before the minute that a whole one may take.
    for mut sender in waiting {
        assert_eq!(sender.status(Duration::from_secs(20)).await, Some(408));
    }
    let newcomer = upload(&host, chain.payer(1), &challenge, 50_000).await;
    assert_eq!(newcomer.status(), 200, "{}", host.log());
    assert_eq!(chain.payments_received().await, 3);
}

/// Requests to a free route that send a byte and then nothing held every instance of the plugin for which nobody has
/// paid: it quoted no price, and served no other client, as long as one client went on.
#[tokio::test]
async fn slow_requests_of_one_client_to_a_free_route_keep_neither_a_quote_nor_another_client_waiting() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["keeper"], "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n").await;
    let mut slow = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(host.url("").trim_start_matches("http://")).await.expect("a connection");
        let head = "POST /keeper HTTP/1.1\r\nhost: h\r\nx-forwarded-for: 9.9.9.9\r\ncontent-length: 100\r\n\r\nx";
        stream.write_all(head.as_bytes()).await.expect("sent");
        slow.push(stream);
    }
    // Each of them that gets no instance within a second is turned away.
    let mut answers = JoinSet::new();
    for mut stream in slow {
        answers.spawn(async move {
            let mut line = [0; 12];
            let answered = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut line)).await;
            (answered.is_ok_and(|read| read.is_ok() && line.ends_with(b"503")), stream)
        });
    }
    let answers = answers.join_all().await;
    let turned_away = answers.iter().filter(|(turned_away, _)| *turned_away).count();
    assert_eq!(turned_away, 44, "one client has half of what free routes may have");
    let client = reqwest::Client::new();
    let quoted = client.post(host.url("/keeper/quoted")).header("x-forwarded-for", "9.9.9.8").send().await;
    assert_eq!(quoted.expect("an answer").status(), 402, "503 if it could not be asked");
    let free = client.post(host.url("/keeper")).header("x-forwarded-for", "9.9.9.8").body("config name").send().await;
    assert_eq!(free.expect("an answer").status(), 200);
}

/// A guest ran for an answer that had no room, and an upfront payment was taken for one.
#[tokio::test]
async fn without_room_for_the_answer_no_guest_runs_and_no_money_is_taken() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "upfront"], "[server]\nmax_held_bytes = \"1MiB\"\n").await;
    for (bought, path) in ["/echo", "/upfront"].into_iter().enumerate() {
        let challenge = reqwest::Client::new().post(host.url(path)).send().await.expect("a challenge");
        let first = upload(&host, chain.payer(0), &challenge, 10).await;
        assert_eq!(first.status(), 200, "{}", host.log());
        first.bytes().await.expect("a body");
        // All of the quarter that one payer has: the body is read, and nothing is left for the answer.
        let refused = upload(&host, chain.payer(0), &challenge, 250_000).await;
        assert_eq!(refused.status(), 503, "{}", host.log());
        let body: Value = refused.json().await.expect("JSON");
        assert_eq!((&body["error"], &body["charged"]), (&"host_busy".into(), &"no".into()));
        assert_eq!(chain.payments_received().await, bought + 1);
    }
    assert_eq!((host.runs(), host.runs_of("upfront")), (1, 1));
}

/// The bodies of requests left the budget with the heads of their answers, and copies of streamed answers were in none:
/// a cent each held ten megabytes for minutes.
#[tokio::test]
async fn requests_and_copies_of_streamed_answers_stay_within_the_budget() {
    let chain = TestChain::start().await;
    // A payer has 4 MiB.
    let host = chain.serve(&["ticker"], "[server]\nmax_held_bytes = \"16MiB\"\n[answers]\nmax_size = \"9MiB\"\n").await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/ticker")).send().await.expect("a challenge");
    for (payer, steps, body) in [(0, "event sleep", 1_500_000), (1, "big big big event sleep", 0)] {
        let mut streams: Vec<reqwest::Response> = Vec::new();
        for _ in 0..4 {
            let payment = chain.payer(payer).pay(&challenge).header();
            let ask = client.post(host.url("/ticker")).header("x-do", steps).header("PAYMENT-SIGNATURE", payment);
            let mut stream = ask.body(vec![b'y'; body]).send().await.expect("an answer");
            let mut read = 0;
            while stream.status() == 200 && read < steps.matches("big").count() * (700 << 10) {
                read += stream.chunk().await.expect("a stream").expect("a piece").len();
            }
            streams.push(stream);
        }
        let statuses: Vec<u16> = streams.iter().map(|stream| stream.status().as_u16()).collect();
        match payer {
            0 => assert_eq!(statuses, [200, 200, 503, 503], "two bodies fit"),
            _ => assert_eq!(statuses, [200; 4], "a copy that does not fit is given up, and gives its part back"),
        }
    }
}

/// The answers to payments left the budget when they were settled: a client that bought many and read none had the host
/// hold them all, for a cent each.
#[tokio::test]
async fn paid_answers_that_nobody_reads_stay_within_the_budget() {
    const SIZE: usize = 8_000_000; // more than the kernel takes from a connection that is not read
    let chain = TestChain::start().await;
    let limits = "[answers]\nmax_size = \"1KiB\"\n[limits]\ncpu_time = \"60s\"\n";
    let host = chain.serve(&["echo"], limits).await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/echo?stream")).send().await.expect("a challenge");
    let body = "z".repeat(SIZE);
    let mut unread = UnreadAnswers::default();
    for _ in 0..12 {
        let payment = chain.payer(0).pay(&challenge).header();
        unread.ask(&host, &payment, &body).await;
    }
    let bought = unread.statuses.iter().filter(|status| *status == "200").count();
    assert!((3..=8).contains(&bought), "a payer has 64 MiB: {:?}", unread.statuses);
    assert!(unread.statuses[bought..].iter().all(|status| status == "503"), "{:?}", unread.statuses);
    assert_eq!(chain.payments_received().await, bought, "and no more is charged");
    drop(unread);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let payment = chain.payer(0).pay(&challenge).header();
        let ask = client.post(host.url("/echo?stream")).header("PAYMENT-SIGNATURE", payment).body(body.clone());
        let again = ask.send().await.expect("an answer");
        if again.status() == 200 {
            assert_eq!(again.text().await.expect("a body").len(), SIZE);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the answers that nobody reads are still held");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// An answer above `max_size` left the ledger when its first byte was written: a client whose connection broke after it
/// had paid, and could not fetch the answer.
#[tokio::test]
async fn a_large_answer_whose_connection_breaks_is_fetched_with_the_same_payment() {
    const SIZE: usize = 8_000_000; // more than the kernel takes from a connection that is not read
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "[limits]\ncpu_time = \"60s\"\n[server]\ntrusted_proxies = []\n").await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/echo?stream")).send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let body: Value = challenge.json().await.expect("JSON");
    let legacy = chain.payer(1).pay_v1(&body["accepts"][0]).header();
    let body = "z".repeat(SIZE);
    for (name, payment) in [("PAYMENT-SIGNATURE", payment), ("X-PAYMENT", legacy)] {
        let ask = async || {
            let ask = client.post(host.url("/echo?stream")).header(name, &payment).body(body.clone());
            ask.send().await.expect("an answer")
        };
        for broken in 0..3 {
            let mut answer = ask().await;
            assert_eq!(answer.status(), 200, "{name}, broken {broken} times:\n{}", host.log());
            answer.chunk().await.expect("an answer").expect("its beginning");
        }
        assert_eq!(ask().await.text().await.expect("a whole body").len(), SIZE);
        assert_eq!(ask().await.text().await.expect("its last bytes may have been lost").len(), SIZE);
    }
    assert_eq!((host.runs(), chain.payments_received().await), (2, 2));
}

/// Stored answers were read outside of any budget: a thousand repetitions of one payment, which cost nothing, held a
/// thousand answers for as long as their clients did not read.
#[tokio::test]
async fn repetitions_of_a_stored_answer_stay_within_the_budget() {
    // More than the kernel takes from a connection that is not read. A payer has 32 MiB for repetitions, in which the
    // body of the request counts, too.
    const SIZE: usize = 8_000_000;
    let chain = TestChain::start().await;
    let limits = "[answers]\nmax_size = \"9MiB\"\n[limits]\ncpu_time = \"60s\"\n";
    let host = chain.serve(&["echo"], limits).await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/echo?stream")).send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let body = "z".repeat(SIZE);
    let ask = || client.post(host.url("/echo?stream")).header("PAYMENT-SIGNATURE", &payment).body(body.clone()).send();
    let bought = ask().await.expect("an answer");
    assert_eq!(bought.status(), 200, "{}", host.log());
    assert_eq!(bought.text().await.expect("a body").len(), SIZE);
    let mut unread = UnreadAnswers::default();
    for _ in 0..10 {
        unread.ask(&host, &payment, &body).await;
    }
    let expected: Vec<_> = (0..10).map(|number| if number < 3 { "200" } else { "503" }).collect();
    assert_eq!(unread.statuses, expected, "{}", host.log());
    let later = ask().await.expect("an answer");
    let told: Value = later.json().await.expect("JSON");
    assert_eq!((&told["error"], &told["charged"]), (&"host_busy".into(), &"yes".into()));
    drop(unread);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let again = ask().await.expect("an answer");
        if again.status() == 200 {
            assert_eq!(again.text().await.expect("a body").len(), SIZE);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the answers that nobody reads are still held");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!((host.runs(), chain.payments_received().await), (1, 1));
}
