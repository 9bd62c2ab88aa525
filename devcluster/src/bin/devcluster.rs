//! `devcluster`: a real control plane on this computer, for as long as this command runs.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use kcg_devcluster::{Certificates, Guest, Interrupt, Interrupts, Parts, Site, parts};

#[derive(Parser)]
#[command(
    name = "devcluster",
    about = "A real Kubernetes control plane on this computer; it ends with this command"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start one with the CRDs installed, print the kubeconfig's path and `ready`, run until Ctrl-C.
    Up {
        /// Install the operator, too, and run its two processes here.
        #[arg(long)]
        operator: bool,
        /// Who issues the webhook's certificate.
        #[arg(long, value_enum, default_value_t = Issuer::SelfManaged, requires = "operator", value_name = "WHO")]
        certificates: Issuer,
    },
    /// Run a command against a fresh one with the operator in it; its exit code is this command's.
    Run {
        /// Who issues the webhook's certificate.
        #[arg(long, value_enum, default_value_t = Issuer::SelfManaged, value_name = "WHO")]
        certificates: Issuer,
        /// The command; KUBECONFIG is set and kubectl is on its PATH.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Only build what it is made of.
    Parts,
}

/// Who issues the webhook's certificate.
#[derive(Clone, Copy, ValueEnum)]
enum Issuer {
    /// A real cert-manager.
    CertManager,
    /// The controller itself.
    SelfManaged,
    /// A person; devcluster plays that person.
    Provided,
}

impl From<Issuer> for Certificates {
    fn from(issuer: Issuer) -> Self {
        match issuer {
            Issuer::CertManager => Self::CertManager,
            Issuer::SelfManaged => Self::SelfManaged,
            Issuer::Provided => Self::Provided,
        }
    }
}

/// What a shell says of a command that Ctrl-C ended.
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
        Command::Up { operator, certificates } => {
            up(operator.then(|| certificates.into()), &mut interrupts).await
        }
        Command::Run { certificates, command } => run(certificates.into(), &command, &mut interrupts).await,
        Command::Parts => build_parts(&mut interrupts).await,
    }
}

async fn up(operator: Option<Certificates>, interrupts: &mut Interrupts) -> Result<ExitCode> {
    let Some(site) = interrupts.unless(Site::start(operator)).await else {
        return Ok(INTERRUPTED.into());
    };
    let site = site?;
    let plane = &site.plane;
    // Not println: a reader that has gone away ends this command, without a panic.
    let mut out = std::io::stdout();
    writeln!(out, "export KUBECONFIG={}", plane.kubeconfig_path().display())?;
    writeln!(out, "export PATH={}:$PATH", plane.parts().kubectl_folder()?.display())?;
    writeln!(out, "logs: {}", plane.folder().display())?;
    writeln!(out, "ready")?;
    interrupts.next().await;
    Ok(ExitCode::SUCCESS)
}

async fn run(
    certificates: Certificates,
    command: &[String],
    interrupts: &mut Interrupts,
) -> Result<ExitCode> {
    let Some(site) = interrupts.unless(Site::start(Some(certificates))).await else {
        return Ok(INTERRUPTED.into());
    };
    let site = site?;
    let mut guest = Guest::start(&site.plane, command)?;
    let status = tokio::select! {
        status = guest.wait() => status?,
        interrupt = interrupts.next() => end_guest(guest, interrupt, interrupts).await?,
    };
    Ok(code_of(status))
}

/// A terminal's Ctrl-C has reached the command, too: it decides what to do, and its end is awaited. A kill has
/// reached this process alone and is passed on. A second signal of either kind insists.
async fn end_guest(
    mut guest: Guest,
    interrupt: Interrupt,
    interrupts: &mut Interrupts,
) -> Result<ExitStatus> {
    let ended = async {
        match interrupt {
            Interrupt::CtrlC => guest.wait().await,
            Interrupt::Kill => guest.terminate().await,
        }
    };
    match interrupts.unless(ended).await {
        Some(status) => Ok(status?),
        None => Ok(guest.kill().await?),
    }
}

async fn build_parts(interrupts: &mut Interrupts) -> Result<ExitCode> {
    let building = Parts::ensure_all(&parts::to_stderr);
    let Some(parts) = interrupts.unless(building).await else {
        return Ok(INTERRUPTED.into());
    };
    for (name, path) in parts?.files() {
        writeln!(std::io::stdout(), "{name}\t{}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A command's exit code, or 128 and the signal that ended it, as shells have it.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
