//! A plan: which faults a run of the life meets, as one line of text that is parsed, printed and
//! replayed.
//!
//! ```text
//! 1 group | create deployments #1 kill after
//! 10 groups | patch kconsumergroups/status #2 x3 answer 429 before retry 1
//! 1 group | event services #2 lose | list services #2 answer 500 before
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Error, Result, bail, ensure};

use crate::request::RequestId;

/// The pseudo verb of an event of a watch.
pub const EVENT: &str = "event";
/// As a verb or a resource: any.
const ANY: &str = "*";

/// Whether the API server has seen the request when the fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// It is not forwarded.
    Before,
    /// The API server has answered it, and the operator does not get that answer.
    After,
}

/// What happens to a request, or to an event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is forwarded later.
    Delay(Duration),
    /// The connection is closed.
    Drop(When),
    /// It is answered with this status, and the seconds after which it may be tried again.
    Answer(u16, When, Option<u32>),
    /// The connection is reset (RST).
    Reset,
    /// It is never answered.
    Stall,
    /// The connection ends in the middle of the answer or, for a watch, of its first event.
    Truncate,
    /// The answer, or the first event, is not JSON.
    Corrupt,
    /// The events of the watch arrive later.
    Hold(Duration),
    /// The watch is open, and no event arrives.
    Silence,
    /// The watch ends after this time.
    Close(Duration),
    /// The list is the first one that was answered.
    Replay,
    /// The answer, or each event, arrives in small pieces over this time.
    Trickle(Duration),
    /// Each event of the watch arrives this much later than the API server sent it.
    Lag(Duration),
    /// The event does not arrive; the watch ends with 410 Gone, as it does if the API server no longer
    /// has the event.
    Lose,
    /// The event arrives twice.
    Repeat,
    /// The event arrives after the next one.
    Swap,
    /// The event has 10 MB.
    Inflate,
    /// The operator's process is killed.
    Kill(When),
    /// The operator's process is killed, and the API server gets the request this much later: another
    /// process leads by then.
    Late(Duration),
    /// The operator's process gets SIGTERM, and the request is forwarded 3 s later.
    Term,
    /// The groups are deleted before the request is forwarded.
    Remove,
}

/// The requests that a fault meets: the `nth` of this verb and resource, and those that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub verb: String,
    pub resource: String,
    /// From 1 on.
    pub nth: usize,
    pub times: usize,
    pub fault: Fault,
}

/// The number of groups that live, and what they meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub groups: usize,
    pub rules: Vec<Rule>,
}

impl Plan {
    pub fn without_faults(groups: usize) -> Self {
        Self { groups, rules: Vec::new() }
    }

    pub fn one(groups: usize, request: &RequestId, nth: usize, times: usize, fault: Fault) -> Self {
        let (verb, resource) = (request.verb.clone(), request.resource.clone());
        Self { groups, rules: vec![Rule { verb, resource, nth, times, fault }] }
    }

    /// Whether the operator's process is killed.
    pub fn kills(&self) -> bool {
        let kills = |fault| matches!(fault, Fault::Kill(_) | Fault::Late(_) | Fault::Term);
        self.rules.iter().any(|rule| kills(rule.fault))
    }

    /// Whether the groups are deleted before the end of their life.
    pub fn removes(&self) -> bool {
        self.rules.iter().any(|rule| rule.fault == Fault::Remove)
    }
}

impl Fault {
    /// Whether it is of an event of a watch, not of a request.
    const fn is_of_event(self) -> bool {
        matches!(self, Self::Lose | Self::Repeat | Self::Swap | Self::Inflate)
    }
}

impl Rule {
    pub fn is_of(&self, verb: &str, resource: &str) -> bool {
        let is = |wanted: &str, name: &str| wanted == name || wanted == ANY && verb != EVENT;
        is(&self.verb, verb) && is(&self.resource, resource)
    }

    /// Whether the fault meets the request with this number.
    pub fn meets(&self, number: usize) -> bool {
        number >= self.nth && number - self.nth < self.times
    }
}

