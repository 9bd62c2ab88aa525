//! The level `baseline` of the Pod Security Standards. The fields that it shares with [`super::pod`]
//! (host namespaces, hostPath, hostPort, privileged, capabilities) are checked there.

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, HTTPGetAction, LifecycleHandler, PodTemplateSpec, Probe, SELinuxOptions,
    SeccompProfile, TCPSocketAction, WindowsSecurityContextOptions,
};

use super::field_errors::FieldErrors;
use super::pod::{OVERLAY, containers};
use crate::rule_input::RuleInput;
use crate::violation::{Rule, Violation};

/// The profile types of AppArmor and seccomp that are allowed.
const PROFILES: [&str; 2] = ["RuntimeDefault", "Localhost"];
const SE_LINUX_TYPES: [&str; 4] =
    ["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
/// The sysctls that affect only the pod.
const SAFE_SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];
/// Annotations of the time before the fields, which Kubernetes still reads.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_ANNOTATIONS: [&str; 2] =
    ["seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"];

const HOST: &str = "a consumer may not have its node call another host";

/// The pods keep the level `baseline`.
pub(crate) fn pod_keeps_baseline(input: &RuleInput<'_>, violations: &mut Vec<Violation>) {
    let Some(overlay) = input.readable_overlay() else {
        return;
    };
    let mut errors = FieldErrors::new(Rule::PodSecurity, violations);
    annotations(overlay.template(), &mut errors);
    let Some(pod) = &overlay.template().spec else {
        return;
    };
    if let Some(context) = &pod.security_context {
        let path = format!("{OVERLAY}.spec.securityContext");
        app_armor(context.app_armor_profile.as_ref(), &path, &mut errors);
        seccomp(context.seccomp_profile.as_ref(), &path, &mut errors);
        se_linux(context.se_linux_options.as_ref(), &path, &mut errors);
        host_process(context.windows_options.as_ref(), &path, &mut errors);
        for (index, sysctl) in context.sysctls.iter().flatten().enumerate() {
            if !SAFE_SYSCTLS.contains(&sysctl.name.as_str()) {
                let message = format!("{} is not a sysctl that affects only the pod", sysctl.name);
                errors.forbidden(format!("{path}.sysctls[{index}].name"), &message);
            }
        }
    }
    for (path, container) in containers(pod) {
        security_context(container, &path, &mut errors);
        hosts(container, &path, &mut errors);
    }
}

fn security_context(container: &Container, path: &str, errors: &mut FieldErrors<'_>) {
    let Some(context) = &container.security_context else {
        return;
    };
    let path = format!("{path}.securityContext");
    app_armor(context.app_armor_profile.as_ref(), &path, errors);
    seccomp(context.seccomp_profile.as_ref(), &path, errors);
    se_linux(context.se_linux_options.as_ref(), &path, errors);
    host_process(context.windows_options.as_ref(), &path, errors);
    if context.proc_mount.as_deref().is_some_and(|mount| !matches!(mount, "" | "Default")) {
        errors.forbidden(format!("{path}.procMount"), "a consumer may only use the Default /proc mount");
    }
}

fn app_armor(profile: Option<&AppArmorProfile>, path: &str, errors: &mut FieldErrors<'_>) {
    profile_type(profile.map(|profile| &*profile.type_), &format!("{path}.appArmorProfile"), errors);
}

fn seccomp(profile: Option<&SeccompProfile>, path: &str, errors: &mut FieldErrors<'_>) {
    profile_type(profile.map(|profile| &*profile.type_), &format!("{path}.seccompProfile"), errors);
}

fn profile_type(type_: Option<&str>, path: &str, errors: &mut FieldErrors<'_>) {
    if type_.is_some_and(|type_| !PROFILES.contains(&type_)) {
        errors.forbidden(
            format!("{path}.type"),
            &format!("a consumer may only use {}", PROFILES.join(" and ")),
        );
    }
}

fn se_linux(options: Option<&SELinuxOptions>, path: &str, errors: &mut FieldErrors<'_>) {
    let Some(options) = options else {
        return;
    };
    let path = format!("{path}.seLinuxOptions");
    let is_set = |value: &Option<String>| value.as_deref().is_some_and(|value| !value.is_empty());
    let is_other = options.type_.as_deref().is_some_and(|type_| !SE_LINUX_TYPES.contains(&type_));
    if is_set(&options.type_) && is_other {
        let message = format!("a consumer may only use {}", SE_LINUX_TYPES.join(", "));
        errors.forbidden(format!("{path}.type"), &message);
    }
    for (name, value) in [("user", &options.user), ("role", &options.role)] {
        if is_set(value) {
            errors.forbidden(format!("{path}.{name}"), "a consumer may not set it");
        }
    }
}

fn host_process(options: Option<&WindowsSecurityContextOptions>, path: &str, errors: &mut FieldErrors<'_>) {
    if options.is_some_and(|options| options.host_process == Some(true)) {
        let field = format!("{path}.windowsOptions.hostProcess");
        errors.forbidden(field, "a consumer may not run as a process of its node");
    }
}

/// The kubelet sends the requests of probes and hooks from the node.
fn hosts(container: &Container, path: &str, errors: &mut FieldErrors<'_>) {
    let probes = [
        ("livenessProbe", &container.liveness_probe),
        ("readinessProbe", &container.readiness_probe),
        ("startupProbe", &container.startup_probe),
    ];
    for (name, probe) in probes {
        if let Some(Probe { http_get, tcp_socket, .. }) = probe {
            host(http_get.as_ref(), tcp_socket.as_ref(), &format!("{path}.{name}"), errors);
        }
    }
    if let Some(lifecycle) = &container.lifecycle {
        for (name, handler) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            if let Some(LifecycleHandler { http_get, tcp_socket, .. }) = handler {
                host(http_get.as_ref(), tcp_socket.as_ref(), &format!("{path}.lifecycle.{name}"), errors);
            }
        }
    }
}

fn host(
    http_get: Option<&HTTPGetAction>,
    tcp_socket: Option<&TCPSocketAction>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    let hosts = [
        ("httpGet", http_get.and_then(|action| action.host.as_deref())),
        ("tcpSocket", tcp_socket.and_then(|action| action.host.as_deref())),
    ];
    for (action, host) in hosts {
        if host.is_some_and(|host| !host.is_empty()) {
            errors.forbidden(format!("{path}.{action}.host"), HOST);
        }
    }
}

fn annotations(template: &PodTemplateSpec, errors: &mut FieldErrors<'_>) {
    let annotations = template.metadata.iter().flat_map(|metadata| metadata.annotations.iter().flatten());
    for (name, value) in annotations {
        let app_armor = name.starts_with(APP_ARMOR_ANNOTATION)
            && !(matches!(value.as_str(), "" | "runtime/default") || value.starts_with("localhost/"));
        let seccomp =
            SECCOMP_ANNOTATIONS.iter().any(|prefix| name.starts_with(prefix)) && value == "unconfined";
        if app_armor || seccomp {
            let field = format!("{OVERLAY}.metadata.annotations[{name}]");
            errors.forbidden(field, "a consumer may not run unconfined");
        }
    }
}
