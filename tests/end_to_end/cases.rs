//! Tests as values: a name, and a function of the shared environment.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use futures::FutureExt;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::env::SharedEnv;

type Running = Pin<Box<dyn Future<Output = Result<()>>>>;

/// One test.
pub struct Case {
    pub name: &'static str,
    run: Box<dyn FnOnce(Arc<SharedEnv>) -> Running + Send>,
}

impl Case {
    pub fn new<F, R>(name: &'static str, run: F) -> Self
    where
        F: FnOnce(Arc<SharedEnv>) -> R + Send + 'static,
        R: Future<Output = Result<()>> + 'static,
    {
        let name = name.trim_start_matches("end_to_end::");
        Self { name, run: Box::new(|env| Box::pin(run(env))) }
    }

    /// The trial for `--list`, which never runs.
    pub fn listed(self) -> Trial {
        Trial::test(self.name, || Ok(()))
    }

    async fn report(self, env: Arc<SharedEnv>) -> Result<(), Failed> {
        let started = Instant::now();
        let outcome = (self.run)(env.clone()).await;
        env.record_time(started.elapsed(), self.name);
        outcome.map_err(|error| format!("{error:#}").into())
    }
}

/// The tests of one module, named after their functions.
macro_rules! cases {
    ($($test:ident),+ $(,)?) => {
        pub fn cases() -> Vec<crate::cases::Case> {
            vec![$(crate::cases::Case::new(concat!(module_path!(), "::", stringify!($test)), $test)),+]
        }
    };
}
pub(crate) use cases;

/// Turns a panic into an error, so that the caller can undo changes of the cluster.
pub async fn caught(run: impl Future<Output = Result<()>>) -> Result<()> {
    let outcome = AssertUnwindSafe(run).catch_unwind().await;
    outcome.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        bail!(message.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    })
}

/// Whether the command line selects a case, by the rules of Rust's test harness.
pub fn is_chosen(case: &Case, arguments: &Arguments) -> bool {
    let names = |text: &String| {
        if arguments.exact { case.name == text } else { case.name.contains(text.as_str()) }
    };
    arguments.filter.as_ref().is_none_or(names) && !arguments.skip.iter().any(names)
}

/// The tests as the harness runs them.
pub fn trials(cases: Vec<Case>, env: &Arc<SharedEnv>, runtime: &Runtime) -> Vec<Trial> {
    let trial = |case: Case| {
        let (env, handle) = (env.clone(), runtime.handle().clone());
        Trial::test(case.name, move || handle.block_on(case.report(env)))
    };
    cases.into_iter().map(trial).collect()
}
