//! Names and addresses of the pod: its host name, its DNS, and its additions to /etc/hosts.

use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};

use super::super::field_errors::FieldErrors;
use super::{dns_label, labels};
use crate::names;

const POLICIES: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARACTERS: usize = 2048;
const MAX_HOST_NAME: usize = 64;
const ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const SEARCH: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";

pub(super) fn check(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    for (field, name) in [("hostname", &pod.hostname), ("subdomain", &pod.subdomain)] {
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
            dns_label(name, format!("{path}.{field}"), errors);
        }
    }
    if let Some(name) = pod.hostname_override.as_deref() {
        let field = format!("{path}.hostnameOverride");
        if pod.set_hostname_as_fqdn == Some(true) {
            errors.forbidden(field.as_str(), "may not be specified when setHostnameAsFQDN is true");
        }
        if name.len() > MAX_HOST_NAME {
            errors.too_long(field.as_str(), name.len(), MAX_HOST_NAME);
        }
        errors.follows(field, name, &names::SUBDOMAIN, labels::SUBDOMAIN);
    }
    host_aliases(pod, &format!("{path}.hostAliases"), errors);
    errors.one_of(format!("{path}.dnsPolicy"), pod.dns_policy.as_deref(), &POLICIES);
    let is_own = pod.dns_policy.as_deref() == Some("None");
    dns(pod.dns_config.as_ref(), is_own, &format!("{path}.dnsConfig"), errors);
}

/// Two aliases of one address are refused: the API server stores them on creation, and then refuses
/// each server-side apply.
fn host_aliases(pod: &PodSpec, path: &str, errors: &mut FieldErrors<'_>) {
    let aliases = pod.host_aliases.as_deref().unwrap_or_default();
    errors.distinct(path, "ip", aliases.iter().map(|alias| alias.ip.as_str()));
    for (index, alias) in aliases.iter().enumerate() {
        address(&alias.ip, format!("{path}[{index}].ip"), errors);
        for (at, name) in alias.hostnames.iter().flatten().enumerate() {
            let field = format!("{path}[{index}].hostnames[{at}]");
            errors.follows(field, name.as_str(), &names::SUBDOMAIN, labels::SUBDOMAIN);
        }
    }
}

/// `is_own`: the pod has no other DNS than this.
fn dns(config: Option<&PodDNSConfig>, is_own: bool, path: &str, errors: &mut FieldErrors<'_>) {
    let Some(config) = config else {
        if is_own {
            errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        return;
    };
    let servers = config.nameservers.as_deref().unwrap_or_default();
    let at_servers = format!("{path}.nameservers");
    if is_own && servers.is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        return errors.required(at_servers, detail);
    }
    if servers.len() > MAX_NAMESERVERS {
        let detail = format!("must not have more than {MAX_NAMESERVERS} nameservers");
        errors.invalid(at_servers.as_str(), servers, &detail);
    }
    for (index, server) in servers.iter().enumerate() {
        address(server, format!("{at_servers}[{index}]"), errors);
    }
    searches(config.searches.as_deref().unwrap_or_default(), &format!("{path}.searches"), errors);
    for (index, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().is_none_or(str::is_empty) {
            errors.required(format!("{path}.options[{index}]"), "must not be empty");
        }
    }
}

fn searches(searches: &[String], path: &str, errors: &mut FieldErrors<'_>) {
    if searches.len() > MAX_SEARCHES {
        let detail = format!("must not have more than {MAX_SEARCHES} search paths");
        errors.invalid(path, searches, &detail);
    }
    if searches.join(" ").len() > MAX_SEARCH_CHARACTERS {
        let detail = format!(
            "must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        );
        errors.invalid(path, searches, &detail);
    }
    for (index, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        errors.follows(format!("{path}[{index}]"), search, &names::SEARCH_DOMAIN, SEARCH);
    }
}

/// Older API servers take leading zeros in an IPv4 address, and newer ones refuse them.
fn address(text: &str, field: String, errors: &mut FieldErrors<'_>) {
    let is_padded = || {
        let parts = text.split('.').map(|part| part.parse::<u8>().is_ok() && !part.starts_with('+'));
        parts.clone().count() == Ipv4Addr::LOCALHOST.octets().len() && parts.into_iter().all(|is| is)
    };
    if text.parse::<IpAddr>().is_err() && !is_padded() {
        errors.invalid(field, text, ADDRESS);
    }
}
