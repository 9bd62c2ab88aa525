//! Projected volumes: files of several sources below one path.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, ServiceAccountTokenProjection, VolumeProjection,
};

use super::super::super::field_errors::FieldErrors;
use super::super::linux_id;
use super::files;

const SHORTEST_TOKEN_SECONDS: i64 = 600;
const LONGEST_TOKEN_SECONDS: i64 = 1 << 32;
const SAME_PATH: &str = "conflicting duplicate paths";

/// `path` is that of the volume's source. The sources that need a feature gate of the API server
/// (trust bundles, certificates of pods) are left to it.
pub(super) fn check(projected: &ProjectedVolumeSource, path: &str, errors: &mut FieldErrors<'_>) {
    files::defaults(projected.default_mode, projected.default_user, path, errors);
    let mut paths = HashSet::new();
    for (index, source) in projected.sources.iter().flatten().enumerate() {
        let at = format!("{path}.sources[{index}]");
        let VolumeProjection { secret, config_map, downward_api, service_account_token, .. } = source;
        if let Some(secret) = secret {
            named(&secret.name, secret.items.as_ref(), &format!("{at}.secret"), errors);
            distinct(&secret.name, secret.items.as_ref(), &mut paths, path, errors);
        }
        if let Some(config_map) = config_map {
            named(&config_map.name, config_map.items.as_ref(), &format!("{at}.configMap"), errors);
            distinct(&config_map.name, config_map.items.as_ref(), &mut paths, path, errors);
        }
        if let Some(api) = downward_api {
            files::of_the_pod(api.items.as_ref(), &format!("{at}.downwardAPI"), errors);
            for file in api.items.iter().flatten().filter(|file| !file.path.is_empty()) {
                if !paths.insert(file.path.as_str()) {
                    errors.invalid(path, file.path.as_str(), SAME_PATH);
                }
            }
        }
        if let Some(token) = service_account_token {
            check_token(token, path, &format!("{at}.serviceAccountToken"), errors);
        }
        let is_set = [
            secret.is_some(),
            config_map.is_some(),
            downward_api.is_some(),
            service_account_token.is_some(),
            source.cluster_trust_bundle.is_some(),
            source.pod_certificate.is_some(),
        ];
        if is_set.into_iter().filter(|is_set| *is_set).count() > 1 {
            errors.forbidden(at, "may not specify more than 1 volume type per source");
        }
    }
}

fn named(name: &str, items: Option<&Vec<KeyToPath>>, path: &str, errors: &mut FieldErrors<'_>) {
    if name.is_empty() {
        errors.required(format!("{path}.name"), "");
    }
    files::keys(items, path, errors);
}

/// Each path is one file. The API server names the object of the second.
fn distinct<'a>(
    name: &str,
    items: Option<&'a Vec<KeyToPath>>,
    paths: &mut HashSet<&'a str>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    for item in items.into_iter().flatten().filter(|item| !item.path.is_empty()) {
        if !paths.insert(item.path.as_str()) {
            errors.invalid(path, name, SAME_PATH);
        }
    }
}

/// The API server leaves the source out of the path of a token's file.
fn check_token(
    token: &ServiceAccountTokenProjection,
    volume: &str,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let field = format!("{path}.expirationSeconds");
    match token.expiration_seconds {
        Some(seconds) if seconds < SHORTEST_TOKEN_SECONDS => {
            errors.invalid(field, seconds, "may not specify a duration less than 10 minutes");
        }
        Some(seconds) if seconds > LONGEST_TOKEN_SECONDS => {
            errors.invalid(field, seconds, "may not specify a duration larger than 2^32 seconds");
        }
        _ => {}
    }
    let field = format!("{volume}.path");
    if token.path.is_empty() {
        errors.required(field, "");
    } else {
        files::below_the_volume(&token.path, &field, errors);
    }
    linux_id(token.user, format!("{path}.user"), errors);
}
