//! Ends code of an author that takes too long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wasmtime::Engine;

/// The end of the time that code may take. Once it has passed, the epoch of the engine is increased, which traps in a
/// store whose epoch deadline is one. Dropping it ends the watch.
pub(super) struct Deadline(Arc<Watched>);

struct Watched {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// None: the code has ended.
    end: Option<Instant>,
    passed: bool,
}

impl Deadline {
    /// Starts to watch an engine, in which nothing else runs.
    pub(super) fn start(engine: &Engine, time: Duration) -> Self {
        let state = State { end: Some(Instant::now() + time), passed: false };
        let watched = Arc::new(Watched { state: Mutex::new(state), changed: Condvar::new() });
        let (engine, watch) = (engine.clone(), Arc::clone(&watched));
        std::thread::spawn(move || watch.follow(&engine));
        Self(watched)
    }

    /// Gives the code this much time from now on.
    pub(super) fn extend(&self, time: Duration) {
        let mut state = self.0.state.lock();
        state.end = state.end.map(|_| Instant::now() + time);
        self.0.changed.notify_all();
    }

    /// True once the time has passed.
    pub(super) fn has_passed(&self) -> bool {
        self.0.state.lock().passed
    }
}

impl Watched {
    fn follow(&self, engine: &Engine) {
        let mut state = self.state.lock();
        while let Some(end) = state.end {
            if Instant::now() >= end {
                state.passed = true;
                engine.increment_epoch();
                return;
            }
            self.changed.wait_until(&mut state, end);
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.state.lock().end = None;
        self.0.changed.notify_all();
    }
}
