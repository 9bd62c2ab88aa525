//! Whether the facts that a watch delivered can still be relied on. Pure.

use std::time::Duration;

use super::{NamespaceHealth, SyncState, WatchState};

/// Whether the facts of one namespace can be relied on now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// The first list is not complete.
    Pending,
    /// The facts are what exists.
    Available,
    /// The cluster does not serve the kind.
    NotServed,
    /// The API server forbids the watch; its message.
    Forbidden(String),
    /// The last sign of life is too long ago; the state of the watch.
    Stale(WatchState),
}

impl NamespaceHealth {
    /// Facts are relied on until the watch has been silent for longer than `max_age`, whatever its
    /// state, and again from its next sign of life. A kind that is newly served counts as absent
    /// until its objects are listed.
    pub fn availability(&self, max_age: Duration) -> Availability {
        match (&self.state, self.sync) {
            (WatchState::NotServed, _) => Availability::NotServed,
            (WatchState::Forbidden(message), _) => Availability::Forbidden(message.clone()),
            (_, SyncState::Pending | SyncState::Forbidden) => Availability::Pending,
            (state, _) if self.age > max_age => Availability::Stale(state.clone()),
            (_, SyncState::NotServed) => Availability::NotServed,
            (_, SyncState::Synced) => Availability::Available,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_AGE: Duration = Duration::from_mins(1);

    fn availability(state: &WatchState, sync: SyncState, age: Duration) -> Availability {
        NamespaceHealth { state: state.clone(), sync, age }.availability(MAX_AGE)
    }

    fn not_refused() -> [WatchState; 3] {
        [WatchState::Live, WatchState::Starting, WatchState::Failing("connection refused".to_owned())]
    }

    #[test]
    fn facts_are_available_until_the_watch_is_silent_for_longer_than_the_maximum_age() {
        for state in not_refused() {
            assert_eq!(availability(&state, SyncState::Synced, MAX_AGE), Availability::Available, "{state}");
            let longer = MAX_AGE + Duration::from_secs(1);
            let stale = Availability::Stale(state.clone());
            assert_eq!(availability(&state, SyncState::Synced, longer), stale, "{state}");
        }
    }

    #[test]
    fn objects_that_were_not_listed_are_not_reported_as_missing() {
        for state in not_refused() {
            for sync in [SyncState::Pending, SyncState::Forbidden] {
                assert_eq!(availability(&state, sync, Duration::ZERO), Availability::Pending, "{state}");
            }
            let absent = availability(&state, SyncState::NotServed, Duration::ZERO);
            assert_eq!(absent, Availability::NotServed, "{state}");
        }
    }

    #[test]
    fn a_kind_that_is_not_served_differs_from_one_that_is_forbidden() {
        for sync in [SyncState::Pending, SyncState::Forbidden, SyncState::NotServed, SyncState::Synced] {
            let absent = availability(&WatchState::NotServed, sync, Duration::ZERO);
            assert_eq!(absent, Availability::NotServed);
            let forbidden = availability(&WatchState::Forbidden("no".to_owned()), sync, 2 * MAX_AGE);
            assert_eq!(forbidden, Availability::Forbidden("no".to_owned()));
        }
    }
}
