//! The flags with which a process of the operator runs, as its Deployment sets them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvVar};
use kcg_api::names;

/// A flag, and the variable that sets it if the command line does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) variable: &'static str,
}

const fn flag(name: &'static str, variable: &'static str) -> Flag {
    Flag { name, variable }
}

const NAMESPACES: Flag = flag("namespaces", "KCG_NAMESPACES");
const TOPIC_NAMESPACES: Flag = flag("topic-namespaces", "KCG_TOPIC_NAMESPACES");
const CERTIFICATE_MODE: Flag = flag("certificate-mode", "KCG_CERTIFICATE_MODE");
/// The earlier name, of an installation that is not upgraded yet.
const CERTIFICATES: Flag = flag("certificates", "");
const WEBHOOK_CONFIGURATION: Flag = flag("webhook-configuration-name", "WEBHOOK_CONFIGURATION_NAME");
const LEADER_ELECT: Flag = flag("leader-elect", "KCG_LEADER_ELECT");
const POD_NAMESPACE: Flag = flag("pod-namespace", "POD_NAMESPACE");
const LEASE_NAMESPACE: Flag = flag("leader-elect-resource-namespace", "KCG_LEADER_ELECT_RESOURCE_NAMESPACE");
const LEASE_NAME: Flag = flag("leader-elect-resource-name", "KCG_LEADER_ELECT_RESOURCE_NAME");
const DEFAULTS: Flag = flag("defaults", "KCG_DEFAULTS");
const METRICS_ADDRESS: Flag = flag("metrics-bind-address", "KCG_METRICS_BIND_ADDRESS");

/// The flags of the controller that doctor reads.
#[cfg(test)]
pub(crate) const READ: [Flag; 10] = [
    NAMESPACES,
    TOPIC_NAMESPACES,
    CERTIFICATE_MODE,
    WEBHOOK_CONFIGURATION,
    LEADER_ELECT,
    POD_NAMESPACE,
    LEASE_NAMESPACE,
    LEASE_NAME,
    DEFAULTS,
    METRICS_ADDRESS,
];

/// The command line and the variables of a process. Without a Deployment there are none: then the
/// defaults apply, which are those of the shipped installation.
///
/// A variable whose value is in a ConfigMap or a Secret counts as not set.
#[derive(Debug, Default)]
pub(super) struct Flags {
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    /// The operator's namespace.
    namespace: String,
}

impl Flags {
    pub(super) fn of(deployment: Option<&Deployment>, process: &str, namespace: &str) -> Self {
        let pod = deployment.and_then(|deployment| deployment.spec.template.spec.as_ref());
        let containers = pod.map_or(&[][..], |pod| &pod.containers);
        let named = containers.iter().find(|container| container.name == process);
        let empty = Container::default();
        let container = named.or_else(|| containers.first()).unwrap_or(&empty);
        let variables = container.env.iter().flatten();
        let variables: BTreeMap<String, String> = variables
            .filter_map(|variable| Some((variable.name.clone(), value_of(variable, namespace)?)))
            .collect();
        let expand = |argument: &String| {
            variables.iter().fold(argument.clone(), |argument, (name, value)| {
                argument.replace(&format!("$({name})"), value)
            })
        };
        let arguments = [&container.command, &container.args].into_iter().flatten().flatten();
        Self { arguments: arguments.map(expand).collect(), namespace: namespace.to_owned(), variables }
    }

    /// The values that a flag has on the command line, or else that of its variable.
    fn values(&self, flag: Flag) -> Vec<&str> {
        let mut values = Vec::new();
        let mut arguments = self.arguments.iter().map(String::as_str).peekable();
        while let Some(argument) = arguments.next() {
            let Some(rest) = argument.strip_prefix("--").and_then(|name| name.strip_prefix(flag.name)) else {
                continue;
            };
            match rest.strip_prefix('=') {
                Some(value) => values.push(value),
                None if rest.is_empty() => {
                    values.push(arguments.next_if(|next| !next.starts_with("--")).unwrap_or_default());
                }
                // Another flag that starts with the same letters.
                None => {}
            }
        }
        if values.is_empty() {
            self.variables.get(flag.variable).map(String::as_str).into_iter().collect()
        } else {
            values
        }
    }

