//! The watch of one namespace: list, then watch, and list again if needed, for as long as the kind
//! is served.

use std::time::Duration;

use futures::StreamExt as _;
use kube::api::WatchEvent;
use serde_json::value::RawValue;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Event, Transform, Unparsable, WatchHealth, WatchState,
    end::{End, is_before, is_expired},
    handler::Handler,
    known_keys::KnownKeys,
    list_watch::{ListWatch, Meta, Page},
};
use crate::{backoff::Backoff, client::RequestError, string_interner::StringInterner};

/// The delays between attempts that fail.
pub(super) const RETRY: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
/// The delays between watches that the server closes at once.
const REOPEN: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
/// The delays between lists.
const RELIST: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(10));

/// A watch that stayed open for this long was healthy: the backoff starts over.
pub(super) const HEALTHY_AFTER: Duration = Duration::from_secs(5);
/// The backoff between lists starts over if the last list is this old.
const RELIST_RESET: Duration = Duration::from_secs(30);

/// How much longer than requested the server may keep a watch open.
const GRACE: Duration = Duration::from_secs(5);

/// How long a watch may fail with error responses before a new list. Only a response that names the
/// resource version asks for one at once; this is for an API server that cannot continue from a
/// version and does not say so. An overloaded one does not count: a list would only add load.
const RELIST_AFTER: Duration = Duration::from_mins(1);

/// The state of a watch after a failed request.
pub(super) fn state_after(error: &RequestError) -> WatchState {
    match error.status() {
        Some(status) if status.code == 404 => WatchState::NotServed,
        Some(status) if status.is_forbidden() => WatchState::Forbidden(status.message.clone()),
        _ => WatchState::Failing(error.to_string()),
    }
}

/// Advances the version to continue from. An event without one leaves it, and it never goes back.
fn advance(version: &mut String, newer: String) {
    if !newer.is_empty() && !is_before(&newer, version) {
        *version = newer;
    }
}

/// The state that the watches of all namespaces share.
pub(super) struct Shared<'a, F> {
    pub(super) health: &'a WatchHealth,
    pub(super) transform: &'a Transform<F>,
    pub(super) handler: &'a Handler<F>,
    /// The keys of several watches, if they share them.
    pub(super) keys: Option<&'a StringInterner>,
    /// Whether the watches end once the kind is not served.
    pub(super) optional: bool,
}

/// The watch of one namespace.
pub(super) struct NamespaceWatch<'a, F> {
    list_watch: ListWatch,
    /// The namespace's index in the health.
    index: usize,
    known_keys: &'a mut KnownKeys,
    shared: &'a Shared<'a, F>,
    retry: Backoff,
    reopen: Backoff,
    relist: Backoff,
}

impl<'a, F> NamespaceWatch<'a, F> {
    pub(super) fn new(
        list_watch: ListWatch,
        index: usize,
        known_keys: &'a mut KnownKeys,
        shared: &'a Shared<'a, F>,
    ) -> Self {
        Self { list_watch, index, known_keys, shared, retry: RETRY, reopen: REOPEN, relist: RELIST }
    }

    /// Returns only if the kind is optional and no longer served.
    pub(super) async fn run(mut self) {
        loop {
            let began = Instant::now();
            let result = match self.list().await {
                Ok(version) => self.watch_from(version).await,
                Err(error) => Err(error),
            };
            if began.elapsed() >= RELIST_RESET {
                self.relist.reset();
            }
            let delay = match result {
                Ok(()) => self.relist.next_delay(fastrand::f64()),
                // The history expired while the pages were fetched.
                Err(error) if is_expired(&error) => self.relist.next_delay(fastrand::f64()),
                Err(error) if self.report(&error) == WatchState::NotServed && self.shared.optional => return,
                Err(error) => self.retry_delay(&error),
            };
            sleep(delay).await;
        }
    }

    /// Passes on everything that exists, and what no longer does. Returns the resource version to
    /// watch from.
    async fn list(&mut self) -> Result<String, RequestError> {
        self.known_keys.begin_list();
        let list_watch = self.list_watch.clone();
        let mut next = Some(list_watch.begin_page(String::new(), list_watch.page_limit()));
        let mut version = String::new();
        while let Some(fetched) = next {
            let (text, limit) = fetched.await?;
            let Page { metadata, items } = list_watch.page(&text)?;
            // The API server prepares the next page while this one is handled.
            let continue_token = metadata.continue_token;
            let is_last = continue_token.is_empty();
            next = (!is_last).then(|| list_watch.begin_page(continue_token, limit));
            // The request is sent even if this is the only thread of the runtime.
            yield_now().await;
            self.page(items);
            version = metadata.resource_version;
        }
        let Shared { health, handler, .. } = self.shared;
        for key in self.known_keys.finish_list() {
            handler.handle(Event::Deleted(key));
        }
        handler.handle(Event::Listed(health.namespace(self.index)));
        handler.state_changed(health.set_listed(self.index));
        if health.waiting_for().is_none() {
            handler.handle(Event::Synced);
        }
        Ok(version)
    }

