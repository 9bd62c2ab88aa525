//! The schema of groups that the cluster serves, as far as it says of which version it is.

use http::Request;
use kcg_api::{crd::VersionSkew, names};
use kcg_runtime::client::{RequestError, with_deadline};
use kube::Client;
use serde_json::Value;

/// How the cluster's CRD stands to this binary; `None` where the cluster serves no groups.
pub async fn skew(client: &Client) -> Result<Option<VersionSkew>, RequestError> {
    let path = format!("/openapi/v3/apis/{}/{}", names::GROUP, names::VERSION);
    let asked = with_deadline("read the schema of KconsumerGroups", async {
        let request = Request::get(&path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        client.request::<Value>(request).await
    });
    match asked.await {
        Ok(document) => Ok(description(&document).map(VersionSkew::from_description)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn description(document: &Value) -> Option<&str> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    let (_, schema) = schemas.iter().find(|(name, _)| name.ends_with(&format!(".{}", names::KIND)))?;
    Some(schema["description"].as_str().unwrap_or_default())
}
