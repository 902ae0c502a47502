//! Has the connections of a client that uses much of the processors read in turns, a few at a time.
//!
//! A worker polls the connections that are ready one after the other. A client with hundreds of busy connections would
//! so have everybody wait for a round of all of them. Beyond its part of the processors ([`RecentUse`]) its connections
//! queue for a turn instead, so the workers' queues hold few of them, and the others' requests are served in between.
//! The client loses no throughput by it.
//!
//! A turn lasts for one poll of a connection, in which it reads a bounded number of bytes, and serves what it has read.
//! Work that goes on without reading (a guest that computes, an answer that is sent) needs none: guests have slots of
//! their own, and a sending connection waits for its client. An address of several clients, as that of a proxy, counts
//! as one client: they wait for each other, as everybody did.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use coinslot_base::recent_use::RecentUse;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::payment::client_network;

/// The turns of one client at once, for each processor: while one is polled, the next one is woken.
const TURNS_PER_PROCESSOR: usize = 2;

/// The most bytes that are read in one turn.
const MAX_READ: usize = 64 << 10;

tokio::task_local! {
    /// The connection whose task is being polled.
    static CURRENT: Arc<ConnectionTurns>;
}

/// The turns of all clients that have connections.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadTurns(Arc<Mutex<HashMap<IpAddr, OpenClient>>>);

/// A client with open connections.
#[derive(Debug, Default)]
struct OpenClient {
    connections: usize,
    turns: Arc<ClientTurns>,
}

/// The turns of one client.
#[derive(Debug)]
struct ClientTurns {
    recent: RecentUse,
    turns: Arc<Semaphore>,
}

/// The turns of one connection. The last connection of a client removes its entry.
#[derive(Debug)]
pub(super) struct ConnectionTurns {
    all: ReadTurns,
    network: IpAddr,
    client: Arc<ClientTurns>,
    state: Mutex<TurnState>,
}

#[derive(Default)]
struct TurnState {
    held: Option<OwnedSemaphorePermit>,
    waiting: Option<Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>>,
    /// The connection has asked for a turn in this poll.
    asked: bool,
    /// The bytes that were read in this poll.
    read: usize,
}

impl ReadTurns {
    /// The turns of a new connection of this client.
    pub(super) fn of(&self, client: IpAddr) -> Arc<ConnectionTurns> {
        let network = client_network(client);
        let mut all = self.0.lock();
        let open = all.entry(network).or_default();
        open.connections += 1;
        let client = Arc::clone(&open.turns);
        Arc::new(ConnectionTurns { all: self.clone(), network, client, state: Mutex::default() })
    }
}

impl Default for ClientTurns {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Arc::new(Semaphore::new(processors.saturating_mul(TURNS_PER_PROCESSOR)));
        Self { recent: RecentUse::default(), turns }
    }
}

impl ConnectionTurns {
    /// Those of the connection whose task is being polled.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Runs the future of a connection, whose reads wait for turns. A turn that is taken in a poll ends with it.
    pub(super) async fn run<T>(self: Arc<Self>, connection: impl Future<Output = T>) -> T {
        let mut connection = pin!(CURRENT.scope(Arc::clone(&self), connection));
        poll_fn(|context| {
            let polled = self.count(|| connection.as_mut().poll(context));
            self.end_poll();
            polled
        })
        .await
    }

    /// Runs the future of one of the connection's streams, whose polls count for the client.
    pub(super) async fn run_stream<T>(self: Arc<Self>, stream: impl Future<Output = T>) -> T {
        let mut stream = pin!(stream);
        poll_fn(|context| self.count(|| stream.as_mut().poll(context))).await
    }

    /// Counts the time of a poll for the client.
    fn count<T>(&self, poll: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let polled = poll();
        self.client.recent.note(begun.elapsed());
        polled
    }

    /// Waits for a turn, unless the client has used little, or the connection has its turn.
    fn poll_turn(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.held.is_some() {
            return Poll::Ready(());
        }
        if state.waiting.is_none() {
            if !self.client.recent.is_much() {
                return Poll::Ready(());
            }
            let turns = Arc::clone(&self.client.turns);
            state.waiting = Some(Box::pin(async move { turns.acquire_owned().await.ok() }));
        }
        state.asked = true;
        let Some(waiting) = &mut state.waiting else { return Poll::Ready(()) };
        state.held = ready!(waiting.as_mut().poll(context));
        state.waiting = None;
        Poll::Ready(())
    }

    /// True if the connection has read as much as it may in one turn. Always false without one.
    fn has_read_enough(&self) -> bool {
        let state = self.state.lock();
        state.held.is_some() && state.read >= MAX_READ
    }

    fn note_read(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.read = state.read.saturating_add(bytes);
    }

    /// Gives the turn back. A connection that did not ask in this poll wants to read nothing now, so it loses its place:
    /// a turn that it got there would be held until it is polled for another reason.
    fn end_poll(&self) {
        let mut state = self.state.lock();
        let state = &mut *state;
        (state.held, state.read) = (None, 0);
        if !std::mem::take(&mut state.asked) {
            state.waiting = None;
        }
    }
}

impl Drop for ConnectionTurns {
    fn drop(&mut self) {
        if let Entry::Occupied(mut open) = self.all.0.lock().entry(self.network) {
            open.get_mut().connections -= 1;
            if open.get().connections == 0 {
                open.remove();
            }
        }
    }
}

/// A stream that reads in turns.
#[derive(Debug)]
pub(super) struct TurnStream<S> {
    stream: S,
    turns: Arc<ConnectionTurns>,
}

impl<S> TurnStream<S> {
    pub(super) fn new(stream: S, turns: Arc<ConnectionTurns>) -> Self {
        Self { stream, turns }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TurnStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.turns.poll_turn(context));
        if self.turns.has_read_enough() {
            // The next turn comes behind those that wait.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buf);
        self.turns.note_read(buf.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TurnStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }
}

impl std::fmt::Debug for TurnState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { held, waiting, asked, read } = self;
        let mut shown = formatter.debug_struct("TurnState");
        shown.field("held", &held.is_some()).field("waiting", &waiting.is_some());
        shown.field("asked", asked).field("read", read).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::Notify;

    use super::*;

    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn client() -> IpAddr {
        IpAddr::from([192, 0, 2, 1])
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
                    {
                        let mut reads = reads.lock();
                        reads.0 += 1;
                        if reads.0 == 1_000 {
                            wake.notify_one();
                        }
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
        let turns = ClientTurns::default().turns.available_permits();
        assert!(reads_before_another_client(false).await >= 150, "all of them come first, unless their client is busy");
        let reads = reads_before_another_client(true).await;
        assert!(reads <= 2 * turns, "{reads} reads with {turns} turns");
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
        assert!(second.poll_turn(&mut context).is_ready());
        second.end_poll();
        assert_eq!(u32::try_from(first.client.turns.available_permits()), Ok(permits), "all turns are free again");
    }
}
