//! `crd`: the CustomResourceDefinition as it is installed.

use std::process::ExitCode;

use super::{Failure, manifests, output};

pub fn run() -> Result<ExitCode, Failure> {
    output::print(&manifests::yaml(&[kcg_api::crd::crd()])?)?;
    Ok(ExitCode::SUCCESS)
}
