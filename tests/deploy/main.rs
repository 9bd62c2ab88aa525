//! deploy/ as users apply it: kustomize and helm build it, and a real API server accepts it. That
//! deploy/ is what the code renders is tested in dev/manifests.

mod adapter;
mod built;
mod certificates;
mod chart_values;
mod charts;
mod dashboards;
mod documented;
mod dry_run;
mod eviction;
mod installed;
mod kustomize;
mod watched;
