//! How the webhook comes by its certificate: cert-manager issues it, or the controller keeps it itself. Floor 1.
//!
//! Both ways end in one Secret, which the webhook's Deployment mounts.

use kcg_api::names;
use serde_json::{Value, json};

/// The API group of cert-manager's Issuers and Certificates.
pub const GROUP: &str = "cert-manager.io";
/// On a registration: the Certificate, as `namespace/name`, whose authority cert-manager writes into caBundle.
pub const ANNOTATION_INJECT: &str = "cert-manager.io/inject-ca-from";

/// How long the authority is valid.
const AUTHORITY_DAYS: u32 = 3650;
/// How long a leaf is valid.
const LEAF_DAYS: u32 = 90;
const HOURS_A_DAY: u32 = 24;

/// The Issuer that signs itself, and begins the chain.
fn beginning() -> String {
    format!("{}-selfsigned", names::WEBHOOK)
}

/// The authority: its Certificate, the Secret of its key, and the Issuer that signs with it.
fn authority() -> String {
    format!("{}-ca", names::WEBHOOK)
}

/// The names that the API server may ask the webhook's Service for.
pub fn dns_names(service: &str, namespace: &str) -> [String; 2] {
    let name = format!("{service}.{namespace}.svc");
    [name.clone(), format!("{name}.cluster.local")]
}

/// For the component `cert-manager`: an authority that lasts, and from it a leaf that does not.
///
/// The authority keeps its key through its renewals. cert-manager's cainjector publishes one authority at a time; with
/// key and subject unchanged, the old and the new one verify the same leaves, so no moment is without trust.
pub fn issued() -> Vec<Value> {
    let ecdsa = |rotation: &str| json!({"algorithm": "ECDSA", "size": 256, "rotationPolicy": rotation});
    let issuer_ref = |name: String| json!({"group": GROUP, "kind": "Issuer", "name": name});
    vec![
        ours("Issuer", &beginning(), &json!({"selfSigned": {}})),
        ours(
            "Certificate",
            &authority(),
            &json!({
                "isCA": true,
                "commonName": authority(),
                "secretName": authority(),
                "duration": hours(AUTHORITY_DAYS),
                "privateKey": ecdsa("Never"),
                "issuerRef": issuer_ref(beginning()),
            }),
        ),
        ours("Issuer", &authority(), &json!({"ca": {"secretName": authority()}})),
        ours(
            "Certificate",
            names::WEBHOOK,
            &json!({
                "secretName": names::CERTIFICATE_SECRET,
                "dnsNames": dns_names(names::WEBHOOK, names::NAMESPACE),
                "duration": hours(LEAF_DAYS),
                // A third of its life is left to find out that a renewal fails.
                "renewBefore": hours(LEAF_DAYS / 3),
                "usages": ["digital signature", "server auth"],
                "privateKey": ecdsa("Always"),
                "issuerRef": issuer_ref(authority()),
            }),
        ),
    ]
}

fn hours(days: u32) -> String {
    format!("{}h0m0s", days * HOURS_A_DAY)
}

fn ours(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {"name": name, "namespace": names::NAMESPACE},
        "spec": spec,
    })
}

/// For the component `self-managed`: the Secret that the controller fills. It ships without `data`, so that applying
/// it again leaves alone what is in it, and the controller needs no right to create Secrets.
pub fn kept() -> Vec<Value> {
    vec![json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": names::CERTIFICATE_SECRET, "namespace": names::NAMESPACE},
        "type": "Opaque",
    })]
}
