//! The registrations, the certificate, and whether the two fit together and answer.

use std::collections::BTreeMap;
use std::time::Duration;

use kcg_api::names;
use kcg_certs::pair::{CHAIN_FILE, KEY_FILE};
use kcg_certs::{Pair, ValidityStatus, VerifyError, verify};

use super::{Answer, Check, Findings, Found, Registration};

const REGISTRATIONS: [&str; 2] = ["mutating registration", "validating registration"];
/// A certificate that ends this soon, with less than a quarter of its life left, should have been renewed: a third is
/// left when its renewal is due.
const SOON: Duration = Duration::from_hours(7 * 24);
const A_DAY: u64 = 24 * 3600;

const AUTHORITY: &str = "write the authority of that certificate into caBundle; self-managed and cert-manager do so within a minute";
const APPLY_OVERLAY: &str = "apply the operator's overlay again";
const ISSUER: &str = "self-managed: the controller's log says why it issues none; cert-manager: kubectl describe certificate -n";

pub(super) fn checks(findings: &Findings) -> Vec<Check> {
    let pair = pair(&findings.secret);
    let mut checks = vec![certificate(findings, &pair)];
    let named = REGISTRATIONS.iter().zip(&findings.registrations);
    checks
        .extend(named.map(|(check, registration)| trust(findings, check, registration, pair.as_ref().ok())));
    checks.extend(answers(findings));
    checks
}

/// The pair in the Secret, or what is wrong with it; `None` where it could not be looked at.
fn pair(secret: &Found<Option<BTreeMap<String, Vec<u8>>>>) -> Result<Pair, Option<String>> {
    let secret = secret.as_ref().map_err(|_| None)?;
    let data = secret.as_ref().ok_or_else(|| Some("there is none".to_owned()))?;
    let entry = |name: &str| data.get(name).ok_or_else(|| Some(format!("it has no {name}")));
    Pair::from_pem(entry(CHAIN_FILE)?, entry(KEY_FILE)?).map_err(|error| Some(error.to_string()))
}

fn life(pair: &Pair) -> Duration {
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
    let days = left.as_secs() / A_DAY;
    if !pair.is_for(&names::webhook_host(&findings.namespace)) {
        return Check::wrong(
            check,
            format!("{secret}: it is not for {}", names::webhook_host(&findings.namespace)),
            cure,
        );
    }
    if left < SOON && left * 4 < life(pair) {
        return Check::wrong(check, format!("{secret}: it ends in {days} days and is not renewed"), cure);
    }
    Check::ok(check, format!("{days} days left"))
}

/// Whether the API server takes the certificate by what a registration trusts.
fn trust(
    findings: &Findings,
    check: &str,
    registration: &Found<Option<Registration>>,
    pair: Option<&Pair>,
) -> Check {
    let registration = match registration {
        Err(why) => return Check::unknown(check, why),
        Ok(None) => {
            return Check::wrong(
                check,
                "there is none: the API server asks the webhook nothing",
                APPLY_OVERLAY,
            );
        }
        Ok(Some(registration)) => registration,
    };
    if registration.bundles.is_empty() {
        return Check::wrong(check, "it names no webhook: the API server asks nothing", APPLY_OVERLAY);
    }
    if registration.bundles.iter().any(Vec::is_empty) {
        let cure = "self-managed: the controller's log says why it writes none; cert-manager: is its cainjector running?; \
                    your own: write your authority into caBundle";
        return Check::wrong(check, "its caBundle is empty", cure);
    }
    let Some(pair) = pair else {
        return Check::note(check, "trusts an authority; there is no certificate to hold against it", "");
    };
    let host = names::webhook_host(&findings.namespace);
    let distrust =
        |when| registration.bundles.iter().find_map(|bundle| verify(pair.chain(), bundle, &host, when).err());
    if let Some(error) = distrust(findings.now) {
        let cure = match error {
            VerifyError::Untrusted | VerifyError::CaOutOfTime | VerifyError::Bundle(_) => {
                AUTHORITY.to_owned()
            }
            _ => reissue(findings),
        };
        return Check::wrong(check, format!("does not trust the certificate in the Secret: {error}"), cure);
    }
    let soon = findings.now + SOON;
    if pair.not_after() > soon && matches!(distrust(soon), Some(VerifyError::CaOutOfTime)) {
        let days = SOON.as_secs() / A_DAY;
        return Check::wrong(
            check,
            format!("the authority that it trusts ends within {days} days"),
            reissue(findings),
        );
    }
    Check::ok(check, "trusts the certificate")
}

/// How a certificate or an authority is issued anew.
fn reissue(findings: &Findings) -> String {
    format!("{ISSUER} {}; your own: bring another", findings.namespace)
}

fn answers(findings: &Findings) -> Vec<Check> {
    let pods = format!("kubectl -n {} get pods, and the logs of the webhook's", findings.namespace);
    let defaults = "webhook /mutate";
    let mutate = match &findings.trial.good {
        Ok(true) => Check::ok(defaults, "fills in what was left out"),
        Ok(false) => Check::wrong(
            defaults,
            "was passed over: groups come in without their defaults, which the controller derives",
            pods.clone(),
        ),
        Err(Answer::Forbidden(why)) => Check::unknown(defaults, why),
        Err(Answer::Refused(why) | Answer::Failed(why)) => {
            Check::wrong(defaults, format!("a good group is refused: {why}"), pods.clone())
        }
    };
    let rules = "webhook /validate";
    let registered = matches!(&findings.registrations[1], Ok(Some(_)));
    let validate = match &findings.trial.bad {
        Err(Answer::Refused(_)) => Check::ok(rules, "refuses a bad group"),
        Err(Answer::Forbidden(why)) => Check::unknown(rules, why),
        Err(Answer::Failed(why)) => Check::wrong(rules, format!("no group can be written: {why}"), pods),
        // With failurePolicy Ignore, a webhook that cannot be asked looks like this.
        Ok(()) if registered => {
            Check::wrong(rules, "a bad group is let in: it was not asked, or could not be", pods)
        }
        Ok(()) => Check::wrong(rules, "a bad group is let in: it was not asked", APPLY_OVERLAY),
    };
    vec![mutate, validate]
}
