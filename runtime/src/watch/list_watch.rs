//! The list and the watch request. Objects are left as text: one that does not parse must not
//! affect the others.

use std::{panic::resume_unwind, time::Duration};

use futures::Stream;
use kube::{
    Client,
    api::{DynamicObject, ListParams, Request, WatchEvent, WatchParams},
    core::{ApiResource, Resource as _},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::task::AbortOnDropHandle;

use super::{ObjectKey, WatchSpec};
use crate::{
    backoff::jittered,
    client::{MAX_OBJECT, RequestError, send_bounded, with_deadline},
    string_interner::StringInterner,
};

/// The longest page of several objects, in bytes.
const MAX_PAGE: usize = 4 << 20;
/// The next page has twice the objects if this one has at most this many bytes: small objects are fetched with
/// fewer requests, and few pages are longer than twice this.
const SMALL_PAGE: usize = 512 << 10;
/// How many objects the first page of a list has at most, before anything is known of their size.
const FIRST_PAGE: u32 = 50;

/// One page of a list. Its items are parts of the response.
#[derive(Debug, Deserialize)]
pub(super) struct Page<'a> {
    pub(super) metadata: PageHead,
    #[serde(borrow, default)]
    pub(super) items: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageHead {
    #[serde(default)]
    pub(super) resource_version: String,
    /// The token of the next page; empty on the last page.
    #[serde(default, rename = "continue")]
    pub(super) continue_token: String,
}

/// The part of an object that the watch itself reads.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) metadata: Meta,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    #[serde(default)]
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) uid: String,
    #[serde(default)]
    pub(super) generation: i64,
    #[serde(default)]
    pub(super) resource_version: String,
}

impl Meta {
    /// `None` if this is not a Kubernetes object.
    pub(super) fn of(object: &RawValue) -> Option<Self> {
        serde_json::from_str::<Head>(object.get()).ok().map(|head| head.metadata)
    }

    pub(super) fn key(&self, keys: Option<&StringInterner>) -> ObjectKey {
        match keys {
            Some(keys) => ObjectKey::interned(keys, &self.namespace, &self.name),
            None => ObjectKey::new(&self.namespace, &self.name),
        }
    }
}

/// Lists and watches one kind in one namespace, or in all.
#[derive(Clone)]
pub(super) struct ListWatch {
    client: Client,
    request: Request,
    labels: Option<String>,
    fields: Option<String>,
    page_size: u32,
    timeout: Duration,
}

impl ListWatch {
    pub(super) fn new(
        client: &Client,
        resource: &ApiResource,
        namespace: Option<&str>,
        spec: &WatchSpec,
    ) -> Self {
        Self {
            client: client.clone(),
            request: Request::new(DynamicObject::url_path(resource, namespace)),
            labels: spec.labels.clone(),
            fields: spec.fields.clone(),
            page_size: spec.page_size,
            timeout: spec.timeout,
        }
    }

    /// Begins to fetch one page of a list; `continue_token` is empty for the first. A page that is too large
    /// is asked for again with fewer objects. Returns its text, and the limit of the next page. Dropping the
    /// future gives the request up.
    pub(super) fn begin_page(
        &self,
        continue_token: String,
        mut limit: PageLimit,
    ) -> impl Future<Output = Result<(Vec<u8>, PageLimit), RequestError>> + Send + use<> {
        let list_watch = self.clone();
        let fetching = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                match (list_watch.list(&continue_token, limit).await, limit.smaller()) {
                    (Err(RequestError::TooLarge { .. }), Some(smaller)) => limit = smaller,
                    (text, _) => {
                        return text.map(|text| {
                            let next = limit.after(text.len());
                            (text, next)
                        });
                    }
                }
            }
        }));
        async move { fetching.await.unwrap_or_else(|error| resume_unwind(error.into_panic())) }
    }

    /// The text of one page of a list with at most `limit` objects. Reads the latest state, not a possibly
    /// stale cache.
    async fn list(&self, continue_token: &str, limit: PageLimit) -> Result<Vec<u8>, RequestError> {
        let parameters = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(limit.objects),
            continue_token: (!continue_token.is_empty()).then(|| continue_token.to_owned()),
            ..ListParams::default()
        };
        let request = self.request.list(&parameters).map(|request| named("list", request));
        let request = request.map_err(kube::Error::BuildRequest);
        send_bounded(&self.client, self.what("list"), request, limit.max_bytes()).await
    }

    /// The limit of the first page.
    pub(super) fn page_limit(&self) -> PageLimit {
        let most = self.page_size.max(1);
        PageLimit { objects: FIRST_PAGE.min(most), most }
    }

    /// A page as its items.
    pub(super) fn page<'a>(&self, text: &'a [u8]) -> Result<Page<'a>, RequestError> {
        serde_json::from_slice(text)
            .map_err(|error| RequestError::new(self.what("list"), kube::Error::SerdeError(error)))
    }

    /// How long the next watch should stay open. Random, so that watches do not all end together.
    pub(super) fn lifetime(&self, random: f64) -> Duration {
        Duration::from_secs(jittered(self.timeout, random.mul_add(0.2, 0.8)).as_secs().max(1))
    }

    /// Opens a watch that the server closes after `lifetime`. Returns once the server has accepted
    /// it.
    pub(super) async fn watch(
        &self,
        version: &str,
        lifetime: Duration,
    ) -> Result<
        impl Stream<Item = kube::Result<WatchEvent<Box<RawValue>>>> + Send + Unpin + use<>,
        RequestError,
    > {
        let parameters = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)),
            bookmarks: true,
            ..WatchParams::default()
        };
        with_deadline(self.what("watch"), async {
            let request = self.request.watch(&parameters, version).map_err(kube::Error::BuildRequest)?;
            let events = self.client.request_events::<Box<RawValue>>(named("watch", request)).await?;
            Ok(Box::pin(events))
        })
        .await
    }

    /// The error of an open watch that broke or received an error event.
    pub(super) fn failed(&self, error: kube::Error) -> RequestError {
        RequestError::new(self.what("watch"), error)
    }

    /// The error of an open watch that the server did not close in time.
    pub(super) fn silent(&self, after: Duration) -> RequestError {
        RequestError::Timeout { what: self.what("watch"), after }
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} {}", self.request.url_path)
    }
}

