//! Neighbours that a cluster may lack, get and lose while we run: which version of such a kind is served now.
//! Asked by discovery, which every authenticated user may read; a watch of CRDs would need a cluster-wide
//! grant. Floor 2 (I/O shell).

use http::Request;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::{Client, core::ApiResource};

use crate::client::{RequestError, with_deadline};

/// A kind and the versions of it that we can read, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalKind {
    group: String,
    kind: String,
    versions: Vec<String>,
}

impl OptionalKind {
    pub fn new(group: &str, kind: &str, versions: &[&str]) -> Self {
        let versions = versions.iter().copied().map(str::to_owned).collect();
        Self { group: group.to_owned(), kind: kind.to_owned(), versions }
    }

    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The best version that is served now; `None` where none is. A cluster that does not answer is an error,
    /// never an absence.
    pub async fn find(&self, client: &Client) -> Result<Option<ApiResource>, RequestError> {
        for version in &self.versions {
            let group_version = format!("{}/{version}", self.group);
            if let Some(list) = resources(client, &group_version).await?
                && let Some(found) = pick(&list, &self.group, version, &self.kind)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

async fn resources(client: &Client, group_version: &str) -> Result<Option<APIResourceList>, RequestError> {
    let answer = with_deadline(format!("discover {group_version}"), async {
        let request = Request::get(format!("/apis/{group_version}"))
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        client.request(request).await
    })
    .await;
    match answer {
        Ok(list) => Ok(Some(list)),
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The kind's own entry: subresources (`kafkatopics/status`) carry the same kind.
fn pick(list: &APIResourceList, group: &str, version: &str, kind: &str) -> Option<ApiResource> {
    let entry = list.resources.iter().find(|entry| entry.kind == kind && !entry.name.contains('/'))?;
    Some(ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{group}/{version}"),
        kind: kind.to_owned(),
        plural: entry.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_kind_itself_is_picked_and_not_its_subresource() {
        let list: APIResourceList = serde_json::from_value(json!({
            "groupVersion": "kafka.strimzi.io/v1beta2",
            "resources": [
                {"name": "kafkatopics/status", "kind": "KafkaTopic", "namespaced": true, "singularName": "", "verbs": []},
                {"name": "kafkatopics", "kind": "KafkaTopic", "namespaced": true, "singularName": "", "verbs": []},
            ],
        }))
        .unwrap();
        let found = pick(&list, "kafka.strimzi.io", "v1beta2", "KafkaTopic").unwrap();
        assert_eq!(
            (found.api_version.as_str(), found.plural.as_str()),
            ("kafka.strimzi.io/v1beta2", "kafkatopics")
        );
        assert_eq!(pick(&list, "kafka.strimzi.io", "v1beta2", "Kafka"), None);
    }
}
