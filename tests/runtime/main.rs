//! What the crate promises, on a real etcd and API server. Those that disturb the server have one of their own.

mod following;
mod leading;
mod optional;
mod plane;
mod told;
mod wire;

type Outcome = Result<(), Box<dyn std::error::Error>>;