/// How many objects the next page of a list may have. Users decide how large an object is, so a page
/// that is too large is asked for again with half as many. Pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageLimit {
    objects: u32,
    most: u32,
}

impl PageLimit {
    /// In bytes. A page of one object may be longer: the API server bounds it, at 1.5 MiB in etcd.
    const fn max_bytes(self) -> usize {
        if self.objects == 1 { MAX_OBJECT } else { MAX_PAGE }
    }

    /// The limit after a page that was too large; `None` if it had one object.
    pub(super) fn smaller(self) -> Option<Self> {
        (self.objects > 1).then_some(Self { objects: self.objects / 2, ..self })
    }

    /// The limit after a page of this many bytes.
    pub(super) fn after(self, bytes: usize) -> Self {
        let objects = if bytes <= SMALL_PAGE { self.objects.saturating_mul(2) } else { self.objects };
        Self { objects: objects.min(self.most), ..self }
    }
}

/// Adds the verb to the request as kube's own methods do, for tracing and
/// [`crate::client::RequestMetrics`].
fn named(verb: &'static str, mut request: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
    request.extensions_mut().insert(verb);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_its_object_as_received() {
        let line = r#"{"type":"MODIFIED","object":{"metadata":{"namespace":"a","name":"b","uid":"u","resourceVersion":"7"},"spec":{"partitions":"3"}}}"#;
        let WatchEvent::Modified(object) = serde_json::from_str::<WatchEvent<Box<RawValue>>>(line).unwrap()
        else {
            panic!("not MODIFIED");
        };
        assert!(object.get().ends_with(r#""spec":{"partitions":"3"}}"#));
        let meta = Meta::of(&object).unwrap();
        assert_eq!(
            (meta.key(None).as_str(), meta.uid.as_str(), meta.resource_version.as_str()),
            ("a/b", "u", "7")
        );
    }

    #[test]
    fn bookmarks_and_errors_are_not_objects() {
        let bookmark = r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9","creationTimestamp":null}}}"#;
        let error = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
        assert!(matches!(
            serde_json::from_str(bookmark).unwrap(),
            WatchEvent::<Box<RawValue>>::Bookmark(bookmark) if bookmark.metadata.resource_version == "9"
        ));
        assert!(matches!(
            serde_json::from_str(error).unwrap(),
            WatchEvent::<Box<RawValue>>::Error(status) if status.code == 410
        ));
    }

    #[test]
    fn a_page_keeps_an_item_of_an_unexpected_shape() {
        let page: Page = serde_json::from_str(
            r#"{"metadata":{"resourceVersion":"5","continue":"c"},"items":[{"metadata":{"name":"a"},"spec":7}, {"spec":{}}]}"#,
        )
        .unwrap();
        assert_eq!((page.metadata.continue_token.as_str(), page.items.len()), ("c", 2));
        assert_eq!(Meta::of(page.items[0]).unwrap().key(None).as_str(), "a");
        assert!(Meta::of(page.items[1]).is_none());
    }

    #[test]
    fn a_page_shrinks_to_one_object_and_grows_to_the_page_size_again() {
        let full = PageLimit { objects: 50, most: 50 };
        let limits: Vec<u32> =
            std::iter::successors(Some(full), |limit| limit.smaller()).map(|limit| limit.objects).collect();
        assert_eq!(limits, [50, 25, 12, 6, 3, 1]);
        let one = PageLimit { objects: 1, most: 50 };
        assert_eq!((one.max_bytes(), full.max_bytes()), (MAX_OBJECT, MAX_PAGE));
        assert_eq!(one.after(MAX_PAGE), one);
        let grown = std::iter::successors(Some(one), |limit| Some(limit.after(1000))).nth(7);
        assert_eq!(grown, Some(full));
    }

    #[test]
    fn pages_of_small_objects_grow_to_the_page_size() {
        let first = PageLimit { objects: FIRST_PAGE, most: 500 };
        let limits = std::iter::successors(Some(first), |limit| Some(limit.after(SMALL_PAGE)));
        let limits: Vec<u32> = limits.map(|limit| limit.objects).take(6).collect();
        assert_eq!(limits, [50, 100, 200, 400, 500, 500]);
        assert_eq!(first.after(SMALL_PAGE + 1), first);
    }
}
