//! The security contexts of the pod and its containers. The profiles that no consumer may have are
//! refused by `pod_security`.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, PodSecurityContext, SeccompProfile, SecurityContext, Sysctl,
    WindowsSecurityContextOptions,
};

use super::super::field_errors::FieldErrors;
use super::linux_id;
use super::volume::descending;
use super::windows;

const LOCALHOST: &str = "Localhost";
const APP_ARMOR: &str = "must be set when AppArmor type is Localhost";

pub(super) fn of_pod(context: &PodSecurityContext, path: &str, errors: &mut FieldErrors<'_>) {
    let ids = [
        ("fsGroup", context.fs_group),
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
    ];
    for (name, id) in ids {
        linux_id(id, format!("{path}.{name}"), errors);
    }
    for (index, group) in context.supplemental_groups.iter().flatten().enumerate() {
        linux_id(Some(*group), format!("{path}.supplementalGroups[{index}]"), errors);
    }
    let choices = [
        ("fsGroupChangePolicy", &context.fs_group_change_policy, ["Always", "OnRootMismatch"]),
        ("supplementalGroupsPolicy", &context.supplemental_groups_policy, ["Merge", "Strict"]),
        ("seLinuxChangePolicy", &context.se_linux_change_policy, ["MountOption", "Recursive"]),
    ];
    for (name, choice, supported) in choices {
        errors.one_of(format!("{path}.{name}"), choice.as_deref(), &supported);
    }
    seccomp(context.seccomp_profile.as_ref(), path, errors);
    app_armor(context.app_armor_profile.as_ref(), path, errors);
    sysctls(context.sysctls.as_deref().unwrap_or_default(), path, errors);
    windows_options(context.windows_options.as_ref(), path, errors);
}

pub(super) fn of_container(context: &SecurityContext, path: &str, errors: &mut FieldErrors<'_>) {
    linux_id(context.run_as_user, format!("{path}.runAsUser"), errors);
    linux_id(context.run_as_group, format!("{path}.runAsGroup"), errors);
    seccomp(context.seccomp_profile.as_ref(), path, errors);
    app_armor(context.app_armor_profile.as_ref(), path, errors);
    windows_options(context.windows_options.as_ref(), path, errors);
}

fn windows_options(
    options: Option<&WindowsSecurityContextOptions>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    if let Some(options) = options {
        windows::options(options, &format!("{path}.windowsOptions"), errors);
    }
}

fn seccomp(profile: Option<&SeccompProfile>, path: &str, errors: &mut FieldErrors<'_>) {
    let Some(profile) = profile.filter(|profile| profile.type_ == LOCALHOST) else {
        return;
    };
    let field = format!("{path}.seccompProfile.localhostProfile");
    match profile.localhost_profile.as_deref() {
        None => errors.required(field, "must be set when seccomp type is Localhost"),
        Some(file) => descending(file, &field, errors),
    }
}

fn app_armor(profile: Option<&AppArmorProfile>, path: &str, errors: &mut FieldErrors<'_>) {
    let Some(profile) = profile else {
        return;
    };
    let field = format!("{path}.appArmorProfile.localhostProfile");
    match profile.localhost_profile.as_deref() {
        Some(name) if profile.type_ != LOCALHOST => {
            errors.invalid(field, name, "can only be set when AppArmor type is Localhost");
        }
        None | Some("") if profile.type_ == LOCALHOST => errors.required(field, APP_ARMOR),
        Some(name) if name.trim().len() != name.len() => {
            errors.invalid(field, name, "must not be padded with whitespace");
        }
        _ => {}
    }
}

fn sysctls(sysctls: &[Sysctl], path: &str, errors: &mut FieldErrors<'_>) {
    let mut names = HashSet::new();
    for (index, sysctl) in sysctls.iter().enumerate() {
        if !names.insert(sysctl.name.as_str()) {
            errors.duplicate(format!("{path}.sysctls[{index}].name"), sysctl.name.as_str());
        }
    }
}
