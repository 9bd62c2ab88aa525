//! What `demo` is made of. It is a library so that the closed loop shows its steps in the same way.

pub mod simulated;
pub mod terminal;
