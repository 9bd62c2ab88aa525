//! Probes and lifecycle hooks.

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::field_errors::FieldErrors;
use super::container::port_name;
use crate::messages::NOT_NEGATIVE;
use crate::names;

const HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const ONE_HANDLER: &str = "may not specify more than 1 handler type";

/// The action of a probe or a hook.
#[derive(Default)]
struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

/// `grace_seconds` is how long a pod has to end.
pub(super) fn check(container: &Container, grace_seconds: i64, path: &str, errors: &mut FieldErrors<'_>) {
    if let Some(lifecycle) = &container.lifecycle {
        for (name, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            if let Some(LifecycleHandler { exec, http_get, tcp_socket, sleep }) = hook {
                let handler = Handler {
                    exec: exec.as_ref(),
                    http_get: http_get.as_ref(),
                    tcp_socket: tcp_socket.as_ref(),
                    sleep: sleep.as_ref(),
                    ..Handler::default()
                };
                let path = format!("{path}.lifecycle.{name}");
                handler.check(&path, errors);
                if let Some(sleep) =
                    sleep.as_ref().filter(|sleep| !(0..=grace_seconds).contains(&sleep.seconds))
                {
                    let detail = format!(
                        "must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
                    );
                    errors.invalid(format!("{path}.sleep"), sleep.seconds, &detail);
                }
            }
        }
    }
    for (name, probe) in probes(container) {
        if let Some(written) = probe {
            check_probe(written, name, &format!("{path}.{name}"), errors);
        }
    }
}

/// An init container that does not restart ends before a probe could ask it.
pub(super) fn forbidden(container: &Container, path: &str, errors: &mut FieldErrors<'_>) {
    let lifecycle = ("lifecycle", container.lifecycle.is_some());
    let probes = probes(container).map(|(name, probe)| (name, probe.is_some()));
    for (name, is_set) in std::iter::once(lifecycle).chain(probes) {
        if is_set {
            let message = "may not be set for init containers without restartPolicy=Always";
            errors.forbidden(format!("{path}.{name}"), message);
        }
    }
}

fn probes(container: &Container) -> [(&'static str, Option<&Probe>); 3] {
    [
        ("livenessProbe", container.liveness_probe.as_ref()),
        ("readinessProbe", container.readiness_probe.as_ref()),
        ("startupProbe", container.startup_probe.as_ref()),
    ]
}

fn check_probe(probe: &Probe, name: &str, path: &str, errors: &mut FieldErrors<'_>) {
    let handler = Handler {
        exec: probe.exec.as_ref(),
        http_get: probe.http_get.as_ref(),
        tcp_socket: probe.tcp_socket.as_ref(),
        grpc: probe.grpc.as_ref(),
        ..Handler::default()
    };
    handler.check(path, errors);
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (field, number) in numbers {
        if let Some(number) = number.filter(|number| *number < 0) {
            errors.invalid(format!("{path}.{field}"), number, NOT_NEGATIVE);
        }
    }
    let is_readiness = name == "readinessProbe";
    // The API server takes 0 for its default.
    let threshold = probe.success_threshold.filter(|threshold| !matches!(threshold, 0 | 1));
    if let Some(threshold) = threshold.filter(|_| !is_readiness) {
        errors.invalid(format!("{path}.successThreshold"), threshold, "must be 1");
    }
    if let Some(seconds) = probe.termination_grace_period_seconds {
        let field = format!("{path}.terminationGracePeriodSeconds");
        if is_readiness {
            errors.invalid(field, seconds, "must not be set for readinessProbes");
        } else if seconds <= 0 {
            errors.invalid(field, seconds, "must be greater than 0");
        }
    }
}

impl Handler<'_> {
    fn check(&self, path: &str, errors: &mut FieldErrors<'_>) {
        let handlers = [
            ("exec", self.exec.is_some()),
            ("httpGet", self.http_get.is_some()),
            ("tcpSocket", self.tcp_socket.is_some()),
            ("grpc", self.grpc.is_some()),
            ("sleep", self.sleep.is_some()),
        ];
        let mut set = handlers.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name);
        if set.next().is_none() {
            errors.required(path, "must specify a handler type");
        }
        set.for_each(|second| errors.forbidden(format!("{path}.{second}"), ONE_HANDLER));
        if self.exec.is_some_and(|exec| exec.command.as_ref().is_none_or(Vec::is_empty)) {
            errors.required(format!("{path}.exec.command"), "");
        }
        if let Some(http_get) = self.http_get {
            check_http_get(http_get, &format!("{path}.httpGet"), errors);
        }
        if let Some(tcp_socket) = self.tcp_socket {
            port(&tcp_socket.port, format!("{path}.tcpSocket.port"), errors);
        }
        if let Some(grpc) = self.grpc {
            port(&IntOrString::Int(grpc.port), format!("{path}.grpc.port"), errors);
        }
    }
}

fn check_http_get(http_get: &HTTPGetAction, path: &str, errors: &mut FieldErrors<'_>) {
    port(&http_get.port, format!("{path}.port"), errors);
    errors.one_of(format!("{path}.scheme"), http_get.scheme.as_deref(), &["HTTP", "HTTPS"]);
    for header in http_get.http_headers.iter().flatten() {
        errors.follows(format!("{path}.httpHeaders"), header.name.as_str(), &names::HTTP_HEADER, HEADER);
    }
}

fn port(port: &IntOrString, field: String, errors: &mut FieldErrors<'_>) {
    match port {
        IntOrString::Int(1..=65535) => {}
        IntOrString::Int(number) => errors.invalid(field, *number, "must be between 1 and 65535, inclusive"),
        IntOrString::String(name) => {
            for message in port_name(name) {
                errors.invalid(field.as_str(), name.as_str(), message);
            }
        }
    }
}
