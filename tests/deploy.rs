//! What a person applies: deploy/ is what the code says, kustomize builds it, the samples are what their names say,
//! and a real API server takes it all.

#[path = "deploy/adapter.rs"]
mod adapter;
#[path = "deploy/built.rs"]
mod built;
#[path = "deploy/certificates.rs"]
mod certificates;
#[path = "deploy/charts.rs"]
mod charts;
#[path = "deploy/dashboards.rs"]
mod dashboards;
#[path = "deploy/installed.rs"]
mod installed;
#[path = "deploy/kustomize.rs"]
mod kustomize;
#[path = "deploy/rendered.rs"]
mod rendered;
#[path = "deploy/samples.rs"]
mod samples;
#[path = "deploy/watched.rs"]
mod watched;
