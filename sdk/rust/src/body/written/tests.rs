use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::Stream;
use crate::testing::block_on;

/// A waker of its own, as a set of futures has for each of them.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Polls a future only when it was woken.
async fn polled_when_woken<F: Future>(future: F) -> F::Output {
    let (mut future, woken) = (pin!(future), Arc::new(Woken(AtomicBool::new(true))));
    poll_fn(|_| match woken.0.swap(false, Ordering::Relaxed) {
        true => future.as_mut().poll(&mut Context::from_waker(&Arc::clone(&woken).into())),
        false => Poll::Pending,
    })
    .await
}

/// The whole of an answer.
async fn read(mut stream: Stream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = stream.0.next().await {
        all.extend_from_slice(&piece.expect("a piece"));
    }
    all
}

/// Polls each of two futures only when it was woken, until both have ended.
fn run_both(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let tasks: [Pin<&mut dyn Future<Output = ()>>; 2] = [pin!(one), pin!(other)];
    let mut tasks: Vec<_> = tasks.into_iter().map(|task| (task, Arc::new(Woken(AtomicBool::new(true))))).collect();
    while !tasks.is_empty() {
        assert!(tasks.iter().any(|(_, woken)| woken.0.load(Ordering::Relaxed)), "nothing wakes those that are left");
        tasks.retain_mut(|(task, woken)| {
            let is_woken = woken.0.swap(false, Ordering::Relaxed);
            !is_woken || task.as_mut().poll(&mut Context::from_waker(&Arc::clone(woken).into())).is_pending()
        });
    }
}

/// The sink is in a task of its own, and the writer waits for the end of that. The reader slept on: nothing woke it
/// when there was a piece.
#[test]
fn a_reader_is_woken_by_a_sink_that_another_task_has() {
    let (handed, end) = (Rc::new(RefCell::new(None)), Rc::new((Cell::new(false), RefCell::new(None::<Waker>))));
    let (given, ended) = (Rc::clone(&handed), Rc::clone(&end));
    let stream = Stream::writer(move |sink| {
        *given.borrow_mut() = Some(sink);
        poll_fn(move |cx| {
            *ended.1.borrow_mut() = Some(cx.waker().clone());
            if ended.0.get() { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
    });
    let task = async move {
        let mut sink = handed.take().expect("the writer has its sink");
        for piece in ["a", "b", "c"] {
            sink.send(piece).await;
        }
        end.0.set(true);
        end.1.take().expect("the writer waits").wake();
    };
    run_both(async { assert_eq!(read(stream).await, b"abc") }, task);
}

#[test]
fn a_piece_for_nobody_is_not_waited_for() {
    let handed = Rc::new(RefCell::new(None));
    let given = Rc::clone(&handed);
    let stream = Stream::writer(async move |sink| {
        *given.borrow_mut() = Some(sink);
        Ok(())
    });
    assert!(block_on(read(stream)).is_empty());
    let mut sink = handed.take().expect("the writer has run");
    block_on(sink.send("late"));
}

#[test]
fn a_writer_that_waits_in_a_set_of_futures_is_woken_when_its_piece_is_taken() {
    let stream = Stream::writer(async |mut sink| {
        polled_when_woken(async {
            for piece in ["a", "b", "c"] {
                sink.send(piece).await;
            }
        })
        .await;
        Ok(())
    });
    assert_eq!(block_on(read(stream)), b"abc");
}
