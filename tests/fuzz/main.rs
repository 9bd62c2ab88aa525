//! Searches for input that panics, hangs, or needs more memory or CPU time than its bytes justify.
//!
//! Each target takes its seeds (the samples of deploy/, short texts and the committed [`corpus`]) and changes
//! them at random ([`mutate`]). It measures the peak of the allocated bytes and the CPU time while the product
//! reads the result ([`measure`]), and changes further what is dearest or makes the product say something
//! new ([`pool`]). The compiler of this repository is stable Rust, so the search has no coverage to
//! guide it. In the end, what is dear is enlarged, to see whether its cost grows faster than its size.
//!
//! A run prints its seed: `KCG_FUZZ_SEED=N` repeats it, `KCG_FUZZ_SECONDS=N` sets the time of each target,
//! and `KCG_LONG=1` is ten minutes. `KCG_FUZZ_INPUT=FILE` runs one input alone, and `KCG_FUZZ_RENEW=1`
//! writes the corpus again.
#![allow(clippy::unwrap_used, reason = "test code")]

mod corpus;
mod heaviest;
mod measure;
mod mutate;
mod pool;
mod queries;
mod search;
mod seeds;
mod shrink;
mod targets;
