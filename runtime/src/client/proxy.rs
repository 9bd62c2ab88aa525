//! The proxy through which a cluster is reached, chosen as client-go chooses it.
//!
//! kube's client compares NO_PROXY with the proxy's address instead of the API server's, and has no
//! exception for loopback addresses.

use std::net::IpAddr;

use http::{Uri, uri::InvalidUri};
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::Kubeconfig;

/// The `proxy-url` of a context's cluster; without a context, of the current one's.
pub(super) fn proxy_url(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|url| !url.is_empty())
}

/// The proxy for an API server: the `proxy-url`, if there is one. Otherwise the proxy of the
/// environment, except for loopback addresses and for what NO_PROXY lists.
pub(super) fn proxy(
    server: &Uri,
    proxy_url: Option<String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, InvalidUri> {
    let either = |upper: &str| {
        let found = variable(upper).or_else(|| variable(&upper.to_lowercase()));
        found.filter(|value| !value.is_empty())
    };
    let of_environment = || {
        let named = either(if server.scheme_str() == Some("http") { "HTTP_PROXY" } else { "HTTPS_PROXY" })?;
        let excluded =
            Matcher::builder().all("http://proxy").no(either("NO_PROXY").unwrap_or_default()).build();
        (!is_loopback(server) && excluded.intercept(server).is_some()).then_some(named)
    };
    let Some(proxy) = proxy_url.or_else(of_environment) else { return Ok(None) };
    let proxy = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    proxy.parse().map(Some)
}

fn is_loopback(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, proxy_url: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        };
        let proxy = proxy(&server.parse().unwrap(), proxy_url.map(str::to_owned), variable).unwrap();
        proxy.map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_proxy_of_the_environment_is_used_except_for_loopback_and_what_no_proxy_lists() {
        for (server, no_proxy, is_proxied) in [
            ("https://api.corp.example:6443", "", true),
            ("https://api.corp.example:6443", ".corp.example", false),
            ("https://api.corp.example:6443", "corp.example", false),
            ("https://api.corp.example:6443", "other.example,*", false),
            ("https://10.0.0.5:6443", "10.0.0.5", false),
            ("https://10.0.0.5:6443", "10.0.0.0/8", false),
            ("https://10.0.0.5:6443", "proxy.corp.example", true),
            ("https://127.0.0.1:6443", "", false),
            ("https://localhost:6443", "", false),
            ("https://[::1]:6443", "", false),
        ] {
            let variables = [("HTTPS_PROXY", "http://proxy.corp.example:3128"), ("NO_PROXY", no_proxy)];
            let proxy = chosen(server, None, &variables);
            assert_eq!(proxy.is_some(), is_proxied, "{server} with NO_PROXY={no_proxy}: {proxy:?}");
        }
    }

    #[test]
    fn the_proxy_url_of_the_kubeconfig_comes_first_and_no_proxy_does_not_concern_it() {
        let variables = [("https_proxy", "http://other:1"), ("no_proxy", "*")];
        let proxy = chosen("https://127.0.0.1:6443", Some("http://proxy:3128"), &variables);
        assert_eq!(proxy.as_deref(), Some("http://proxy:3128/"));
    }

    #[test]
    fn a_proxy_without_a_scheme_speaks_http() {
        let proxy = chosen("https://api:6443", None, &[("https_proxy", "proxy:3128")]);
        assert_eq!(proxy.as_deref(), Some("http://proxy:3128/"));
        assert_eq!(chosen("https://api:6443", None, &[("HTTP_PROXY", "proxy:3128")]), None);
    }
}
