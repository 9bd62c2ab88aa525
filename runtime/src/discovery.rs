//! Kinds that a cluster may not serve, or may start or stop serving at any time.
//!
//! The answer comes from discovery, which every authenticated user may read. A watch of
//! CustomResourceDefinitions would need a cluster-wide grant.

use kube::{
    Client,
    core::{ApiResource, GroupVersionKind},
    discovery::pinned_kind,
    error::DiscoveryError,
};

use crate::client::{RequestError, with_deadline};

/// A kind and the versions of it that the caller can read, the preferred one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalKind {
    group: String,
    kind: String,
    versions: Vec<String>,
}

impl OptionalKind {
    /// For example `("gateway.networking.k8s.io", "HTTPRoute", &["v1", "v1beta1"])`.
    pub fn new(group: &str, kind: &str, versions: &[&str]) -> Self {
        let versions = versions.iter().copied().map(str::to_owned).collect();
        Self { group: group.to_owned(), kind: kind.to_owned(), versions }
    }

    /// The kind, for example `HTTPRoute`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The first of the versions that is served now, or `None` if none is. A cluster that does not
    /// answer is an error, never `None`.
    pub async fn find(&self, client: &Client) -> Result<Option<ApiResource>, RequestError> {
        for version in &self.versions {
            let gvk = GroupVersionKind::gvk(&self.group, version, &self.kind);
            let found =
                with_deadline(format!("discover {}/{version}", self.group), served(client, &gvk)).await;
            match found {
                Ok(None) => {}
                // No kind at all is served in this version.
                Err(error) if error.code() == Some(404) => {}
                found => return found,
            }
        }
        Ok(None)
    }
}

async fn served(client: &Client, gvk: &GroupVersionKind) -> kube::Result<Option<ApiResource>> {
    match pinned_kind(client, gvk).await {
        Ok((resource, _)) => Ok(Some(resource)),
        Err(kube::Error::Discovery(DiscoveryError::MissingKind(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// A cluster that serves one version of HTTPRoute; its discovery lists the subresource first.
    fn cluster(version: &'static str) -> Client {
        let answer = move |request: Request<Body>| async move {
            if request.uri().path() != format!("/apis/gateway.networking.k8s.io/{version}") {
                return Response::builder().status(404).body(Body::from(b"404 page not found\n".to_vec()));
            }
            let entry = |name: &str| json!({"name": name, "kind": "HTTPRoute", "namespaced": true, "singularName": "", "verbs": []});
            let list = json!({
                "kind": "APIResourceList",
                "groupVersion": format!("gateway.networking.k8s.io/{version}"),
                "resources": [entry("httproutes/status"), entry("httproutes")],
            });
            Ok(Response::new(Body::from(list.to_string().into_bytes())))
        };
        Client::new(service_fn(answer), "default")
    }

    #[tokio::test]
    async fn the_kind_itself_is_found_and_not_its_subresource() {
        let route = OptionalKind::new("gateway.networking.k8s.io", "HTTPRoute", &["v1", "v1beta1"]);
        for version in ["v1", "v1beta1"] {
            let found = route.find(&cluster(version)).await.unwrap().unwrap();
            assert_eq!(found.api_version, format!("gateway.networking.k8s.io/{version}"));
            assert_eq!((found.version.as_str(), found.plural.as_str()), (version, "httproutes"));
        }
        assert_eq!(route.find(&cluster("v1alpha2")).await.unwrap(), None, "only another version is served");
        let other = OptionalKind::new("gateway.networking.k8s.io", "GRPCRoute", &["v1"]);
        assert_eq!(other.find(&cluster("v1")).await.unwrap(), None, "only another kind is served");
    }

    #[tokio::test]
    async fn a_cluster_that_does_not_answer_is_an_error() {
        let unavailable = service_fn(|_: Request<Body>| async {
            Response::builder().status(503).body(Body::from(b"unavailable".to_vec()))
        });
        let kind = OptionalKind::new("gateway.networking.k8s.io", "HTTPRoute", &["v1"]);
        let error = kind.find(&Client::new(unavailable, "default")).await.unwrap_err();
        assert_eq!(error.code(), Some(503));
        assert!(error.to_string().starts_with("discover gateway.networking.k8s.io/v1: "), "{error}");
    }
}
