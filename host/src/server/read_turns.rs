//! Has the connections of a client that uses much of the processors read in turns, a few at a time.
//!
//! A worker polls the connections that are ready one after the other. A client with hundreds of busy connections would
//! so delay all others by the polls of its own. Beyond its part of the processors, and its quota of a round
//! ([`RecentUse`]), its connections queue for a turn instead, so the workers' queues hold few of them, and the others'
//! requests are served in between. A client whose ready connections fit into the quota loses nothing by it.
//!
//! A turn lasts for one poll of a connection, in which it reads a bounded number of bytes, and serves what it has read.
//! Work that goes on without reading (a guest that computes, an answer that is sent) needs none: guests have slots of
//! their own, and a sending connection waits for its client. An address of several clients, as that of a proxy, counts
//! as one client: they wait for each other, as everybody did.

#[cfg(test)]
mod tests;

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
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::payment::client_network;

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
        Self { recent: RecentUse::default(), turns: Arc::new(Semaphore::new(processors)) }
    }
}

impl ClientTurns {
    /// True if a connection has to wait for a turn: the client has used its quota of this round, or others wait.
    fn has_to_wait(&self) -> bool {
        self.recent.has_to_wait() || self.turns.available_permits() == 0 && self.recent.is_much()
    }

    /// Waits for a permit, and then for further rounds of the worker until the client has some of its quota.
    async fn turn(self: Arc<Self>) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        RecentUse::wait_for_quota(|| self.recent.has_to_wait()).await;
        turn
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
        self.client.recent.note_since(begun);
        polled
    }

    /// Waits for a turn, unless the client may go on without one, or the connection has its turn.
    fn poll_turn(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.read >= MAX_READ && self.client.recent.is_much() {
            // The next turn comes behind those that wait.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if state.held.is_some() {
            return Poll::Ready(());
        }
        if state.waiting.is_none() {
            if !self.client.has_to_wait() {
                return Poll::Ready(());
            }
            state.waiting = Some(Box::pin(Arc::clone(&self.client).turn()));
        }
        state.asked = true;
        let Some(waiting) = &mut state.waiting else { return Poll::Ready(()) };
        state.held = ready!(waiting.as_mut().poll(context));
        state.waiting = None;
        Poll::Ready(())
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

/// A stream that tells whether there is something to read.
pub(super) trait PollReadReady {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl PollReadReady for TcpStream {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        TcpStream::poll_read_ready(self, context)
    }
}

impl<S: AsyncRead + PollReadReady + Unpin> AsyncRead for TurnStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A connection takes no turn to learn that its client has sent nothing.
        ready!(self.stream.poll_read_ready(context))?;
        ready!(self.turns.poll_turn(context));
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
