//! Checks of the webhook's certificate, the CA bundles of both webhook configurations, and the
//! webhook's responses.

use std::collections::BTreeMap;
use std::time::Duration;

use kcg_api::names;
use kcg_certs::pair::{CHAIN_FILE, KEY_FILE};
use kcg_certs::{Pair, ValidityStatus, VerifyError, verify};

use super::Check;
use super::findings::{ConfigurationFinding, DryRunError, Findings, Found};

const WEBHOOK_CONFIGURATIONS: [&str; 2] = ["mutating configuration", "validating configuration"];
/// A certificate that expires this soon and has less than a quarter of its lifetime left should
/// have been renewed: the renewal is due when a third is left.
const SOON: Duration = Duration::from_hours(7 * 24);
const SECONDS_PER_DAY: u64 = 24 * 3600;

const WRITE_CA: &str =
    "write the CA of that certificate into caBundle; self-managed and cert-manager do so within a minute";

pub(super) fn checks(findings: &Findings) -> Vec<Check> {
    let pair = pair(&findings.secret);
    let mut checks = vec![certificate(findings, &pair)];
    let configurations = WEBHOOK_CONFIGURATIONS.iter().zip(&findings.configurations);
    checks.extend(configurations.map(|(check, found)| {
        match found {
            Err(why) => Check::unknown(*check, why),
            Ok(found) => unwritten(findings, check, found)
                .unwrap_or_else(|| trust(findings, check, found, pair.as_ref().ok())),
        }
    }));
    checks.extend(responses(findings));
    checks
}

/// The certificate with its key in the Secret, or what is wrong with it; `None` if the Secret could
/// not be read.
fn pair(secret: &Found<Option<BTreeMap<String, Vec<u8>>>>) -> Result<Pair, Option<String>> {
    let secret = secret.as_ref().map_err(|_| None)?;
    let data = secret.as_ref().ok_or_else(|| Some("it does not exist".to_owned()))?;
    let entry = |name: &str| data.get(name).ok_or_else(|| Some(format!("it has no {name}")));
    Pair::from_pem(entry(CHAIN_FILE)?, entry(KEY_FILE)?).map_err(|error| Some(error.to_string()))
}

fn lifetime(pair: &Pair) -> Duration {
    pair.not_after().duration_since(pair.not_before()).unwrap_or_default()
}

fn certificate(findings: &Findings, pair: &Result<Pair, Option<String>>) -> Check {
    let check = "certificate";
    let secret = format!("Secret {}/{}", findings.namespace, names::CERTIFICATE_SECRET);
    let cure = reissue(findings);
    let pair = match (pair, &findings.secret) {
        (Ok(pair), _) => pair,
        (Err(_), Err(why)) => return Check::unknown(check, why),
        (Err(wrong), _) => {
            let wrong = wrong.as_deref().unwrap_or_default();
            return Check::wrong(check, format!("{secret}: {wrong}"), cure);
        }
    };
    let Ok(left) = pair.not_after().duration_since(findings.now) else {
        return Check::wrong(check, format!("{secret}: it has expired"), cure);
    };
    if pair.validity_status(findings.now) == ValidityStatus::NotYetValid {
        return Check::wrong(check, format!("{secret}: it is not valid yet"), cure);
    }
    let days = left.as_secs() / SECONDS_PER_DAY;
    if !pair.is_for(&names::webhook_host(&findings.namespace)) {
        return Check::wrong(
            check,
            format!("{secret}: it is not valid for {}", names::webhook_host(&findings.namespace)),
            cure,
        );
    }
    if left < SOON && left * 4 < lifetime(pair) {
        return Check::wrong(check, format!("{secret}: it expires in {days} days and was not renewed"), cure);
    }
    Check::ok(check, format!("{days} days left"))
}

/// Whether the API server accepts the certificate with the CA bundle of a webhook configuration.
fn trust(
    findings: &Findings,
    check: &str,
    configurations: &[ConfigurationFinding],
    pair: Option<&Pair>,
) -> Check {
    let missing = if configurations.is_empty() { "it does not exist" } else { "it has no webhooks" };
    let bundles: Vec<&[u8]> =
        configurations.iter().flat_map(|found| &found.bundles).map(Vec::as_slice).collect();
    if bundles.is_empty() {
        let found = format!("{missing}: the API server does not call the webhook");
        return Check::wrong(check, found, findings.installer.apply());
    }
    if let Some(empty) = configurations.iter().find(|found| found.bundles.iter().any(Vec::is_empty)) {
        return Check::wrong(check, "its caBundle is empty", write_bundle(findings, empty));
    }
    let Some(pair) = pair else {
        return Check::note(check, "it trusts a CA; there is no certificate to verify", "");
    };
    let host = names::webhook_host(&findings.namespace);
    let verification_error =
        |when| bundles.iter().find_map(|bundle| verify(pair.chain(), bundle, &host, when).err());
    if let Some(error) = verification_error(findings.now) {
        let cure = match error {
            VerifyError::Untrusted | VerifyError::CaOutOfTime | VerifyError::Bundle(_) => WRITE_CA.to_owned(),
            _ => reissue(findings),
        };
        return Check::wrong(
            check,
            format!("it does not trust the certificate in the Secret: {error}"),
            cure,
        );
    }
    let soon = findings.now + SOON;
    if pair.not_after() > soon && matches!(verification_error(soon), Some(VerifyError::CaOutOfTime)) {
        let days = SOON.as_secs() / SECONDS_PER_DAY;
        let found = format!("the CA that it trusts expires within {days} days");
        return Check::wrong(check, found, reissue(findings));
    }
    Check::ok(check, "it trusts the certificate")
}

