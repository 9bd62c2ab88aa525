//! The credentials of one cluster: the API server's certificates, the users' tokens, and kubeconfig
//! files.

use std::path::{Path, PathBuf};

use crate::pki::{self, Ca};
use crate::pod_network::NODE_ADDRESS;
use crate::{Error, Result};

/// A user of the token file. Each component has its own name, so that the audit log distinguishes
/// them. All belong to system:masters because the rights of these components are not tested here.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Component {
    Admin,
    ControllerManager,
    Scheduler,
    Kwok,
    CertManager,
    Monitoring,
}

impl Component {
    const ALL: [Self; 6] = [
        Self::Admin,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Kwok,
        Self::CertManager,
        Self::Monitoring,
    ];

    fn user(self) -> &'static str {
        match self {
            Self::Admin => "devcluster-admin",
            Self::ControllerManager => "system:kube-controller-manager",
            Self::Scheduler => "system:kube-scheduler",
            Self::Kwok => "devcluster-kwok",
            Self::CertManager => "devcluster-cert-manager",
            Self::Monitoring => "devcluster-monitoring",
        }
    }

    /// Includes the cluster's secret: two clusters on one computer must not accept each other's
    /// tokens.
    fn token(self, secret: &str) -> String {
        format!("{}-{secret}", self.user().replace(':', "-"))
    }
}

/// The credential files of one cluster.
#[derive(Debug)]
pub(crate) struct Credentials {
    folder: PathBuf,
    server: String,
    ca: String,
    secret: String,
}

impl Credentials {
    /// Writes certificates, keys and the token file into `folder`, for an API server at `server`.
    pub(crate) fn create(folder: &Path, server: String) -> Result<Self> {
        let ca = Ca::new("devcluster")?;
        let serving =
            ca.server(&["localhost", "127.0.0.1", "kubernetes.default.svc", &NODE_ADDRESS.to_string()])?;
        let front_proxy_ca = Ca::new("devcluster-front-proxy")?;
        let front = front_proxy_ca.client("front-proxy-client")?;
        let signing = pki::signing_keys()?;
        // The secret only has to differ between clusters, and the folder's random name does.
        let secret = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let this = Self { folder: folder.into(), server, ca: ca.certificate().into(), secret };
        this.write("ca.crt", ca.certificate())?;
        this.write("apiserver.crt", &serving.certificate)?;
        this.write("apiserver.key", &serving.key)?;
        this.write("front-proxy-ca.crt", front_proxy_ca.certificate())?;
        this.write("front-proxy.crt", &front.certificate)?;
        this.write("front-proxy.key", &front.key)?;
        this.write("service-accounts.pub", &signing.certificate)?;
        this.write("service-accounts.key", &signing.key)?;
        this.write("tokens.csv", &this.token_file())?;
        Ok(this)
    }

    /// The path of one of the files that `create` wrote.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Writes a component's kubeconfig and returns its path.
    pub(crate) fn component(&self, component: Component) -> Result<PathBuf> {
        let name = component.user().replace(':', "-");
        self.kubeconfig(&format!("{name}.kubeconfig"), &component.token(&self.secret))
    }

    /// A component's token.
    pub(crate) fn token(&self, component: Component) -> String {
        component.token(&self.secret)
    }

    /// Writes a kubeconfig for a token and returns its path.
    pub(crate) fn kubeconfig(&self, file: &str, token: &str) -> Result<PathBuf> {
        let text = KUBECONFIG
            .replace("SERVER", &self.server)
            .replace("CA_FILE", &self.file("ca.crt"))
            .replace("TOKEN", token);
        self.write(file, &text)?;
        Ok(self.folder.join(file))
    }

    /// The certificate of the API server's CA as PEM.
    pub(crate) fn ca(&self) -> &str {
        &self.ca
    }

    fn token_file(&self) -> String {
        let line = |component: Component| {
            let user = component.user();
            format!("{},{user},{user},system:masters\n", component.token(&self.secret))
        };
        Component::ALL.map(line).concat()
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(Error::file("write", &path))
    }
}

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: devcluster
clusters:
- name: devcluster
  cluster: {server: 'SERVER', certificate-authority: 'CA_FILE'}
users:
- name: devcluster
  user: {token: 'TOKEN'}
contexts:
- name: devcluster
  context: {cluster: devcluster, user: devcluster}
";
