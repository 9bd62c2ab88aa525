//! Certificates as values: an authority and what it issues, when either is renewed and in which order, whether a chain
//! is trusted, the pair that a server presents, and the resolver that serves it while it is being replaced. Knows nothing
//! of Kubernetes, of files or of clocks (the time is an argument). Floor 0.

pub mod authority;
pub mod bundle;
pub mod due;
pub mod pair;
pub mod resolver;
pub mod stock;
pub mod verify;

pub use authority::{Authority, AuthorityError};
pub use pair::{Pair, PairError, Standing, Validity};
pub use resolver::{Kept, Resolver};
pub use verify::{VerifyError, verify};