impl fmt::Display for When {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if *self == Self::Before { "before" } else { "after" })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) => write!(formatter, "delay {}ms", time.as_millis()),
            Self::Drop(when) => write!(formatter, "drop {when}"),
            Self::Answer(code, when, None) => write!(formatter, "answer {code} {when}"),
            Self::Answer(code, when, Some(seconds)) => {
                write!(formatter, "answer {code} {when} retry {seconds}")
            }
            Self::Reset => formatter.write_str("reset"),
            Self::Stall => formatter.write_str("stall"),
            Self::Truncate => formatter.write_str("truncate"),
            Self::Corrupt => formatter.write_str("corrupt"),
            Self::Hold(time) => write!(formatter, "hold {}ms", time.as_millis()),
            Self::Silence => formatter.write_str("silence"),
            Self::Close(time) => write!(formatter, "close {}ms", time.as_millis()),
            Self::Replay => formatter.write_str("replay"),
            Self::Trickle(time) => write!(formatter, "trickle {}ms", time.as_millis()),
            Self::Lag(time) => write!(formatter, "lag {}ms", time.as_millis()),
            Self::Lose => formatter.write_str("lose"),
            Self::Repeat => formatter.write_str("repeat"),
            Self::Swap => formatter.write_str("swap"),
            Self::Inflate => formatter.write_str("inflate"),
            Self::Kill(when) => write!(formatter, "kill {when}"),
            Self::Late(time) => write!(formatter, "kill late {}ms", time.as_millis()),
            Self::Term => formatter.write_str("term"),
            Self::Remove => formatter.write_str("remove"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} #{}", self.verb, self.resource, self.nth)?;
        match self.times {
            1 => {}
            usize::MAX => formatter.write_str(" x*")?,
            times => write!(formatter, " x{times}")?,
        }
        write!(formatter, " {}", self.fault)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} group{}", self.groups, if self.groups == 1 { "" } else { "s" })?;
        self.rules.iter().try_for_each(|rule| write!(formatter, " | {rule}"))
    }
}

impl FromStr for When {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "before" => Ok(Self::Before),
            "after" => Ok(Self::After),
            _ => bail!("{text:?} is neither before nor after"),
        }
    }
}

fn milliseconds(text: &str) -> Result<Duration> {
    let number = text.strip_suffix("ms").with_context(|| format!("{text:?} is not like 500ms"))?;
    Ok(Duration::from_millis(number.parse()?))
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["delay", time] => Self::Delay(milliseconds(time)?),
            ["drop", when] => Self::Drop(when.parse()?),
            ["answer", code, when] => Self::Answer(code.parse()?, when.parse()?, None),
            ["answer", code, when, "retry", seconds] => {
                Self::Answer(code.parse()?, when.parse()?, Some(seconds.parse()?))
            }
            ["reset"] => Self::Reset,
            ["stall"] => Self::Stall,
            ["truncate"] => Self::Truncate,
            ["corrupt"] => Self::Corrupt,
            ["hold", time] => Self::Hold(milliseconds(time)?),
            ["silence"] => Self::Silence,
            ["close", time] => Self::Close(milliseconds(time)?),
            ["replay"] => Self::Replay,
            ["trickle", time] => Self::Trickle(milliseconds(time)?),
            ["lag", time] => Self::Lag(milliseconds(time)?),
            ["lose"] => Self::Lose,
            ["repeat"] => Self::Repeat,
            ["swap"] => Self::Swap,
            ["inflate"] => Self::Inflate,
            ["kill", "late", time] => Self::Late(milliseconds(time)?),
            ["term"] => Self::Term,
            ["remove"] => Self::Remove,
            ["kill", when] => Self::Kill(when.parse()?),
            _ => bail!("{text:?} is no fault"),
        })
    }
}

impl FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace().peekable();
        let mut word = || words.next().map(str::to_owned).context("it needs: VERB RESOURCE #NTH FAULT");
        let (verb, resource, number) = (word()?, word()?, word()?);
        let number = number.strip_prefix('#').context("the number begins with #")?;
        let nth = number.parse().with_context(|| format!("the number {number}"))?;
        ensure!(nth > 0, "requests are counted from #1 on");
        let times = match words.peek().and_then(|word| word.strip_prefix('x')) {
            Some("*") => usize::MAX,
            Some(times) => times.parse().with_context(|| format!("x{times}"))?,
            None => 1,
        };
        let fault: Vec<&str> = words.skip_while(|word| word.starts_with('x')).collect();
        let fault: Fault = fault.join(" ").parse()?;
        ensure!((verb == EVENT) == fault.is_of_event(), "{fault} is a fault of events, or only of requests");
        Ok(Self { verb, resource, nth, times, fault })
    }
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split('|').map(str::trim);
        let groups = parts.next().unwrap_or_default();
        let number = groups.strip_suffix(" group").or_else(|| groups.strip_suffix(" groups"));
        let number = number.with_context(|| format!("a plan begins with `1 group`, not with {groups:?}"))?;
        let rules = parts.map(|rule| rule.parse().with_context(|| format!("the rule {rule:?}")));
        Ok(Self { groups: number.parse()?, rules: rules.collect::<Result<_>>()? })
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
