//! Endpoints whose requests meet in one instance. The operator's configuration names another server in `server`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use coinslot_sdk::{Context, Json, Payment, Refusal, Result, Stream, Text, Value, config, endpoint, http, json, sleep};

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
    /// Requests that are being answered.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    static ARRIVED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Those that wait for the second one to arrive.
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// A request that is being answered.
struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.set(INSIDE.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(INSIDE.get() - 1);
    }
}

fn payer(payment: Payment) -> Result<String> {
    Ok(payment.0.context("no payment")?.payer)
}

fn server(path: &str) -> Result<String> {
    Ok(config::get("server").context("no `server` is configured")? + path)
}

#[endpoint(get, "/together/fetch", price = "0.01", summary = "Waits for another server")]
async fn fetch(payment: Payment) -> Result<Json<Value>> {
    let _inside = Inside::enter();
    let said = http::get(&server("/slow")?).send().await?.ok()?.text().await?;
    Ok(Json(json!({ "said": said, "payer": payer(payment)? })))
}

#[endpoint(get, "/together/here", price = "0.01", summary = "Counts the requests that are being answered")]
fn here(payment: Payment) -> Result<Json<Value>> {
    let _inside = Inside::enter();
    Ok(Json(json!({ "inside": INSIDE.get(), "payer": payer(payment)? })))
}

/// Tells the server that the request has arrived, and notes its payer for the other request.
async fn arrive(payment: &Payment) -> Result<()> {
    http::get(&server("/arrived")?).send().await?.ok()?;
    let name = payment.0.as_ref().map(|receipt| receipt.payer.clone()).unwrap_or_default();
    ARRIVED.with_borrow_mut(|arrived| arrived.push(name));
    Ok(())
}

/// What the two requests at one place tell each other.
async fn met(payment: Payment) -> Result<Json<Value>> {
    // A host knows the request behind this one also after another request has woken it.
    let fetched = http::get(&server("/quick")?).send().await?.ok()?.text().await?;
    let everybody = ARRIVED.with_borrow(Clone::clone);
    Ok(Json(json!({ "met": everybody, "fetched": fetched, "payer": payer(payment)? })))
}

#[endpoint(get, "/together/wake", price = "0.01", summary = "Waits until the next request wakes it")]
async fn wake(payment: Payment) -> Result<Json<Value>> {
    arrive(&payment).await?;
    WAITING.take().into_iter().for_each(Waker::wake);
    poll_fn(|cx| {
        if ARRIVED.with_borrow(Vec::len) >= 2 {
            return Poll::Ready(());
        }
        WAITING.with_borrow_mut(|waiting| waiting.push(cx.waker().clone()));
        Poll::Pending
    })
    .await;
    met(payment).await
}

#[endpoint(get, "/together/nap", price = "0.01", summary = "Sleeps until the next request is there")]
async fn nap(payment: Payment) -> Result<Json<Value>> {
    arrive(&payment).await?;
    while ARRIVED.with_borrow(Vec::len) < 2 {
        // Rarely: the next request does not come into an instance that computes at that moment.
        sleep(Duration::from_millis(250)).await;
    }
    met(payment).await
}

#[endpoint(get, "/together/calls", free, summary = "Counts its calls in this instance")]
fn calls() -> String {
    CALLS.set(CALLS.get() + 1);
    CALLS.get().to_string()
}

#[endpoint(get, "/together/never", price = "0.01", summary = "Waits for nothing")]
async fn never() -> Text {
    std::future::pending().await
}

#[endpoint(get, "/together/cut", price = "0.01", summary = "Breaks off")]
fn cut() -> Stream {
    Stream::writer(async |mut sink| {
        sink.send("half of it").await;
        Err(Refusal::new(500, "broken", "as asked"))?
    })
}
