//! What a watch reports, without its states.

use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};

/// A change of an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The object was deleted.
    pub gone: bool,
    /// Its newest version.
    pub object: DynamicObject,
}

/// Every version of every object that is there or comes. A watch that breaks is opened again.
pub fn changes(api: Api<DynamicObject>) -> impl Stream<Item = Change> + Send {
    watcher::watcher(api, watcher::Config::default()).filter_map(async |event| match event {
        Ok(Event::Apply(object) | Event::InitApply(object)) => Some(Change { gone: false, object }),
        Ok(Event::Delete(object)) => Some(Change { gone: true, object }),
        // The watcher tries again.
        Ok(Event::Init | Event::InitDone) | Err(_) => None,
    })
}
