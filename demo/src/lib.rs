//! What `demo` is made of. It is a library so that its report can be tried without its story.

pub mod kafka;
pub mod simulated;
pub mod terminal;