    /// Passes on the objects of a page.
    fn page(&mut self, items: Vec<&RawValue>) {
        self.shared.health.mark_alive(self.index);
        for object in items {
            if let Some(meta) = self.meta(object) {
                self.applied(meta, object);
            }
        }
    }

    /// Watches until a new list is needed. An error means that the kind may not be served, or that
    /// the server cannot serve a watch from this resource version.
    async fn watch_from(&mut self, mut version: String) -> Result<(), RequestError> {
        let mut failing_since = None;
        loop {
            let opened = Instant::now();
            let end = self.watch(&mut version).await;
            if opened.elapsed() >= HEALTHY_AFTER {
                self.retry.reset();
                self.reopen.reset();
                failing_since = None;
            }
            match end {
                End::Closed if opened.elapsed() >= HEALTHY_AFTER => {}
                End::Closed => sleep(self.reopen.next_delay(fastrand::f64())).await,
                End::Expired => return Ok(()),
                End::Failed(error) => {
                    let is_overload = matches!(error.code(), None | Some(429 | 503));
                    let since = *failing_since.get_or_insert(opened);
                    let is_stuck = !is_overload && since.elapsed() >= RELIST_AFTER;
                    if error.code() == Some(404) || is_stuck {
                        return Err(error);
                    }
                    self.report(&error);
                    sleep(self.retry_delay(&error)).await;
                }
            }
        }
    }

    /// The backoff, or the delay that the server asked for if that is longer.
    fn retry_delay(&mut self, error: &RequestError) -> Duration {
        let asked = error.retry_after().unwrap_or_default();
        self.retry.next_delay(fastrand::f64()).max(asked)
    }

