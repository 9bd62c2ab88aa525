//! `devcluster`: a real Kubernetes control plane on this computer, for as long as the command runs.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use kcg_devcluster::{CertificateMode, Interrupt, Interrupts, TestCluster, Tools, UserCommand, tools};

#[derive(Parser)]
#[command(
    name = "devcluster",
    about = "Run a real Kubernetes control plane on this computer. The cluster ends when the command ends."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster with the CRDs, print its kubeconfig and `ready`, and run until Ctrl-C.
    Up {
        /// Install the operator and run its controller and webhook.
        #[arg(long)]
        operator: bool,
        /// Who issues the webhook certificate.
        #[arg(long, value_enum, default_value_t = Issuer::SelfManaged, requires = "operator", value_name = "MODE")]
        certificate_mode: Issuer,
    },
    /// Run a command against a new cluster with the operator, and exit with its exit code.
    Run {
        /// Who issues the webhook certificate.
        #[arg(long, value_enum, default_value_t = Issuer::SelfManaged, value_name = "MODE")]
        certificate_mode: Issuer,
        /// The command. KUBECONFIG is set and kubectl is on the PATH.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Build all programs that a cluster needs, and list their paths.
    Tools,
}

/// Who issues the webhook certificate.
#[derive(Clone, Copy, ValueEnum)]
enum Issuer {
    /// cert-manager, which is started as well.
    CertManager,
    /// The operator's controller.
    SelfManaged,
    /// The user. devcluster issues a certificate in the user's place.
    Provided,
}

impl From<Issuer> for CertificateMode {
    fn from(issuer: Issuer) -> Self {
        match issuer {
            Issuer::CertManager => Self::CertManager,
            Issuer::SelfManaged => Self::SelfManaged,
            Issuer::Provided => Self::Provided,
        }
    }
}

/// The exit code that shells use for a command that SIGINT ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    match execute(Cli::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("devcluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> Result<ExitCode> {
    let mut interrupts = Interrupts::listen()?;
    match command {
        Command::Up { operator, certificate_mode } => {
            up(operator.then(|| certificate_mode.into()), &mut interrupts).await
        }
        Command::Run { certificate_mode, command } => {
            run(certificate_mode.into(), &command, &mut interrupts).await
        }
        Command::Tools => build_tools(&mut interrupts).await,
    }
}

async fn up(operator: Option<CertificateMode>, interrupts: &mut Interrupts) -> Result<ExitCode> {
    let Some(cluster) = interrupts.unless(TestCluster::start(operator)).await else {
        return Ok(INTERRUPTED.into());
    };
    let cluster = cluster?;
    let plane = &cluster.plane;
    // Not println, which panics if the reader has closed the pipe.
    let mut out = std::io::stdout();
    writeln!(out, "export KUBECONFIG={}", plane.kubeconfig_path().display())?;
    writeln!(out, "export PATH={}:$PATH", plane.tools().kubectl_folder()?.display())?;
    writeln!(out, "logs: {}", plane.folder().display())?;
    writeln!(out, "ready")?;
    interrupts.next().await;
    Ok(ExitCode::SUCCESS)
}

async fn run(mode: CertificateMode, command: &[String], interrupts: &mut Interrupts) -> Result<ExitCode> {
    let Some(cluster) = interrupts.unless(TestCluster::start(Some(mode))).await else {
        return Ok(INTERRUPTED.into());
    };
    let cluster = cluster?;
    let mut command = UserCommand::start(&cluster.plane, command)?;
    let status = tokio::select! {
        status = command.wait() => status?,
        interrupt = interrupts.next() => end(command, interrupt, interrupts).await?,
    };
    Ok(exit_code(status))
}

/// Ends the command after a signal. On Ctrl-C, the terminal has sent SIGINT to the command as well,
/// so this waits for it to exit. SIGTERM was sent to this process only and is forwarded. A second
/// signal kills the command.
async fn end(
    mut command: UserCommand,
    interrupt: Interrupt,
    interrupts: &mut Interrupts,
) -> Result<ExitStatus> {
    let ended = async {
        match interrupt {
            Interrupt::CtrlC => command.wait().await,
            Interrupt::Terminate => command.terminate().await,
        }
    };
    match interrupts.unless(ended).await {
        Some(status) => Ok(status?),
        None => Ok(command.kill().await?),
    }
}

async fn build_tools(interrupts: &mut Interrupts) -> Result<ExitCode> {
    let building = Tools::ensure_all(&tools::to_stderr);
    let Some(tools) = interrupts.unless(building).await else {
        return Ok(INTERRUPTED.into());
    };
    for (name, path) in tools?.files() {
        writeln!(std::io::stdout(), "{name}\t{}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The command's exit code, or 128 plus the number of the signal that ended it, as shells report
/// it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
