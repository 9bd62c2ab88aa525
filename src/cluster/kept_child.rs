//! What is kept of a child: its facts, and what it takes to know the next news of it for what they are.

use kcg_core::ceiling::Held;
use kcg_core::observed::{AutoscalerFacts, Child, Detail, Standing};

/// A child as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenChild {
    /// Without what an autoscaler holds.
    child: Child,
    /// That, as the annotation: it takes a tenth of the memory of the parsed map.
    held: Option<Box<str>>,
    /// Of all that its standing was judged by.
    fingerprint: u64,
    /// It is known from the answer to our own write, and the watch has not come that far yet.
    ahead: bool,
}

impl SeenChild {
    pub fn new(mut child: Child, fingerprint: u64, ahead: bool) -> Self {
        let held = match &mut child.detail {
            Detail::Autoscaler(facts) => facts.held.take().map(|held| held.annotation().into()),
            _ => None,
        };
        Self { child, held, fingerprint, ahead }
    }

    pub fn child(&self) -> Child {
        let mut child = self.child.clone();
        if let (Detail::Autoscaler(facts), Some(held)) = (&mut child.detail, &self.held) {
            facts.held = Held::parse(held);
        }
        child
    }

    pub fn uid(&self) -> &str {
        &self.child.uid
    }

    /// What an autoscaler holds.
    pub fn held(&self) -> Option<Held> {
        self.held.as_deref().and_then(Held::parse)
    }

    /// It comes from the answer to our own write.
    pub fn is_answer(&self) -> bool {
        self.ahead
    }

    /// The watch lags behind our own writes: what it tells meanwhile is older than what their answers told.
    pub fn is_outdated(&self, known: &Self) -> bool {
        self.child.uid == known.child.uid
            && self.child.resource_version < known.child.resource_version
            && (known.ahead || self.ahead)
    }

    /// What somebody else writes into our annotation is undone, and until then not believed.
    pub fn keep_what_was_held(&mut self, known: &Self) {
        let is_foreign = matches!(&self.child.detail, Detail::Autoscaler(facts) if facts.held_is_foreign);
        if is_foreign && known.child.uid == self.child.uid && known.held.is_some() {
            self.held.clone_from(&known.held);
        }
    }

    /// Whether it is an autoscaler that the group of this uid controls.
    pub fn is_autoscaler_of(&self, group_uid: Option<&str>) -> bool {
        self.autoscaler_of(group_uid).is_some()
    }

    /// The facts, without what is held, of an autoscaler that the group of this uid controls.
    pub fn autoscaler_of(&self, group_uid: Option<&str>) -> Option<&AutoscalerFacts> {
        match &self.child.detail {
            Detail::Autoscaler(facts) => {
                (group_uid.is_some() && self.child.controller.as_deref() == group_uid).then_some(facts)
            }
            _ => None,
        }
    }

    /// How it stood when it had this fingerprint, if it has been compared then.
    pub fn judged(&self, fingerprint: u64) -> Option<Standing> {
        let standing = self.child.standing;
        (self.fingerprint == fingerprint && standing != Standing::Unjudged).then_some(standing)
    }
}