/// Who writes an empty CA bundle, and why it may not have happened.
fn write_bundle(findings: &Findings, configuration: &ConfigurationFinding) -> String {
    let certificate = match (&configuration.injected_from, &findings.written_configuration) {
        (Some(certificate), _) => certificate,
        (None, Some(_)) => return "the controller writes caBundle: its log gives the reason".to_owned(),
        (None, None) => return "write your CA into caBundle".to_owned(),
    };
    let namespace = &findings.namespace;
    if certificate.split('/').next() == Some(namespace) {
        return format!(
            "cert-manager writes caBundle from Certificate {certificate}: check that its cainjector runs, and \
             kubectl describe certificate -n {namespace}"
        );
    }
    format!(
        "its annotation cert-manager.io/inject-ca-from names Certificate {certificate}, which is not in namespace \
         {namespace}: {}",
        findings.installer.follow_namespace()
    )
}

/// The cure if the API server got no answer in time: on private clusters a firewall is between it and
/// the pods.
fn unreachable(why: &str) -> Option<String> {
    let is_timeout =
        ["deadline exceeded", "i/o timeout", "Client.Timeout"].iter().any(|text| why.contains(text));
    is_timeout.then(|| {
        "check that the webhook's pods run, and allow TCP from the control plane to the port of their container \
         `webhook` (8443): firewall rules, security groups, NetworkPolicies; or let it serve another port (Helm: \
         webhook.port) or the nodes' network (webhook.hostNetwork)"
            .to_owned()
    })
}

/// A webhook configuration whose CA bundle the controller does not write, because it has another
/// name.
fn unwritten(findings: &Findings, check: &str, found: &[ConfigurationFinding]) -> Option<Check> {
    let written = findings.written_configuration.as_ref()?;
    let other = &found.iter().find(|configuration| configuration.name != *written)?.name;
    let found = format!("it is named {other}, but the controller writes the CA bundle of {written}");
    let cure = format!(
        "delete {other}, or set WEBHOOK_CONFIGURATION_NAME of the controller to {other}; if it was applied last, {}",
        findings.installer.follow_namespace()
    );
    Some(Check::wrong(check, found, cure))
}

/// How to reissue the certificate or its CA.
fn reissue(findings: &Findings) -> String {
    format!(
        "self-managed: the controller's log gives the reason; cert-manager: kubectl describe certificate -n {}; \
         your own: replace it",
        findings.namespace
    )
}

fn responses(findings: &Findings) -> Vec<Check> {
    let pods = format!("kubectl -n {} get pods, and the logs of the webhook", findings.namespace);
    let defaults = "webhook /mutate";
    let mutate = match &findings.dry_run.valid {
        Ok(true) => Check::ok(defaults, "it fills in the defaults"),
        Ok(false) => Check::wrong(
            defaults,
            "it was not called: groups are stored without their defaults, which the controller derives",
            pods.clone(),
        ),
        Err(DryRunError::Forbidden(why)) => Check::unknown(defaults, why),
        Err(DryRunError::Rejected(why) | DryRunError::Failed(why)) => {
            Check::wrong(defaults, format!("a valid group is rejected: {why}"), pods.clone())
        }
    };
    let rules = "webhook /validate";
    let is_configured = findings.configurations[1].as_ref().is_ok_and(|found| !found.is_empty());
    let validate = match &findings.dry_run.invalid {
        Err(DryRunError::Rejected(_)) => Check::ok(rules, "it rejects an invalid group"),
        Err(DryRunError::Forbidden(why)) => Check::unknown(rules, why),
        Err(DryRunError::Failed(why)) => {
            Check::wrong(rules, format!("no group can be created: {why}"), unreachable(why).unwrap_or(pods))
        }
        // With failurePolicy Ignore, this is also the result if the webhook cannot be called.
        Ok(()) if is_configured => {
            let found = "an invalid group is accepted: the webhook was not called, or the call failed";
            Check::wrong(rules, found, pods)
        }
        Ok(()) => {
            let found = "an invalid group is accepted: the webhook was not called";
            Check::wrong(rules, found, findings.installer.apply())
        }
    };
    vec![mutate, validate]
}
