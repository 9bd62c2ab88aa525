//! What each part is made of: its pins below devcluster/parts, the programs built from them, and the data
//! files copied out. Versions are in the go.mod files only.

/// Programs and data files of one Go module.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// What its folder in the cache is called.
    pub name: &'static str,
    /// The folder with go.mod, go.sum and, if it has a program of its own, main.go.
    pub pins: &'static str,
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
}

impl Part {
    /// The names of all its files.
    pub fn files(&self) -> impl Iterator<Item = &'static str> {
        let data = self.data.iter().map(|(name, _)| *name);
        self.programs.iter().map(|(name, _)| *name).chain(data)
    }
}

impl Part {
    /// A part without a file, to be completed.
    pub const EMPTY: Self = Self {
        name: "",
        pins: "",
        module: "",
        programs: &[],
        build_args: &[],
        version_variables: &[],
        data: &[],
    };
}

/// The stages that make nodes Ready and pods Running without containers.
pub(crate) const KWOK_STAGES: &str = "kwok-stages.yaml";
/// prometheus-operator's CRDs that this product writes objects of.
pub(crate) const MONITORING_CRDS: &str = "monitoring-crds.yaml";
/// prometheus-operator's CRD of Prometheus itself, which is as large as all the others of a cluster together.
pub(crate) const PROMETHEUS_CRD: &str = "prometheus-crd.yaml";

/// cert-manager's CRDs, without those for ACME.
pub(crate) const CERT_MANAGER_CRDS: &str = "cert-manager-crds.yaml";

/// prometheus-operator's CRDs that every control plane serves.
pub const PROMETHEUS_OPERATOR_CRDS: Part = Part {
    name: "prometheus-operator",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/parts/prometheus-operator"),
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
    ..Part::EMPTY
};

/// What every control plane needs.
pub(super) static CONTROL_PLANE: &[Part] = &[
    Part {
        name: "etcd",
        pins: concat!(env!("CARGO_MANIFEST_DIR"), "/parts/etcd"),
        module: "go.etcd.io/etcd/server/v3",
        programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
        ..Part::EMPTY
    },
    Part {
        name: "kubernetes",
        pins: concat!(env!("CARGO_MANIFEST_DIR"), "/parts/kubernetes"),
        module: "k8s.io/kubernetes",
        programs: &[
            ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
            ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ],
        // Without them the server and kubectl say that they are v0.0.0.
        version_variables: &["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"],
        ..Part::EMPTY
    },
    Part {
        name: "kwok",
        pins: concat!(env!("CARGO_MANIFEST_DIR"), "/parts/kwok"),
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
        ..Part::EMPTY
    },
    PROMETHEUS_OPERATOR_CRDS,
];

/// cert-manager, where it sees to the certificates. Its program is the main.go beside the pins.
pub(super) static CERT_MANAGER: Part = Part {
    name: "cert-manager",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/parts/cert-manager"),
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
    ..Part::EMPTY
};

/// helm, for the tests of the charts.
pub(super) static HELM: Part = Part {
    name: "helm",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/parts/helm"),
    module: "helm.sh/helm/v4",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    ..Part::EMPTY
};

/// Prometheus, where it runs, and promtool, for the tests that check alerts.
pub static PROMETHEUS: Part = Part {
    name: "prometheus",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/parts/prometheus"),
    module: "github.com/prometheus/prometheus",
    programs: &[
        ("prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
        ("promtool", "github.com/prometheus/prometheus/cmd/promtool"),
    ],
    // Without the tags the build wants every cloud's discovery plugin.
    build_args: &["-tags=remove_all_sd,enable_kubernetes_sd"],
    ..Part::EMPTY
};
