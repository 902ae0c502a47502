use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;

use super::*;

const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

fn client() -> IpAddr {
    IpAddr::from([192, 0, 2, 1])
}

impl PollReadReady for DuplexStream {
    fn poll_read_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Everything that a client does now counts as much.
fn use_much(turns: &ConnectionTurns) {
    turns.client.recent.note(std::time::Duration::from_secs(60));
}

/// A connection with bytes to read.
async fn stream(turns: &Arc<ConnectionTurns>, bytes: usize) -> (TurnStream<DuplexStream>, DuplexStream) {
    let (mut ours, theirs) = duplex(bytes);
    ours.write_all(&vec![b'x'; bytes]).await.expect("it fits");
    (TurnStream::new(theirs, Arc::clone(turns)), ours)
}

/// The number of reads of a client's 200 connections between the moment at which another client's connection is
/// woken and its own read.
async fn reads_before_another_client(is_busy: bool) -> usize {
    let all = ReadTurns::default();
    let reads = Arc::new(Mutex::new((0, None)));
    let wake = Arc::new(Notify::new());
    let mut tasks = tokio::task::JoinSet::new();
    let other = all.of(OTHER);
    let (mut of_other, _ours) = stream(&other, 1).await;
    let (woken, counted) = (Arc::clone(&wake), Arc::clone(&reads));
    tasks.spawn(other.run(async move {
        woken.notified().await;
        of_other.read_u8().await.expect("a byte");
        let mut counted = counted.lock();
        counted.1 = Some(counted.0 - 1_000);
    }));
    for _ in 0..200 {
        let turns = all.of(client());
        let (mut stream, ours) = stream(&turns, 50).await;
        let (reads, wake) = (Arc::clone(&reads), Arc::clone(&wake));
        tasks.spawn(Arc::clone(&turns).run(async move {
            for _ in 0..50 {
                if is_busy {
                    use_much(&turns);
                }
                stream.read_u8().await.expect("a byte");
                let read = {
                    let mut reads = reads.lock();
                    reads.0 += 1;
                    reads.0
                };
                if read == 1_000 {
                    wake.notify_one();
                }
                tokio::task::yield_now().await;
            }
            drop(ours);
        }));
    }
    tasks.join_all().await;
    assert!(all.0.lock().is_empty(), "clients are forgotten");
    let counted = reads.lock().1;
    counted.expect("the other client's connection has read")
}

#[tokio::test]
async fn busy_connections_of_one_client_let_another_client_pass() {
    assert!(reads_before_another_client(false).await >= 150, "all of them come first, unless their client is busy");
    let reads = reads_before_another_client(true).await;
    assert!(reads <= 5, "{reads} reads");
}

#[tokio::test]
async fn a_turn_reads_a_bounded_number_of_bytes() {
    let all = ReadTurns::default();
    let turns = all.of(client());
    let (mut stream, _ours) = stream(&turns, 4 * MAX_READ).await;
    use_much(&turns);
    let mut polls = 0;
    let mut read = std::pin::pin!(Arc::clone(&turns).run(async move {
        let mut bytes = vec![0; 4 * MAX_READ];
        stream.read_exact(&mut bytes).await.map(drop)
    }));
    poll_fn(|context| {
        polls += 1;
        use_much(&turns);
        read.as_mut().poll(context)
    })
    .await
    .expect("all of it");
    assert!(polls >= 2, "{polls} polls");
}

#[tokio::test]
async fn a_connection_that_no_longer_reads_holds_no_turn() {
    let all = ReadTurns::default();
    let (first, second) = (all.of(client()), all.of(client()));
    use_much(&first);
    let permits = u32::try_from(first.client.turns.available_permits()).expect("few");
    let taken = Arc::clone(&first.client.turns).acquire_many_owned(permits).await.expect("all turns");
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(first.poll_turn(&mut context).is_pending() && second.poll_turn(&mut context).is_pending());
    first.end_poll();
    second.end_poll();
    drop(taken);
    // Polled for another reason, and it does not ask.
    first.end_poll();
    assert!(first.state.lock().waiting.is_none());
    use_much(&second);
    assert!(second.poll_turn(&mut context).is_pending(), "others run first");
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    assert!(second.poll_turn(&mut context).is_ready());
    second.end_poll();
    assert_eq!(u32::try_from(first.client.turns.available_permits()), Ok(permits), "all turns are free again");
}
