//! The webhook's certificate: issued by cert-manager, or by the controller. Either way it ends in
//! the Secret that the webhook's Deployment mounts.

use kcg_api::names;
use serde_json::{Value, json};

/// The API group of cert-manager's Issuers and Certificates.
pub const GROUP: &str = "cert-manager.io";
/// On a webhook configuration: the Certificate, as `namespace/name`, whose CA cert-manager writes
/// into caBundle.
pub const ANNOTATION_INJECT: &str = "cert-manager.io/inject-ca-from";

/// How long the CA is valid.
const CA_DAYS: u32 = 3650;
/// How long the serving certificate is valid.
const SERVING_DAYS: u32 = 30;
const HOURS_PER_DAY: u32 = 24;

/// The name of the self-signed Issuer, which issues the CA.
fn self_signed_issuer() -> String {
    format!("{}-selfsigned", names::WEBHOOK)
}

/// The name of the CA: its Certificate, the Secret of its key, and the Issuer that signs with it.
fn ca() -> String {
    format!("{}-ca", names::WEBHOOK)
}

/// The DNS names by which the API server can call the webhook's Service.
pub fn dns_names(service: &str, namespace: &str) -> [String; 2] {
    let name = format!("{service}.{namespace}.svc");
    [name.clone(), format!("{name}.cluster.local")]
}

/// For the component `cert-manager`: a long-lived CA and a short-lived serving certificate.
///
/// The CA keeps its key when it is renewed. cert-manager's cainjector publishes one CA at a time;
/// with the same key and subject, the old and the new CA verify the same certificates, so trust is
/// never interrupted.
pub fn cert_manager() -> Vec<Value> {
    let ecdsa = |rotation: &str| json!({"algorithm": "ECDSA", "size": 256, "rotationPolicy": rotation});
    let issuer_ref = |name: String| json!({"group": GROUP, "kind": "Issuer", "name": name});
    vec![
        object("Issuer", &self_signed_issuer(), &json!({"selfSigned": {}})),
        object(
            "Certificate",
            &ca(),
            &json!({
                "isCA": true,
                "commonName": ca(),
                "secretName": ca(),
                "duration": hours(CA_DAYS),
                "privateKey": ecdsa("Never"),
                "issuerRef": issuer_ref(self_signed_issuer()),
            }),
        ),
        object("Issuer", &ca(), &json!({"ca": {"secretName": ca()}})),
        object(
            "Certificate",
            names::WEBHOOK,
            &json!({
                "secretName": names::CERTIFICATE_SECRET,
                "dnsNames": dns_names(names::WEBHOOK, names::NAMESPACE),
                "duration": hours(SERVING_DAYS),
                // A third of the validity is left to notice that the renewal fails.
                "renewBefore": hours(SERVING_DAYS / 3),
                "usages": ["digital signature", "server auth"],
                "privateKey": ecdsa("Always"),
                "issuerRef": issuer_ref(ca()),
            }),
        ),
    ]
}

fn hours(days: u32) -> String {
    format!("{}h0m0s", days * HOURS_PER_DAY)
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {"name": name, "namespace": names::NAMESPACE},
        "spec": spec,
    })
}

/// For the component `self-managed`: the Secrets that the controller fills, of the certificate and of
/// its CA. They have no `data`, so that applying them again does not change their content, and the
/// controller does not need the right to create Secrets.
pub fn self_managed() -> Vec<Value> {
    let secret = |name: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": names::NAMESPACE},
            "type": "Opaque",
        })
    };
    [names::CERTIFICATE_SECRET, names::CA_SECRET].map(secret).into()
}
