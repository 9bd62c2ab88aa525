//! What each part is made of: its pins below devcluster/parts, the programs built from them, and the data
//! files copied out. Versions stand in the go.mod and pom.xml files alone.

/// What a part is built with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tool {
    /// From source: go.mod and go.sum pin it.
    Go,
    /// As jars: pom.xml pins them.
    Maven,
}

/// One folder of devcluster/parts.
#[derive(Debug)]
pub(super) struct Part {
    /// Its folder's name.
    pub name: &'static str,
    /// What builds it.
    pub tool: Tool,
    /// The Go module that it pins.
    pub module: &'static str,
    /// Programs by name, with the package each is built from.
    pub programs: &'static [(&'static str, &'static str)],
    /// Further arguments for `go build`.
    pub build_args: &'static [&'static str],
    /// Variables that the linker sets to the module's version.
    pub version_variables: &'static [&'static str],
    /// Data files by name, each with the files of the module that are joined into it.
    pub data: &'static [(&'static str, &'static [&'static str])],
    /// The jar that stands for all of a Maven part's, which lie beside it.
    pub jar: Option<&'static str>,
}

impl Part {
    /// The names of all its files.
    pub fn files(&self) -> impl Iterator<Item = &'static str> {
        let data = self.data.iter().map(|(name, _)| *name);
        self.programs.iter().map(|(name, _)| *name).chain(data).chain(self.jar)
    }
}

const NONE: Part = Part {
    name: "",
    tool: Tool::Go,
    module: "",
    programs: &[],
    build_args: &[],
    version_variables: &[],
    data: &[],
    jar: None,
};

/// The stages that make nodes Ready and pods Running without containers.
pub(crate) const KWOK_STAGES: &str = "kwok-stages.yaml";
/// prometheus-operator's CRDs that this product writes objects of.
pub(crate) const MONITORING_CRDS: &str = "monitoring-crds.yaml";
/// prometheus-operator's CRD of Prometheus itself, which is as large as all the others of a cluster together.
pub(crate) const PROMETHEUS_CRD: &str = "prometheus-crd.yaml";

/// prometheus-operator's CRDs of PodMonitor, by which the operator itself is scraped, and of Probe, without which
/// prometheus-operator waits for ten minutes and gives up.
pub(crate) const FURTHER_MONITORING_CRDS: &str = "further-monitoring-crds.yaml";

/// cert-manager's CRDs, without those for ACME.
pub(crate) const CERT_MANAGER_CRDS: &str = "cert-manager-crds.yaml";

/// Kafka's jar, in a folder with all that it depends on.
pub(crate) const KAFKA_JAR: &str = "kafka/kafka_2.13.jar";

/// What every control plane needs.
pub(super) static CONTROL_PLANE: &[Part] = &[
    Part {
        name: "etcd",
        module: "go.etcd.io/etcd/server/v3",
        programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
        ..NONE
    },
    Part {
        name: "kubernetes",
        module: "k8s.io/kubernetes",
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ],
        // Without them the server and kubectl say that they are v0.0.0.
        version_variables: &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
        ..NONE
    },
    Part {
        name: "kwok",
        module: "sigs.k8s.io/kwok",
        programs: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
        data: &[(
            KWOK_STAGES,
            &[
                "kustomize/stage/node/fast/node-initialize.yaml",
                "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
                "kustomize/stage/pod/fast/pod-ready.yaml",
                "kustomize/stage/pod/fast/pod-complete.yaml",
                "kustomize/stage/pod/fast/pod-delete.yaml",
            ],
        )],
        ..NONE
    },
    Part {
        name: "prometheus-operator",
        module: "github.com/prometheus-operator/prometheus-operator",
        data: &[
            (
                MONITORING_CRDS,
                &[
                    "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
                    "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
                ],
            ),
            (PROMETHEUS_CRD, &["example/prometheus-operator-crd/monitoring.coreos.com_prometheuses.yaml"]),
        ],
        ..NONE
    },
];

/// cert-manager, where it sees to the certificates. Its program is the main.go beside the pins.
pub(super) static CERT_MANAGER: Part = Part {
    name: "cert-manager",
    module: "github.com/cert-manager/cert-manager",
    programs: &[("cert-manager", "kconsumer-group-operator/devcluster/parts/cert-manager")],
    data: &[(
        CERT_MANAGER_CRDS,
        &[
            "deploy/crds/cert-manager.io_certificaterequests.yaml",
            "deploy/crds/cert-manager.io_certificates.yaml",
            "deploy/crds/cert-manager.io_clusterissuers.yaml",
            "deploy/crds/cert-manager.io_issuers.yaml",
        ],
    )],
    ..NONE
};

/// helm, for the tests of the charts.
pub(super) static HELM: Part = Part {
    name: "helm",
    module: "helm.sh/helm/v4",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    ..NONE
};

/// prometheus-operator itself, where it runs; its other CRDs are those of every control plane.
pub(super) static PROMETHEUS_OPERATOR: Part = Part {
    name: "prometheus-operator",
    module: "github.com/prometheus-operator/prometheus-operator",
    programs: &[("prometheus-operator", "github.com/prometheus-operator/prometheus-operator/cmd/operator")],
    data: &[(
        FURTHER_MONITORING_CRDS,
        &[
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_probes.yaml",
        ],
    )],
    ..NONE
};

/// The custom metrics API on prometheus-adapter's own library, with prometheus-adapter's rules. Its program is the main.go
/// beside the pins.
pub(super) static METRICS_ADAPTER: Part = Part {
    name: "metrics-adapter",
    module: "sigs.k8s.io/custom-metrics-apiserver",
    programs: &[("metrics-adapter", "kconsumer-group-operator/devcluster/parts/metrics-adapter")],
    ..NONE
};

/// Prometheus, where it runs, and promtool, for the tests that check alerts.
pub(super) static PROMETHEUS: Part = Part {
    name: "prometheus",
    module: "github.com/prometheus/prometheus",
    programs: &[
        ("prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
        ("promtool", "github.com/prometheus/prometheus/cmd/promtool"),
    ],
    // Without the tags the build wants every cloud's discovery plugin.
    build_args: &["-tags=remove_all_sd,enable_kubernetes_sd"],
    ..NONE
};

/// A Kafka broker, for the closed loop.
pub(super) static KAFKA: Part = Part { name: "kafka", tool: Tool::Maven, jar: Some(KAFKA_JAR), ..NONE };