    /// One watch request, until it ends. Each event advances `version`.
    async fn watch(&mut self, version: &mut String) -> End {
        let lifetime = self.list_watch.lifetime(fastrand::f64());
        let mut events = match self.list_watch.watch(version, lifetime).await {
            Ok(events) => events,
            Err(error) => return error.into(),
        };
        let Shared { health, handler, .. } = self.shared;
        handler.state_changed(health.set(self.index, WatchState::Live));
        let dead = Instant::now() + lifetime + GRACE;
        loop {
            health.mark_alive(self.index);
            let event = match timeout_at(dead, events.next()).await {
                Ok(None) => return End::Closed,
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return self.list_watch.failed(error).into(),
                Err(_) => return self.list_watch.silent(lifetime + GRACE).into(),
            };
            let (object, is_deleted) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    advance(version, bookmark.metadata.resource_version);
                    continue;
                }
                WatchEvent::Error(status) => {
                    return self.list_watch.failed(kube::Error::Api(status)).into();
                }
            };
            let Some(mut meta) = self.meta(&object) else { continue };
            if is_before(&meta.resource_version, version) {
                tracing::warn!(watch = health.name(), "an event is older than the last one: listing again");
                return End::Expired;
            }
            advance(version, std::mem::take(&mut meta.resource_version));
            if is_deleted {
                self.deleted(&meta);
            } else {
                self.applied(meta, &object);
            }
        }
    }

    /// The metadata; `None` if the object has no name.
    fn meta(&self, object: &RawValue) -> Option<Meta> {
        let meta = Meta::of(object);
        if meta.is_none() {
            tracing::warn!(watch = self.shared.health.name(), "ignored an object without a name");
        }
        meta
    }

    /// Passes an object on.
    fn applied(&mut self, meta: Meta, object: &RawValue) {
        let Shared { transform, handler, keys, .. } = self.shared;
        let key = meta.key(*keys);
        self.known_keys.insert(&key);
        handler.handle(match transform.apply(object.get()) {
            Ok(fact) => Event::Applied(key, fact),
            Err(error) => {
                Event::Unparsable(key, Unparsable { uid: meta.uid, generation: meta.generation, error })
            }
        });
    }

    fn deleted(&mut self, meta: &Meta) {
        let key = meta.key(self.shared.keys);
        if self.known_keys.remove(&key) {
            self.shared.handler.handle(Event::Deleted(key));
        }
    }

    /// Records the state after an error; logs it and passes it on if it is new.
    fn report(&self, error: &RequestError) -> WatchState {
        let Shared { health, handler, .. } = self.shared;
        let state = state_after(error);
        let changed = match state {
            // This holds for all namespaces.
            WatchState::NotServed if self.shared.optional => health.set_all(WatchState::NotServed),
            _ => health.set(self.index, state.clone()),
        };
        if changed.is_some() {
            tracing::warn!(watch = health.name(), %error, "watch failed");
        }
        handler.state_changed(changed);
        state
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Arc};

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body};
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;
    use tower::service_fn;

    use super::*;
    use crate::watch::{Scope, WatchSpec, Watcher};

    const MINUTE: Duration = Duration::from_mins(1);

    /// Watches a server whose lists succeed and whose watches fail with this response. Returns when
    /// each list and each watch arrived, within this time.
    async fn requests(within: Duration, code: u16, status: &Value) -> HashMap<&'static str, Vec<Duration>> {
        let (start, status) = (Instant::now(), status.to_string());
        let arrived: Arc<Mutex<HashMap<&'static str, Vec<Duration>>>> = Arc::default();
        let log = arrived.clone();
        let server = service_fn(move |request: Request<Body>| {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let verb = if is_watch { "watch" } else { "list" };
            log.lock().entry(verb).or_default().push(start.elapsed());
            let list = json!({"metadata": {"resourceVersion": "5"}, "items": []}).to_string();
            let (code, body) = if is_watch { (code, status.clone()) } else { (200, list) };
            async move { Response::builder().status(code).body(Body::from(body.into_bytes())) }
        });
        let spec = WatchSpec::typed::<ConfigMap>(Scope::All);
        let client = Client::new(server, "default");
        let watcher = Watcher::new("configmaps", client, spec, Transform::new(|_: Value| ()));
        let _ = tokio::time::timeout(within, watcher.run(CancellationToken::new(), drop)).await;
        arrived.lock().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn an_overloaded_server_is_not_listed_again_and_gets_the_delay_that_it_asks_for() {
        let asks = json!({"code": 429, "message": "busy", "details": {"retryAfterSeconds": 7}});
        let arrived = requests(MINUTE, 429, &asks).await;
        assert_eq!(arrived["list"].len(), 1);
        let watches = &arrived["watch"];
        assert!(watches.len() > 3, "{watches:?}");
        assert!(watches.windows(2).all(|pair| pair[1] >= pair[0] + Duration::from_secs(7)), "{watches:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_no_reason_for_a_list_unless_it_stays() {
        let status = json!({"code": 500, "message": "no leader"});
        let arrived = requests(Duration::from_secs(59), 500, &status).await;
        assert_eq!(arrived["list"].len(), 1);
        assert!(arrived["watch"].len() > 10, "{arrived:?}");
        let arrived = requests(5 * MINUTE, 500, &status).await;
        assert!((4..=5).contains(&arrived["list"].len()), "{arrived:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_resource_version_that_the_server_cannot_continue_from_is_listed_again_with_growing_delays() {
        let expired = json!({"code": 410, "reason": "Expired", "message": "too old"});
        let causes = json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        let too_large = json!({"code": 504, "message": "Timeout", "details": {"causes": causes}});
        for (code, status) in [(410, expired), (504, too_large)] {
            let arrived = requests(MINUTE, code, &status).await;
            let lists = &arrived["list"];
            assert!((8..20).contains(&lists.len()), "{code}: {lists:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_are_not_in_order_are_not_believed_but_listed_again() {
        let event = |version: &str, name: &str| {
            let object = json!({"metadata": {"name": name, "namespace": "ns", "resourceVersion": version}});
            format!(r#"{{"type":"MODIFIED","object":{object}}}"#) + "\n"
        };
        let lists = Arc::new(Mutex::new(0));
        let listed = lists.clone();
        let events = [event("8", "newer"), event("8", "as-new"), event("7", "older")].concat();
        let server = service_fn(move |request: Request<Body>| {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            *listed.lock() += usize::from(!is_watch);
            let list = json!({"metadata": {"resourceVersion": "5"}, "items": []}).to_string();
            let body = if is_watch { events.clone() } else { list };
            async move { Response::builder().body(Body::from(body.into_bytes())) }
        });
        let spec = WatchSpec::typed::<ConfigMap>(Scope::All);
        let watcher =
            Watcher::new("configmaps", Client::new(server, "default"), spec, Transform::new(|_: Value| ()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let handle = move |event| {
            if let Event::Applied(key, ()) = event {
                sink.lock().push(key.to_string());
            }
        };
        let _ =
            tokio::time::timeout(Duration::from_secs(3), watcher.run(CancellationToken::new(), handle)).await;
        assert!(*lists.lock() > 2, "{} lists", *lists.lock());
        assert_eq!(seen.lock()[..3], ["ns/newer", "ns/as-new", "ns/newer"]);
    }

    /// One of the parameters of a request.
    fn parameter(request: &Request<Body>, name: &str) -> Option<usize> {
        let mut parameters = request.uri().query()?.split('&');
        parameters.find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_of_large_objects_is_asked_for_again_with_fewer_and_none_is_missed() {
        const OBJECTS: usize = 60;
        let limits: Arc<Mutex<Vec<usize>>> = Arc::default();
        let log = limits.clone();
        let server = service_fn(move |request: Request<Body>| {
            let from = parameter(&request, "continue").unwrap_or_default();
            let limit = parameter(&request, "limit").unwrap_or(OBJECTS);
            log.lock().push(limit);
            let to = OBJECTS.min(from + limit);
            let object =
                |index| json!({"metadata": {"name": format!("n{index}")}, "data": "x".repeat(300 << 10)});
            let items: Vec<Value> = (from..to).map(object).collect();
            let next = if to < OBJECTS { to.to_string() } else { String::new() };
            let list = json!({"metadata": {"resourceVersion": "5", "continue": next}, "items": items});
            async move { Response::builder().body(Body::from(list.to_string().into_bytes())) }
        });
        let spec = WatchSpec::typed::<ConfigMap>(Scope::All);
        let transform = Transform::new(|object: Value| object["data"].as_str().map(str::len));
        let watcher = Watcher::new("configmaps", Client::new(server, "default"), spec, transform);
        let stop = CancellationToken::new();
        let (seen, synced) = (Arc::new(Mutex::new(HashMap::new())), stop.clone());
        let sink = seen.clone();
        let handle = move |event| match event {
            Event::Applied(key, bytes) => drop(sink.lock().insert(key.to_string(), bytes)),
            Event::Synced => synced.cancel(),
            _ => {}
        };
        tokio::time::timeout(MINUTE, watcher.run(stop, handle)).await.unwrap();
        assert_eq!(seen.lock().len(), OBJECTS);
        assert!(seen.lock().values().all(|bytes| *bytes == Some(300 << 10)));
        let lists: Vec<usize> = limits.lock().iter().copied().take(7).collect();
        assert_eq!(lists, [50, 25, 12, 12, 12, 12, 12]);
    }

    /// The first page of each list has `a`, and each first attempt at the second page gets a 410.
    #[tokio::test(start_paused = true)]
    async fn a_list_whose_continue_token_expires_begins_again_and_deletes_nothing_before_it_ends() {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let requests = log.clone();
        let mut second_pages = [None, Some("b"), None, Some("c")].into_iter();
        let server = service_fn(move |request: Request<Body>| {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let page = match (is_watch, parameter(&request, "continue")) {
                (true, _) => None,
                (false, None) => {
                    requests.lock().push("first page".to_owned());
                    Some(("a", "1"))
                }
                (false, Some(_)) => {
                    requests.lock().push("second page".to_owned());
                    second_pages.next().flatten().map(|name| (name, ""))
                }
            };
            let expired = json!({"code": 410, "reason": "Expired", "message": "too old"});
            let (code, body): (u16, Value) = page.map_or((410, expired), |(name, next)| {
                let object = json!({"metadata": {"name": name, "namespace": "ns"}});
                (200, json!({"metadata": {"resourceVersion": "5", "continue": next}, "items": [object]}))
            });
            async move { Response::builder().status(code).body(Body::from(body.to_string().into_bytes())) }
        });
        let (client, spec) = (Client::new(server, "default"), WatchSpec::typed::<ConfigMap>(Scope::All));
        let watcher = Watcher::new("configmaps", client, spec, Transform::new(|_: Value| ()));
        let (health, stop, events) = (watcher.health(), CancellationToken::new(), log.clone());
        let ended = stop.clone();
        let handle = move |event| {
            let synced = if health.synced() { "synced" } else { "not synced" };
            let line = match event {
                Event::Applied(key, ()) => format!("{} while {synced}", key.name()),
                Event::Deleted(key) => format!("{} deleted", key.name()),
                Event::Listed(namespace) => format!("{} listed", namespace.as_deref().unwrap_or("all")),
                Event::Synced => "synced".to_owned(),
                _ => return,
            };
            let mut events = events.lock();
            events.push(line);
            if events.iter().filter(|line| *line == "synced").count() == 2 {
                ended.cancel();
            }
        };
        tokio::time::timeout(MINUTE, watcher.run(stop, handle)).await.unwrap();
        let wanted = "first page, second page, a while not synced, \
                      first page, second page, a while not synced, b while not synced, all listed, synced, \
                      first page, second page, a while synced, \
                      first page, second page, a while synced, c while synced, b deleted, all listed, synced";
        assert_eq!(log.lock().join(", "), wanted);
    }
}
