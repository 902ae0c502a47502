//! Waits for several futures at once.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs up to eight futures at once, waits for all of them, and returns their outputs as a tuple.
///
/// ```
/// # use coinslot_sdk::{join, testing::block_on};
/// # block_on(async {
/// assert_eq!(join!(async { 1 }, async { "two" }), (1, "two"));
/// # });
/// ```
#[macro_export]
macro_rules! join {
    ($($future:expr),+ $(,)?) => {
        $crate::__private::join(($($crate::__private::Joined::new($future),)+)).await
    };
}

/// Runs up to eight futures at once, each with a result of the same error, and returns their values as a tuple; or the
/// first error, as soon as there is one. The other futures are then dropped.
///
/// ```
/// # use coinslot_sdk::{testing::block_on, try_join};
/// # block_on(async {
/// let parse = async |text: &str| text.parse::<u8>();
/// assert!(matches!(try_join!(parse("1"), parse("2")), Ok((1, 2))));
/// assert!(try_join!(parse("1"), parse("x")).is_err());
/// # });
/// ```
#[macro_export]
macro_rules! try_join {
    ($($future:expr),+ $(,)?) => {
        $crate::__private::try_join(($($crate::__private::Joined::new($future),)+)).await
    };
}

/// Runs all futures at once, and returns their outputs in the order of the futures.
///
/// ```
/// # use coinslot_sdk::{join_all, testing::block_on};
/// let squares = join_all((1..4).map(async |number| number * number));
/// assert_eq!(block_on(squares), [1, 4, 9]);
/// ```
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<Joined<F>> = futures.into_iter().map(Joined::new).collect();
    poll_fn(|cx| {
        // All are polled each time: any of them may have been woken.
        let waiting = all.iter_mut().filter_map(|one| one.poll(cx).is_pending().then_some(())).count();
        if waiting == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all.into_iter().map(Joined::into_output).collect()
}

/// A future, and its output when it is ready.
#[derive(Debug)]
pub struct Joined<F: Future> {
    future: Pin<Box<F>>,
    output: Option<F::Output>,
}

impl<F: Future> Joined<F> {
    pub fn new(future: F) -> Self {
        Self { future: Box::pin(future), output: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.output.is_none() {
            match self.future.as_mut().poll(cx) {
                Poll::Ready(output) => self.output = Some(output),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    fn into_output(self) -> F::Output {
        self.output.expect("it is polled until it is ready")
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Joined<F> {
    fn take_error(&mut self) -> Option<E> {
        match self.output.take() {
            Some(Err(error)) => Some(error),
            other => {
                self.output = other;
                None
            }
        }
    }

    fn into_value(self) -> T {
        match self.into_output() {
            Ok(value) => value,
            Err(_) => unreachable!("an error ends the waiting"),
        }
    }
}

/// A tuple of [`Joined`].
pub trait JoinTuple {
    type Outputs;

    /// Polls all that are not ready.
    fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    fn into_outputs(self) -> Self::Outputs;
}

/// A tuple of [`Joined`] whose outputs are results of one error.
pub trait TryJoinTuple: JoinTuple {
    type Values;
    type Error;

    fn take_error(&mut self) -> Option<Self::Error>;
    fn into_values(self) -> Self::Values;
}

/// Waits for all futures of a tuple.
pub async fn join<J: JoinTuple>(mut futures: J) -> J::Outputs {
    poll_fn(|cx| futures.poll_all(cx)).await;
    futures.into_outputs()
}

/// Waits for all futures of a tuple, or for the first error.
pub async fn try_join<J: TryJoinTuple>(mut futures: J) -> Result<J::Values, J::Error> {
    let failed = poll_fn(|cx| {
        let state = futures.poll_all(cx);
        match futures.take_error() {
            Some(error) => Poll::Ready(Some(error)),
            None => state.map(|()| None),
        }
    });
    match failed.await {
        Some(error) => Err(error),
        None => Ok(futures.into_values()),
    }
}

macro_rules! tuple {
    ($($future:ident $value:ident $index:tt),+) => {
        impl<$($future: Future),+> JoinTuple for ($(Joined<$future>,)+) {
            type Outputs = ($($future::Output,)+);

            fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<()> {
                let mut state = Poll::Ready(());
                $(
                    if self.$index.poll(cx).is_pending() {
                        state = Poll::Pending;
                    }
                )+
                state
            }

            fn into_outputs(self) -> Self::Outputs {
                ($(self.$index.into_output(),)+)
            }
        }

        impl<E, $($value, $future: Future<Output = Result<$value, E>>),+> TryJoinTuple for ($(Joined<$future>,)+) {
            type Values = ($($value,)+);
            type Error = E;

            fn take_error(&mut self) -> Option<E> {
                $(
                    if let Some(error) = self.$index.take_error() {
                        return Some(error);
                    }
                )+
                None
            }

            fn into_values(self) -> Self::Values {
                ($(self.$index.into_value(),)+)
            }
        }
    };
}

tuple!(F0 T0 0);
tuple!(F0 T0 0, F1 T1 1);
tuple!(F0 T0 0, F1 T1 1, F2 T2 2);
tuple!(F0 T0 0, F1 T1 1, F2 T2 2, F3 T3 3);
tuple!(F0 T0 0, F1 T1 1, F2 T2 2, F3 T3 3, F4 T4 4);
tuple!(F0 T0 0, F1 T1 1, F2 T2 2, F3 T3 3, F4 T4 4, F5 T5 5);
tuple!(F0 T0 0, F1 T1 1, F2 T2 2, F3 T3 3, F4 T4 4, F5 T5 5, F6 T6 6);
tuple!(F0 T0 0, F1 T1 1, F2 T2 2, F3 T3 3, F4 T4 4, F5 T5 5, F6 T6 6, F7 T7 7);

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::task::Poll;

    use crate::testing::block_on;

    /// A future that is ready at its second poll.
    async fn later<T>(value: T) -> T {
        let asked = Cell::new(false);
        poll_fn(|cx| match asked.replace(true) {
            true => Poll::Ready(()),
            false => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
        value
    }

    #[test]
    fn all_futures_run_at_once_and_their_outputs_keep_their_order() {
        let order = std::cell::RefCell::new(Vec::new());
        let step = async |name: &'static str| {
            order.borrow_mut().push(name);
            later(()).await;
            order.borrow_mut().push(name);
            name
        };
        assert_eq!(block_on(async { join!(step("a"), async { "now" }, step("b")) }), ("a", "now", "b"));
        assert_eq!(*order.borrow(), ["a", "b", "a", "b"]);
        assert_eq!(block_on(super::join_all([later(1), later(2)])), [1, 2]);
        assert!(block_on(super::join_all(Vec::<std::future::Ready<()>>::new())).is_empty());
    }

    #[test]
    fn the_first_error_ends_the_waiting() {
        let failed: Result<(u8, u8), _> =
            block_on(async { try_join!(std::future::pending(), async { later(Err("failed")).await }) });
        assert_eq!(failed, Err("failed"));
        assert_eq!(block_on(async { try_join!(later(Ok::<_, ()>(1)), async { Ok(2) }) }), Ok((1, 2)));
    }
}
