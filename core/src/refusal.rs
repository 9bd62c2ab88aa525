//! Why the API server refuses an object, from its words: the condition ReplicaFailure of a
//! Deployment has the reason `FailedCreate` for every cause.

/// Whether a refusal ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A ResourceQuota has no room now: old pods that go, or another workload, make room.
    Quota,
    /// It passes, or an object that is created later ends it: the next attempt may succeed.
    Passing,
    /// A verdict on the object itself: it stays until a person changes the object or the policy.
    Verdict,
}

const QUOTA: &str = "exceeded quota";

/// Verdicts on an object: by a policy's webhook, a ValidatingAdmissionPolicy, Pod Security, a
/// ResourceQuota that demands requests or limits, and the API server's own validation.
const VERDICTS: [&str; 5] =
    ["denied the request", "denied request", "violates PodSecurity", "must specify", "is invalid:"];

/// A webhook that does not answer, which may itself quote that something is forbidden, and sentences
/// of admission plugins that forbid an object because of something else: a ServiceAccount, a
/// PriorityClass or a RuntimeClass that does not exist yet, a ResourceQuota that was not counted
/// yet, a cache that is not filled, a namespace that is being deleted.
const PASSING: [&str; 9] = [
    "Internal error occurred",
    "failed calling webhook",
    "error looking up service account",
    "no PriorityClass with name",
    "pod rejected: RuntimeClass",
    "status unknown for quota",
    "not yet ready to handle request",
    "at this time because there was an error",
    "because it is being terminated",
];

impl Refusal {
    /// From the message of the API server. What is neither forbidden nor invalid was not judged: a
    /// webhook, etcd or the API server itself failed.
    pub fn of(message: &str) -> Self {
        if says(message, &["forbidden: ", QUOTA]) || says(message, &VERDICTS) {
            Self::of_forbidden(message)
        } else {
            Self::Passing
        }
    }

    /// From the message of a response with the code 403. It is a verdict unless its words say that it
    /// passes: an authorizer or a proxy may word it in its own way.
    pub fn of_forbidden(message: &str) -> Self {
        if message.contains(QUOTA) {
            Self::Quota
        } else if says(message, &PASSING) && !says(message, &VERDICTS) {
            Self::Passing
        } else {
            Self::Verdict
        }
    }
}

fn says(message: &str, words: &[&str]) -> bool {
    words.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The API server's sentences, as Kubernetes 1.37 words them.
    #[test]
    fn what_the_api_server_says_decides_whether_a_refusal_passes() {
        use Refusal::{Passing, Quota, Verdict};
        for (message, want) in [
            (
                r#"pods "a-1" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"#,
                Quota,
            ),
            (
                r#"services "a" is forbidden: exceeded quota: q, requested: count/services=1, used: count/services=0, limited: count/services=0"#,
                Quota,
            ),
            (
                r#"pods "a-1" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#,
                Verdict,
            ),
            (r#"pods "a-1" is forbidden: failed quota: q: must specify limits.cpu for: orders"#, Verdict),
            (r#"pods "a-1" is forbidden: insufficient quota to consume: pods"#, Verdict),
            (r#"pods "a-1" is forbidden: maximum cpu usage per Container is 1, but limit is 2"#, Verdict),
            (
                r#"pods "a-1" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: image not found"#,
                Verdict,
            ),
            (
                r#"admission webhook "validate.kyverno.svc-fail" denied the request: image x timed out"#,
                Verdict,
            ),
            (r#"Pod "a-1" is invalid: spec.containers[0].image: Required value"#, Verdict),
            (
                r#"pods "a-1" is forbidden: unable to validate against any security context constraint: []"#,
                Verdict,
            ),
            (
                r#"pods is forbidden: User "system:serviceaccount:kube-system:replicaset-controller" cannot create resource "pods""#,
                Verdict,
            ),
            (
                r#"Internal error occurred: failed calling webhook "sidecar-injector.istio.io": failed to call webhook: Post "https://istiod.istio-system.svc:443/inject?timeout=10s": dial tcp 10.96.0.7:443: connect: connection refused"#,
                Passing,
            ),
            (
                r#"Internal error occurred: failed calling webhook "w": failed to call webhook: Post "https://w.x.svc:443/?timeout=10s": context deadline exceeded"#,
                Passing,
            ),
            (
                r#"Internal error occurred: failed calling webhook "w": failed to call webhook: Post "https://w.x.svc:443/": no endpoints available for service "w""#,
                Passing,
            ),
            (
                r#"Internal error occurred: failed calling webhook "w": failed to call webhook: services "w" is forbidden: User "system:anonymous" cannot proxy"#,
                Passing,
            ),
            ("Internal error occurred: resource quota evaluation timed out", Passing),
            (
                r#"pods "a-1" is forbidden: error looking up service account ns/orders: serviceaccount "orders" not found"#,
                Passing,
            ),
            (r#"pods "a-1" is forbidden: no PriorityClass with name high was found"#, Passing),
            (r#"pods "a-1" is forbidden: pod rejected: RuntimeClass "gvisor" not found"#, Passing),
            (r#"pods "a-1" is forbidden: status unknown for quota: q, resources: pods"#, Passing),
            (r#"pods "a-1" is forbidden: not yet ready to handle request"#, Passing),
            (
                r#"pods "a-1" is forbidden: unable to CREATE pods at this time because there was an error enforcing limit ranges"#,
                Passing,
            ),
            (
                r#"pods "a-1" is forbidden: unable to create new content in namespace ns because it is being terminated"#,
                Passing,
            ),
            ("etcdserver: request timed out", Passing),
            ("etcdserver: leader changed", Passing),
            (
                "Timeout: request did not complete within requested timeout - context deadline exceeded",
                Passing,
            ),
            ("Too many requests: the server is overloaded, please try again later", Passing),
            (
                r#"Post "https://10.0.0.1:6443/api/v1/namespaces/ns/pods": dial tcp 10.0.0.1:6443: connect: connection refused"#,
                Passing,
            ),
        ] {
            assert_eq!(Refusal::of(message), want, "{message}");
        }
    }

    #[test]
    fn a_403_in_words_of_its_own_is_a_verdict() {
        assert_eq!(Refusal::of_forbidden("access denied by policy 7"), Refusal::Verdict);
        let webhook = r#"pods "a" is forbidden: not yet ready to handle request"#;
        assert_eq!(Refusal::of_forbidden(webhook), Refusal::Passing);
        assert_eq!(Refusal::of_forbidden("exceeded quota: q"), Refusal::Quota);
    }
}
