//! Certificates as values: a CA and the certificates that it issues, when to renew them and in
//! which order, whether a client trusts a chain, the resolver that serves a pair while it is replaced,
//! and the verifier of clients' certificates.
//!
//! *Invariant:* no files, no clock, no Kubernetes. The current time is always an argument, and PEM
//! comes and goes as bytes. The dependencies in Cargo.toml (no tokio, no kube) prove it.

#![warn(missing_docs, unreachable_pub)]

pub mod bundle;
pub mod ca;
pub mod client_verifier;
pub mod pair;
pub mod renewal;
pub mod resolver;
pub mod rotation;
pub mod verify;

pub use ca::{Ca, CaError};
pub use pair::{Pair, PairError, Validity, ValidityStatus};
pub use resolver::{Rejected, Resolver};
pub use verify::{VerifyError, verify};
