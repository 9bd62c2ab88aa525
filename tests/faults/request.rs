//! Which request the operator sends, as Kubernetes' verbs and resources name it.

use std::fmt;

/// The verb and the resource of a request: `patch kconsumergroups/status`. A path that is no resource
/// is its own name: `get /apis/apps/v1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// get, list, watch, create, update, patch or delete.
    pub verb: String,
    /// The plural with its subresource, or the path.
    pub resource: String,
}

impl RequestId {
    pub fn of(method: &str, path: &str, query: &str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let rest = match parts.as_slice() {
            ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
            _ => &[],
        };
        let rest = match rest {
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let resource = match rest {
            [] => path.to_owned(),
            [plural] | [plural, _] => (*plural).to_owned(),
            [plural, _, subresource, ..] => format!("{plural}/{subresource}"),
        };
        let is_watch = query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1");
        let verb = match method {
            "GET" if is_watch => "watch",
            "GET" if rest.len() == 1 => "list",
            "GET" => "get",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "other",
        };
        Self { verb: verb.to_owned(), resource }
    }

    pub fn is_write(&self) -> bool {
        ["create", "update", "patch", "delete"].contains(&self.verb.as_str())
    }

    /// Of the Lease: how often depends on the time alone.
    pub fn is_of_lease(&self) -> bool {
        self.resource == "leases"
    }

    /// Requests that are repeated as time passes, whatever the cluster's objects are.
    pub fn is_periodic(&self) -> bool {
        self.is_of_lease() || self.verb == "watch" || self.resource.starts_with('/')
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_verb_and_resource() {
        for (method, path, query, name) in [
            ("GET", "/api", "", "get /api"),
            ("GET", "/apis/apps/v1", "", "get /apis/apps/v1"),
            ("GET", "/apis/apps/v1/namespaces/a/deployments", "limit=500", "list deployments"),
            ("GET", "/apis/apps/v1/deployments", "allowWatchBookmarks=true&watch=true", "watch deployments"),
            ("GET", "/api/v1/namespaces/a/services/b", "", "get services"),
            ("POST", "/api/v1/namespaces/a/services", "fieldManager=x", "create services"),
            (
                "PATCH",
                "/apis/thenextapps.com/v1alpha1/namespaces/a/kconsumergroups/b/status",
                "",
                "patch kconsumergroups/status",
            ),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", "", "update leases"),
            ("GET", "/api/v1/namespaces", "", "list namespaces"),
        ] {
            assert_eq!(RequestId::of(method, path, query).to_string(), name);
        }
    }
}
