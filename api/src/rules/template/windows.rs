//! What a security context has for Windows. The API server judges it on Linux, too.

use k8s_openapi::api::core::v1::WindowsSecurityContextOptions;

use super::super::field_errors::FieldErrors;
use super::labels;
use crate::names;

/// The most bytes of a credential spec, less one.
const SPEC_KIB: usize = 64;
/// Of the domain of a user name, less one, and of the user in it.
const DOMAIN: usize = 256;
const USER: usize = 104;
/// Of a label of DNS, and of a NetBIOS name.
const LABEL: usize = 63;
const NET_BIOS: usize = 15;

pub(super) fn options(options: &WindowsSecurityContextOptions, path: &str, errors: &mut FieldErrors<'_>) {
    let name = options.gmsa_credential_spec_name.as_deref();
    errors.follows(format!("{path}.gmsaCredentialSpecName"), name, &names::SUBDOMAIN, labels::SUBDOMAIN);
    if let Some(spec) = options.gmsa_credential_spec.as_deref() {
        let field = || format!("{path}.gmsaCredentialSpec");
        if spec.is_empty() {
            errors.invalid(field(), spec, "gmsaCredentialSpec cannot be an empty string");
        } else if spec.len() > SPEC_KIB << 10 {
            // The value would fill the whole answer.
            errors.too_long(field(), spec.len(), SPEC_KIB << 10);
        }
    }
    if let Some(name) = options.run_as_user_name.as_deref() {
        for fault in faults_of_user_name(name) {
            errors.invalid(format!("{path}.runAsUserName"), name, &format!("runAsUserName{fault}"));
        }
    }
}

/// `USER`, or `DOMAIN\USER`.
fn faults_of_user_name(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![" cannot be an empty string".to_owned()];
    }
    if name.contains(|letter: char| letter.is_ascii_control()) {
        return vec![" cannot contain control characters".to_owned()];
    }
    let (domain, user) = name.split_once('\\').map_or((None, name), |(domain, user)| (Some(domain), user));
    if user.contains('\\') {
        return vec![" cannot contain more than one backslash".to_owned()];
    }
    let mut faults = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN {
            faults.push(format!("'s Domain length must be under {DOMAIN} characters"));
        }
        if !is_net_bios(domain) && !domain.split('.').all(is_dns_label) {
            faults.push("'s Domain doesn't match the NetBios nor the DNS format".to_owned());
        }
    }
    if user.is_empty() {
        faults.push("'s User cannot be empty".to_owned());
    } else if user.len() > USER {
        faults.push(format!("'s User length must not be longer than {USER} characters"));
    }
    if !user.is_empty() && user.chars().all(|letter| matches!(letter, '.' | ' ')) {
        faults.push("'s User cannot contain only periods or spaces".to_owned());
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        faults.push(r#"'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"#.to_owned());
    }
    faults
}

fn is_net_bios(domain: &str) -> bool {
    let count = domain.chars().count();
    let is_allowed = |letter| !matches!(letter, '\\' | '/' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    (1..=NET_BIOS).contains(&count) && !domain.starts_with('.') && domain.chars().all(is_allowed)
}

fn is_dns_label(label: &str) -> bool {
    let is_end = |end: Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = label.as_bytes();
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    bytes.len() <= LABEL && is_end(bytes.first()) && is_end(bytes.last()) && bytes.iter().all(is_allowed)
}
