//! Tells clients that the tools have changed: by a stream of events for those that ask with `GET`, or by a subscription.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use coinslot_plugin::Fault;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::server::RequestHandler;

/// The most clients that wait for changes at once, and the most of one client. As with connections, an address counts
/// where it is that of one client: behind a proxy that the operator has not named, there may be many.
const MAX_LISTENERS: usize = 1_000;
const MAX_OF_CLIENT: usize = 16;
/// The interval in which a waiting client's stream looks for another generation.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The looks after which a comment keeps the stream open.
const LOOKS_PER_PING: u32 = 30;

const CHANGED: Bytes = Bytes::from_static(
    b"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n",
);
const PING: Bytes = Bytes::from_static(b":\n\n");

/// The clients that wait for changes.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<HashMap<Option<IpAddr>, usize>>);

/// The place of one waiting client.
#[derive(Debug)]
pub(super) struct ListenerPlace {
    listeners: Arc<Listeners>,
    network: Option<IpAddr>,
}

/// Finds changes of the tools, from those of one generation on.
#[derive(Debug)]
pub(super) struct ToolChanges {
    handler: Arc<RequestHandler>,
    generation: u64,
    fingerprint: Option<[u8; 32]>,
    looks: Interval,
}

/// The events of one client.
#[derive(Debug)]
pub(super) struct NoticeBody(mpsc::Receiver<Bytes>);

impl Listeners {
    /// A place for a client. None if it has enough, or all are taken. `network`: None if the address is that of a
    /// proxy.
    pub(super) fn take(self: &Arc<Self>, network: Option<IpAddr>) -> Option<ListenerPlace> {
        let mut listeners = self.0.lock();
        let all: usize = listeners.values().sum();
        let own = listeners.get(&network).copied().unwrap_or_default();
        if all >= MAX_LISTENERS || (network.is_some() && own >= MAX_OF_CLIENT) {
            return None;
        }
        listeners.insert(network, own + 1);
        Some(ListenerPlace { listeners: Arc::clone(self), network })
    }
}

impl Drop for ListenerPlace {
    fn drop(&mut self) {
        let mut listeners = self.listeners.0.lock();
        if let Some(own) = listeners.get_mut(&self.network) {
            *own -= 1;
            if *own == 0 {
                listeners.remove(&self.network);
            }
        }
    }
}

impl ToolChanges {
    pub(super) async fn since(handler: Arc<RequestHandler>, catalog: &Arc<Catalog>) -> Self {
        let fingerprint = handler.publisher().tools(catalog, handler.payments()).await.map(|tools| tools.fingerprint);
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { handler, generation: catalog.generation, fingerprint, looks }
    }

    /// Looks once, after the interval. True if clients have to list anew.
    async fn look(&mut self) -> bool {
        self.looks.tick().await;
        let catalog = self.handler.catalog();
        if catalog.generation == self.generation {
            return false;
        }
        let fingerprint =
            self.handler.publisher().tools(&catalog, self.handler.payments()).await.map(|tools| tools.fingerprint);
        self.generation = catalog.generation;
        std::mem::replace(&mut self.fingerprint, fingerprint) != fingerprint
    }

    /// Waits for the next change.
    pub(super) async fn next(&mut self) {
        while !self.look().await {}
    }
}

/// The events of a client that waits for changes, until it leaves or the host ends.
pub(super) fn notices(
    handler: Arc<RequestHandler>,
    catalog: Arc<Catalog>,
    place: ListenerPlace,
    closing: CancellationToken,
) -> NoticeBody {
    let (events, received) = mpsc::channel(1);
    tokio::spawn(async move {
        let _place = place;
        let mut changes = ToolChanges::since(handler, &catalog).await;
        drop(catalog);
        let mut quiet = 0;
        // At once, so that the client has the head of the answer.
        let mut event = Some(PING);
        loop {
            if let Some(event) = event.take()
                && events.send(event).await.is_err()
            {
                return;
            }
            let has_changed = tokio::select! {
                has_changed = changes.look() => has_changed,
                () = events.closed() => return,
                () = closing.cancelled() => return,
            };
            quiet = if has_changed { 0 } else { quiet + 1 };
            event = match (has_changed, quiet) {
                (true, _) => Some(CHANGED),
                (false, LOOKS_PER_PING..) => {
                    quiet = 0;
                    Some(PING)
                }
                (false, _) => None,
            };
        }
    });
    NoticeBody(received)
}

impl Body for NoticeBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.0.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_a_share_of_the_places() {
        let listeners = Arc::<Listeners>::default();
        let client = |number: u8| Some(IpAddr::from([9, 9, 9, number]));
        let mut places: Vec<_> = (0..MAX_OF_CLIENT).map(|_| listeners.take(client(1)).expect("a place")).collect();
        assert!(listeners.take(client(1)).is_none());
        assert!(listeners.take(client(2)).is_some());
        places.pop();
        assert!(listeners.take(client(1)).is_some(), "one that left gives its place back");
        let of_proxy: Vec<_> = (0..2 * MAX_OF_CLIENT).filter_map(|_| listeners.take(None)).collect();
        assert_eq!(of_proxy.len(), 2 * MAX_OF_CLIENT, "a proxy stands for many clients");
        let others: Vec<_> = (0..MAX_LISTENERS).filter_map(|_| listeners.take(None)).collect();
        assert!(others.len() < MAX_LISTENERS && listeners.take(client(3)).is_none(), "all together have a bound");
        drop((places, of_proxy, others));
        assert!(listeners.0.lock().is_empty());
    }
}
