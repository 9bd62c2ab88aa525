//! The catalog of tools: their pins in devcluster/tools, the programs built from them, and the data
//! files copied from them. The versions are only in the go.mod files.

/// The programs and data files of one Go module.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// The prefix of its folder's name in the cache.
    pub name: &'static str,
    /// The folder with go.mod, go.sum and, for some tools, main.go.
    pub pins: &'static str,
    /// The Go module that go.mod pins.
    pub module: &'static str,
    /// The name of each program and the Go package that it is built from.
    pub programs: &'static [(&'static str, &'static str)],
    /// Additional arguments of `go build`.
    pub build_args: &'static [&'static str],
    /// Go packages with version variables that the linker sets to the module's version.
    pub version_variables: &'static [&'static str],
    /// The name of each data file and the files of the module that are concatenated into it.
    pub data: &'static [(&'static str, &'static [&'static str])],
}

impl Tool {
    /// An empty entry, for struct update syntax.
    pub const EMPTY: Self = Self {
        name: "",
        pins: "",
        module: "",
        programs: &[],
        build_args: &[],
        version_variables: &[],
        data: &[],
    };

    /// The names of all its files.
    pub fn files(&self) -> impl Iterator<Item = &'static str> {
        let data = self.data.iter().map(|(name, _)| *name);
        self.programs.iter().map(|(name, _)| *name).chain(data)
    }
}

/// kwok's stages, which make nodes Ready and pods Running without containers.
pub(crate) const KWOK_STAGES: &str = "kwok-stages.yaml";
/// The CRDs ServiceMonitor and PrometheusRule, of which the operator writes objects.
pub(crate) const MONITORING_CRDS: &str = "monitoring-crds.yaml";
/// The CRD Prometheus. It is as large as all other CRDs of a cluster together, so it is installed
/// separately.
pub(crate) const PROMETHEUS_CRD: &str = "prometheus-crd.yaml";

/// cert-manager's CRDs, except for ACME.
pub(crate) const CERT_MANAGER_CRDS: &str = "cert-manager-crds.yaml";

/// The data files of prometheus-operator that every control plane needs.
pub const PROMETHEUS_OPERATOR_CRDS: Tool = Tool {
    name: "prometheus-operator",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/prometheus-operator"),
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
    ..Tool::EMPTY
};

/// The tools of every control plane.
pub(super) static CONTROL_PLANE: &[Tool] = &[
    Tool {
        name: "etcd",
        pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/etcd"),
        module: "go.etcd.io/etcd/server/v3",
        programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
        ..Tool::EMPTY
    },
    Tool {
        name: "kubernetes",
        pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/kubernetes"),
        module: "k8s.io/kubernetes",
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ],
        // Otherwise the server and kubectl report v0.0.0.
        version_variables: &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
        ..Tool::EMPTY
    },
    Tool {
        name: "kwok",
        pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/kwok"),
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
        ..Tool::EMPTY
    },
    PROMETHEUS_OPERATOR_CRDS,
];

/// cert-manager, for clusters in which it issues the webhook certificate. Its program is main.go in
/// its folder.
pub(super) static CERT_MANAGER: Tool = Tool {
    name: "cert-manager",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/cert-manager"),
    module: "github.com/cert-manager/cert-manager",
    programs: &[("cert-manager", "kconsumer-group-operator/devcluster/tools/cert-manager")],
    data: &[(
        CERT_MANAGER_CRDS,
        &[
            "deploy/crds/cert-manager.io_certificaterequests.yaml",
            "deploy/crds/cert-manager.io_certificates.yaml",
            "deploy/crds/cert-manager.io_clusterissuers.yaml",
            "deploy/crds/cert-manager.io_issuers.yaml",
        ],
    )],
    ..Tool::EMPTY
};

/// helm, for tests of the charts.
pub(super) static HELM: Tool = Tool {
    name: "helm",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/helm"),
    module: "helm.sh/helm/v4",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    ..Tool::EMPTY
};

/// The library by which Flux and others decide whether an object is ready, for tests of the status.
/// Its program is main.go in its folder.
pub(super) static KSTATUS: Tool = Tool {
    name: "kstatus",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/kstatus"),
    module: "sigs.k8s.io/cli-utils",
    programs: &[("kstatus", "kconsumer-group-operator/devcluster/tools/kstatus")],
    ..Tool::EMPTY
};

/// Prometheus, for closed-loop, and promtool, for tests of rules.
pub static PROMETHEUS: Tool = Tool {
    name: "prometheus",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/prometheus"),
    module: "github.com/prometheus/prometheus",
    programs: &[
        ("prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
        ("promtool", "github.com/prometheus/prometheus/cmd/promtool"),
    ],
    // Without these tags, the build needs the service discovery of every cloud.
    build_args: &["-tags=remove_all_sd,enable_kubernetes_sd"],
    ..Tool::EMPTY
};
