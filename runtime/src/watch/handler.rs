//! The caller's function, shared by the watches of all namespaces.

use std::fmt;

use parking_lot::Mutex;

use super::{Event, WatchState};

type HandlerFn<F> = dyn FnMut(Event<F>) + Send;

/// Calls the caller's function with one event at a time.
pub(super) struct Handler<F>(Mutex<Box<HandlerFn<F>>>);

impl<F> Handler<F> {
    pub(super) fn new(handle: impl FnMut(Event<F>) + Send + 'static) -> Self {
        Self(Mutex::new(Box::new(handle)))
    }

    pub(super) fn handle(&self, event: Event<F>) {
        (self.0.lock())(event);
    }

    /// Passes on a state if it changed.
    pub(super) fn state_changed(&self, changed: Option<WatchState>) {
        if let Some(state) = changed {
            self.handle(Event::StateChanged(state));
        }
    }
}

impl<F> fmt::Debug for Handler<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Handler")
    }
}
