//! The registrations, the certificate, and whether the two fit together and answer.

use std::collections::BTreeMap;
use std::time::Duration;

use kcg_api::names;
use kcg_certs::pair::{CHAIN_FILE, KEY_FILE};
use kcg_certs::{Pair, Standing, verify};

use super::{Check, Findings, Found, Registration};

const REGISTRATIONS: [&str; 2] = ["mutating registration", "validating registration"];
/// A certificate that ends this soon, with less than a quarter of its life left, should have been renewed: a third is
/// left when its renewal is due.
const SOON: Duration = Duration::from_hours(7 * 24);
const A_DAY: u64 = 24 * 3600;

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
    let cure = format!("{ISSUER} {}; your own: bring another", findings.namespace);
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
    if pair.standing(findings.now) == Standing::NotYetValid {
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
    let distrust = registration
        .bundles
        .iter()
        .find_map(|bundle| verify(pair.chain(), bundle, &host, findings.now).err());
    match distrust {
        None => Check::ok(check, "trusts the certificate"),
        Some(error) => Check::wrong(
            check,
            format!("does not trust the certificate in the Secret: {error}"),
            "write the authority of that certificate into caBundle; self-managed and cert-manager do so within a minute",
        ),
    }
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
        Err(answer) => {
            Check::wrong(defaults, format!("a good group is refused: {}", answer.message), pods.clone())
        }
    };
    let rules = "webhook /validate";
    let validate = match &findings.trial.bad {
        Err(answer) if answer.refused => Check::ok(rules, "refuses a bad group"),
        Err(answer) => Check::wrong(rules, format!("no group can be written: {}", answer.message), pods),
        Ok(()) => Check::wrong(rules, "was not asked: a bad group is let in", APPLY_OVERLAY),
    };
    vec![mutate, validate]
}
