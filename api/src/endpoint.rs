//! spec.metrics.endpoint and additionalEndpoints: how Prometheus scrapes the pods. The fields are
//! those of an Endpoint of prometheus-operator's ServiceMonitor, without the ones that read files of
//! Prometheus or send its requests elsewhere.

use k8s_openapi::api::core::v1::{ConfigMapKeySelector, SecretKeySelector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::strict_object;

/// The path of an additional endpoint that names none: Prometheus' own default.
const DEFAULT_PATH: &str = "/metrics";

/// How Prometheus scrapes an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSpec {
    /// Protocol of the scrape: http (the default) or https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// TLS of the scrape. It has no effect unless scheme is https.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub tls_config: Option<SafeTlsConfig>,
    /// Credentials in the header Authorization. Must not be set together with basicAuth.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub authorization: Option<SafeAuthorization>,
    /// User name and password. Must not be set together with authorization.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub basic_auth: Option<BasicAuth>,
    /// How long a scrape may take, as a Prometheus duration of at most the interval. Defaults to
    /// that of the Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<String>,
    /// Rules that change the labels of a target, a pod, before it is scraped. They must not write or
    /// remove the labels by which the operator finds the series (namespace, service, pod, container,
    /// endpoint, job), nor what a target is scraped by (__address__ and others).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relabelings: Vec<RelabelConfig>,
    /// Rules that change or drop the scraped series. They must not write or remove the same labels,
    /// nor __name__, topic and partition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metric_relabelings: Vec<RelabelConfig>,
}

/// A further endpoint of the pods, for example a sidecar's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdditionalEndpoint {
    /// TCP port of the pods. The Service calls it metrics-PORT, and so does the label endpoint of its
    /// series. The container need not declare it.
    pub port: i32,
    /// HTTP path of the metrics.
    pub path: String,
    /// How often Prometheus scrapes, as a Prometheus duration. Defaults to metrics.interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How it is scraped.
    #[serde(flatten)]
    pub scrape: EndpointSpec,
}

impl Default for AdditionalEndpoint {
    fn default() -> Self {
        Self { port: 0, path: DEFAULT_PATH.to_owned(), interval: None, scrape: EndpointSpec::default() }
    }
}

/// TLS of a scrape, by keys of Secrets and ConfigMaps in the group's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SafeTlsConfig {
    /// CA that the pods' certificate is verified with.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub ca: Option<SecretOrConfigMap>,
    /// Client certificate that Prometheus shows. Requires keySecret.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub cert: Option<SecretOrConfigMap>,
    /// Private key of the client certificate.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub key_secret: Option<SecretKeySelector>,
    /// Name in the pods' certificate. A scrape connects to the IP address of a pod, which few
    /// certificates have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// If true, the pods' certificate is not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
    /// Least TLS version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_version: Option<String>,
    /// Greatest TLS version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_version: Option<String>,
}

/// A key of a Secret or of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretOrConfigMap {
    /// Key of a Secret.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub secret: Option<SecretKeySelector>,
    /// Key of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub config_map: Option<ConfigMapKeySelector>,
}

/// The header Authorization of a scrape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SafeAuthorization {
    /// Authentication scheme. Defaults to Bearer; for Basic, set basicAuth.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Key of a Secret with the credentials.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub credentials: Option<SecretKeySelector>,
}

/// User name and password of a scrape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BasicAuth {
    /// Key of a Secret with the user name.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub username: Option<SecretKeySelector>,
    /// Key of a Secret with the password.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strict_object::optional")]
    pub password: Option<SecretKeySelector>,
}

/// One rule that changes labels, or drops what it matches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RelabelConfig {
    /// Labels whose values, joined by the separator, are compared with the regex.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// Text between the values. Defaults to a semicolon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Label that replace, hashmod, lowercase and uppercase write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// Regular expression in RE2's syntax, for the whole text. Defaults to (.*).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Modulus of the hash, for hashmod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modulus: Option<i64>,
    /// Value that replace writes, or name that labelmap writes; $1 stands for a group of the regex.
    /// Defaults to $1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What the rule does. Defaults to replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}