    /// The last value, if it is not empty.
    fn value(&self, flag: Flag) -> Option<&str> {
        self.values(flag).pop().filter(|value| !value.is_empty())
    }

    /// The items of a list.
    fn items(&self, flag: Flag) -> impl Iterator<Item = &str> {
        let items = self.values(flag).into_iter().flat_map(|value| value.split(','));
        items.filter(|item| !item.is_empty())
    }

    /// The items of a list of namespaces, without `*`.
    fn list(&self, flag: Flag) -> Vec<String> {
        self.items(flag).filter(|item| *item != "*").map(str::to_owned).collect()
    }

    /// The flags that both processes have to have with the same value, and do not.
    pub(super) fn differences(controller: &Self, webhook: &Self) -> Vec<String> {
        let shown = |flags: &Self, flag| {
            let items: BTreeSet<&str> = flags.items(flag).collect();
            if items.is_empty() {
                "not set".to_owned()
            } else {
                items.into_iter().collect::<Vec<_>>().join(",")
            }
        };
        let difference = |flag: Flag| {
            let (one, other) = (shown(controller, flag), shown(webhook, flag));
            (one != other)
                .then(|| format!("--{} of the controller is {one}, of the webhook {other}", flag.name))
        };
        [NAMESPACES, TOPIC_NAMESPACES].into_iter().filter_map(difference).collect()
    }

    /// The watched namespaces; empty: all.
    pub(super) fn namespaces(&self) -> Vec<String> {
        self.list(NAMESPACES)
    }

    pub(super) fn topic_namespaces(&self) -> Vec<String> {
        self.list(TOPIC_NAMESPACES)
    }

    pub(super) fn has_defaults_file(&self) -> bool {
        self.value(DEFAULTS).is_some()
    }

    /// Without a value, the flag means true, as the default does.
    pub(super) fn elects_a_leader(&self) -> bool {
        self.value(LEADER_ELECT) != Some("false")
    }

    /// The namespace and the name of the Lease.
    pub(super) fn lease(&self) -> (&str, &str) {
        (
            self.value(LEASE_NAMESPACE).unwrap_or_else(|| self.pod_namespace()),
            self.value(LEASE_NAME).unwrap_or(names::LEASE),
        )
    }

    /// The namespace that the process takes for its own.
    fn pod_namespace(&self) -> &str {
        self.value(POD_NAMESPACE).unwrap_or(&self.namespace)
    }

    /// The name of the webhook configurations. Without a flag it is the namespace of the pod.
    pub(super) fn webhook_configuration(&self) -> &str {
        self.value(WEBHOOK_CONFIGURATION).unwrap_or_else(|| self.pod_namespace())
    }

    /// The port of the metrics, if a flag sets it.
    pub(super) fn metrics_port(&self) -> MetricsPort {
        match self.value(METRICS_ADDRESS) {
            None => MetricsPort::NotSet,
            Some("0") => MetricsPort::NotServed,
            Some(address) => {
                let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
                port.map_or(MetricsPort::NotSet, MetricsPort::Set)
            }
        }
    }

    /// The name of the webhook configurations whose CA bundle the controller writes, if it does.
    pub(super) fn written_configuration(&self) -> Option<String> {
        let mode = self.value(CERTIFICATE_MODE).or_else(|| self.value(CERTIFICATES));
        (mode == Some("self-managed")).then(|| self.webhook_configuration().to_owned())
    }
}

/// What the flags say of the port of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricsPort {
    NotSet,
    Set(u16),
    /// The address is `0`.
    NotServed,
}

