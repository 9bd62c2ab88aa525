//! TLS, authorization and basicAuth of an endpoint, with prometheus-operator's words.

use k8s_openapi::api::core::v1::SecretKeySelector;

use super::super::field_errors::FieldErrors;
use super::text;
use crate::endpoint::{EndpointSpec, SafeTlsConfig, SecretOrConfigMap};
use crate::names;

/// The values of minVersion and maxVersion, the least first.
pub(crate) const TLS_VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];
const OBJECT_NAME: &str = "must be the name of an object: lowercase letters, digits, dashes and dots";
const KEY: &str = "must be a key of its data: letters, digits, dashes, underscores and dots";

pub(super) fn check(endpoint: &EndpointSpec, path: &str, errors: &mut FieldErrors<'_>) {
    if let Some(tls) = &endpoint.tls_config {
        tls_config(tls, &format!("{path}.tlsConfig"), errors);
    }
    if let Some(authorization) = &endpoint.authorization {
        let path = format!("{path}.authorization");
        text(authorization.type_.as_deref(), &format!("{path}.type"), errors);
        if let Some(basic) =
            authorization.type_.as_deref().filter(|type_| type_.trim().eq_ignore_ascii_case("basic"))
        {
            errors.invalid(format!("{path}.type"), basic, "must not be Basic: set basicAuth");
        }
        secret(authorization.credentials.as_ref(), &format!("{path}.credentials"), errors);
    }
    if let Some(basic) = &endpoint.basic_auth {
        let path = format!("{path}.basicAuth");
        secret(basic.username.as_ref(), &format!("{path}.username"), errors);
        secret(basic.password.as_ref(), &format!("{path}.password"), errors);
    }
}

fn tls_config(tls: &SafeTlsConfig, path: &str, errors: &mut FieldErrors<'_>) {
    for (field, source) in [("ca", &tls.ca), ("cert", &tls.cert)] {
        if let Some(source) = source {
            either(source, &format!("{path}.{field}"), errors);
        }
    }
    let has_cert = tls.cert.as_ref().is_some_and(|cert| cert.secret.is_some() || cert.config_map.is_some());
    if let Some(key) = &tls.key_secret {
        secret(Some(key), &format!("{path}.keySecret"), errors);
    }
    if has_cert && tls.key_secret.is_none() {
        errors.required(format!("{path}.keySecret"), "client cert specified without client key");
    }
    if !has_cert && tls.key_secret.is_some() {
        errors.required(format!("{path}.cert"), "client key specified without client cert");
    }
    text(tls.server_name.as_deref(), &format!("{path}.serverName"), errors);
    let (min, max) = (tls.min_version.as_deref(), tls.max_version.as_deref());
    errors.one_of(format!("{path}.minVersion"), min, &TLS_VERSIONS);
    errors.one_of(format!("{path}.maxVersion"), max, &TLS_VERSIONS);
    if let Some(max) = max.filter(|max| min.is_some_and(|min| *max < min)) {
        errors.invalid(format!("{path}.maxVersion"), max, "must not be less than minVersion");
    }
}

fn either(source: &SecretOrConfigMap, path: &str, errors: &mut FieldErrors<'_>) {
    if source.secret.is_some() && source.config_map.is_some() {
        errors.forbidden(format!("{path}.configMap"), "cannot specify both Secret and ConfigMap");
    }
    if let Some(selector) = &source.secret {
        key_of(&selector.name, &selector.key, &format!("{path}.secret"), errors);
    }
    if let Some(selector) = &source.config_map {
        key_of(&selector.name, &selector.key, &format!("{path}.configMap"), errors);
    }
}

fn secret(selector: Option<&SecretKeySelector>, path: &str, errors: &mut FieldErrors<'_>) {
    match selector {
        Some(selector) => key_of(&selector.name, &selector.key, path, errors),
        None => errors.required(path, ""),
    }
}

fn key_of(name: &str, key: &str, path: &str, errors: &mut FieldErrors<'_>) {
    for (field, value, grammar, message) in
        [("name", name, &names::SUBDOMAIN, OBJECT_NAME), ("key", key, &names::DATA_KEY, KEY)]
    {
        if value.is_empty() {
            errors.required(format!("{path}.{field}"), "");
        } else {
            errors.follows(format!("{path}.{field}"), value, grammar, message);
        }
    }
}
