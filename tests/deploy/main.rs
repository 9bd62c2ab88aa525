//! What a person applies: deploy/ is what the code says, kustomize builds it, the samples are what their names say,
//! and a real API server takes it all.

mod adapter;
mod built;
mod certificates;
mod charts;
mod dashboards;
mod installed;
mod kustomize;
mod rendered;
mod samples;
mod watched;
