//! The program in most pods: this test program itself, which then answers requests about its
//! environment.

use std::path::Path as File;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use kcg_devcluster::{Interrupt, Interrupts};
use tokio::net::TcpListener;

/// The first argument that makes this program run as a pod.
pub const AS_POD: &str = "as-pod";
pub const PORT: u16 = 8080;
pub const ASKED: &str = "asked to end";
pub const ENDED: &str = "ended after the request";
const SICK: &str = "/tmp/sick";

/// If this is a pod, serves until SIGTERM, then ends after the milliseconds of its second argument.
pub fn run_as_pod() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    if args.next()? != AS_POD {
        return None;
    }
    let linger = args.next().and_then(|millis| millis.parse().ok()).unwrap_or_default();
    let served = tokio::runtime::Runtime::new().and_then(|runtime| runtime.block_on(serve(linger)));
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

async fn serve(linger: u64) -> std::io::Result<()> {
    let mut interrupts = Interrupts::listen().map_err(std::io::Error::other)?;
    let router = Router::new()
        .route("/env/{name}", get(variable))
        .route("/file/{*path}", get(content))
        .route("/write/{*path}", get(write))
        .route("/healthz", get(health));
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    println!("started");
    tokio::spawn(async move { axum::serve(listener, router).await });
    while interrupts.next().await != Interrupt::Terminate {}
    println!("{ASKED}");
    tokio::time::sleep(Duration::from_millis(linger)).await;
    println!("{ENDED}");
    Ok(())
}

type Answer = Result<String, (StatusCode, String)>;

async fn variable(Path(name): Path<String>) -> Answer {
    std::env::var(&name).map_err(|error| (StatusCode::NOT_FOUND, error.to_string()))
}

async fn content(Path(path): Path<String>) -> Answer {
    std::fs::read_to_string(File::new("/").join(path))
        .map_err(|error| (StatusCode::NOT_FOUND, error.to_string()))
}

/// Whether a file can be written there: "yes", or the error of the system.
async fn write(Path(path): Path<String>) -> String {
    std::fs::write(File::new("/").join(path), "x")
        .map_or_else(|error| error.to_string(), |()| "yes".to_owned())
}

async fn health() -> StatusCode {
    if File::new(SICK).exists() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
}