/// The value of a variable; the only field of a pod that is known before there is one is its
/// namespace.
fn value_of(variable: &EnvVar, namespace: &str) -> Option<String> {
    let field = variable.value_from.as_ref().and_then(|source| source.field_ref.as_ref());
    let is_namespace = field.is_some_and(|field| field.field_path == "metadata.namespace");
    variable.value.clone().or_else(|| is_namespace.then(|| namespace.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn flags(container: &Value) -> Flags {
        let deployment = json!({"spec": {"selector": {}, "template": {"spec": {"containers": [
            {"name": "proxy", "args": ["--namespaces=of-a-sidecar"]}, container]}}}});
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        Flags::of(Some(&deployment), "controller", "ops")
    }

    fn with_arguments(arguments: &[&str]) -> Flags {
        flags(&json!({"name": "controller", "args": arguments}))
    }

    #[test]
    fn a_flag_is_read_in_each_form_that_the_process_accepts() {
        for arguments in [
            &["controller", "--namespaces=a,b", "--topic-namespaces=c"][..],
            &["controller", "--namespaces", "a,b", "--topic-namespaces", "c"],
            &["controller", "--namespaces=a", "--namespaces=b,", "--topic-namespaces=c,*"],
        ] {
            let flags = with_arguments(arguments);
            assert_eq!(
                (flags.namespaces(), flags.topic_namespaces()),
                (vec!["a".into(), "b".into()], vec!["c".into()])
            );
        }
        let command =
            flags(&json!({"name": "controller", "command": ["/operator", "controller", "--namespaces=a"]}));
        assert_eq!(command.namespaces(), ["a"]);
    }

    #[test]
    fn a_variable_counts_unless_the_command_line_has_the_flag() {
        let env = json!([
            {"name": "KCG_NAMESPACES", "value": "a,b"}, {"name": "KCG_LEADER_ELECT", "value": "false"},
            {"name": "KCG_CERTIFICATE_MODE", "value": "self-managed"}, {"name": "KCG_DEFAULTS", "value": "/f"},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "NAME", "value": "registration"},
        ]);
        let set = flags(&json!({"name": "controller", "env": env}));
        assert_eq!(set.namespaces(), ["a", "b"]);
        assert!(!set.elects_a_leader() && set.has_defaults_file());
        assert_eq!(set.written_configuration().as_deref(), Some("ops"));
        let args = [
            "--namespaces=c",
            "--leader-elect",
            "--certificate-mode=provided",
            "--webhook-configuration-name=$(NAME)",
        ];
        let both = flags(&json!({"name": "controller", "env": env, "args": args}));
        assert_eq!(both.namespaces(), ["c"]);
        assert!(both.elects_a_leader());
        assert_eq!((both.webhook_configuration(), both.written_configuration()), ("registration", None));
    }

    #[test]
    fn lists_of_namespaces_are_compared_whatever_their_form_and_order() {
        let differences =
            |one: &[&str], other: &[&str]| Flags::differences(&with_arguments(one), &with_arguments(other));
        assert_eq!(differences(&["--namespaces=a,b"], &["--namespaces=b", "--namespaces", "a"]), [""; 0]);
        assert_eq!(
            differences(&["--namespaces=a", "--topic-namespaces=*"], &["--namespaces=a,b"]),
            [
                "--namespaces of the controller is a, of the webhook a,b",
                "--topic-namespaces of the controller is *, of the webhook not set",
            ]
        );
    }

    #[test]
    fn the_port_of_the_metrics_is_that_of_the_flag() {
        let port = |arguments: &[&str]| with_arguments(arguments).metrics_port();
        assert_eq!(port(&[]), MetricsPort::NotSet);
        assert_eq!(port(&["--metrics-bind-address=:9090"]), MetricsPort::Set(9090));
        assert_eq!(port(&["--metrics-bind-address", "[::1]:9090"]), MetricsPort::Set(9090));
        assert_eq!(port(&["--metrics-bind-address=0"]), MetricsPort::NotServed);
    }

    #[test]
    fn a_leader_is_elected_unless_the_flag_says_false() {
        for (arguments, elects) in [
            (&[][..], true),
            (&["--leader-elect"], true),
            (&["--leader-elect=true"], true),
            (&["--leader-elect=false"], false),
            (&["--leader-elect-resource-name=false"], true),
        ] {
            assert_eq!(with_arguments(arguments).elects_a_leader(), elects, "{arguments:?}");
        }
        let named =
            with_arguments(&["--leader-elect-resource-name=l", "--leader-elect-resource-namespace=n"]);
        assert_eq!(named.lease(), ("n", "l"));
        assert_eq!(named.webhook_configuration(), "ops", "it does not follow the Lease");
        assert_eq!(Flags::of(None, "controller", "ops").lease(), ("ops", names::LEASE));
    }
}
