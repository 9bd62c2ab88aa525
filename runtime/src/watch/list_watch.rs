//! The two requests a watch is made of, with their answers left unparsed: one object that does not parse must
//! not take the others with it.

use std::time::Duration;

use futures::Stream;
use kube::{
    Client,
    api::{DynamicObject, ListParams, Request, WatchEvent, WatchParams},
    core::{ApiResource, Resource as _},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ObjectKey, WatchSpec};
use crate::{
    backoff::jittered,
    client::{RequestError, with_deadline},
};

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub metadata: PageHead,
    #[serde(default)]
    pub items: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageHead {
    #[serde(default)]
    pub resource_version: String,
    /// Names the next page; empty on the last one.
    #[serde(default, rename = "continue")]
    pub next: String,
}

/// As much of an object as a watch needs to know.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub metadata: Meta,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    #[serde(default)]
    pub namespace: String,
    pub name: String,
    #[serde(default)]
    pub uid: String,
    #[serde(default)]
    pub generation: i64,
    #[serde(default)]
    pub resource_version: String,
}

impl Meta {
    /// `None` for what is no Kubernetes object at all.
    pub fn of(object: &RawValue) -> Option<Self> {
        serde_json::from_str::<Head>(object.get()).ok().map(|head| head.metadata)
    }

    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.namespace, &self.name)
    }
}

/// Lists and watches one kind in one namespace, or in all.
#[derive(Clone)]
pub(super) struct ListWatch {
    client: Client,
    request: Request,
    labels: Option<String>,
    fields: Option<String>,
    page: u32,
    timeout: Duration,
}

impl ListWatch {
    pub fn new(client: &Client, resource: &ApiResource, namespace: Option<&str>, source: &WatchSpec) -> Self {
        Self {
            client: client.clone(),
            request: Request::new(DynamicObject::url_path(resource, namespace)),
            labels: source.labels.clone(),
            fields: source.fields.clone(),
            page: source.page,
            timeout: source.timeout,
        }
    }

    /// One page of a list; `next` is empty for the first. Read from the newest state, never from a lagging cache.
    pub async fn list(&self, next: &str) -> Result<Page, RequestError> {
        let parameters = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(self.page),
            continue_token: (!next.is_empty()).then(|| next.to_owned()),
            ..ListParams::default()
        };
        with_deadline(self.what("list"), async {
            let request = self.request.list(&parameters).map_err(kube::Error::BuildRequest)?;
            self.client.request(named("list", request)).await
        })
        .await
    }

    /// How long the next watch is to stay open: not the same for all, lest they end together.
    pub fn lifetime(&self, random: f64) -> Duration {
        Duration::from_secs(jittered(self.timeout, random.mul_add(0.2, 0.8)).as_secs().max(1))
    }

    /// Opens a watch that the server ends after `lifetime`; returns when the server has accepted it.
    pub async fn watch(
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

    /// An open watch broke, or brought an error.
    pub fn failed(&self, error: kube::Error) -> RequestError {
        RequestError::new(self.what("watch"), error)
    }

    /// An open watch outlived its own end without a word.
    pub fn silent(&self, after: Duration) -> RequestError {
        RequestError::Timeout { what: self.what("watch"), after }
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} {}", self.request.url_path)
    }
}

/// kube's own methods leave their name on the request, for tracing and for the counter of calls.
fn named(verb: &'static str, mut request: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
    request.extensions_mut().insert(verb);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_its_object_as_the_text_that_came() {
        let line = r#"{"type":"MODIFIED","object":{"metadata":{"namespace":"a","name":"b","uid":"u","resourceVersion":"7"},"spec":{"partitions":"3"}}}"#;
        let WatchEvent::Modified(object) = serde_json::from_str::<WatchEvent<Box<RawValue>>>(line).unwrap()
        else {
            panic!("not MODIFIED");
        };
        assert!(object.get().ends_with(r#""spec":{"partitions":"3"}}"#));
        let meta = Meta::of(&object).unwrap();
        assert_eq!(
            (meta.key().as_str(), meta.uid.as_str(), meta.resource_version.as_str()),
            ("a/b", "u", "7")
        );
    }

    #[test]
    fn bookmarks_and_errors_are_told_from_objects() {
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
    fn a_page_keeps_an_item_of_the_wrong_shape() {
        let page: Page = serde_json::from_str(
            r#"{"metadata":{"resourceVersion":"5","continue":"c"},"items":[{"metadata":{"name":"a"},"spec":7}, {"spec":{}}]}"#,
        )
        .unwrap();
        assert_eq!((page.metadata.next.as_str(), page.items.len()), ("c", 2));
        assert_eq!(Meta::of(&page.items[0]).unwrap().key().as_str(), "a");
        assert!(Meta::of(&page.items[1]).is_none());
    }
}
