//! What follows when a container's program has ended or has to end. Pure: times are handed in.

use std::time::Duration;

/// The delay before a container starts again grows from the first to the second.
const DELAYS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));
/// A container that has run this long starts without delay when it ends.
const FORGIVEN_AFTER: Duration = Duration::from_mins(10);
/// How long the program of a pod that is in the API no more may take to end.
const FORCED: Duration = Duration::from_secs(1);

/// What follows an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It starts again after this delay.
    Again(Duration),
    /// It has run for the last time.
    Done,
}

/// After an end with this code, of a run of this length, where the delay before that run was `before` (nothing for
/// the first run).
pub(super) fn after_end(policy: Option<&str>, code: i32, ran: Duration, before: Option<Duration>) -> Next {
    match policy {
        Some("Never") => return Next::Done,
        Some("OnFailure") if code == 0 => return Next::Done,
        _ => {}
    }
    match before {
        None => Next::Again(Duration::ZERO),
        Some(_) if ran > FORGIVEN_AFTER => Next::Again(Duration::ZERO),
        Some(Duration::ZERO) => Next::Again(DELAYS.0),
        Some(before) => Next::Again((before * 2).min(DELAYS.1)),
    }
}

/// What a program that has to end is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Its preStop hook sleeps.
    Sleep,
    /// It was asked to end, and is waited for.
    Ask,
    /// Its time is over.
    Kill,
}

/// So long after its end was wanted; `gone` where the pod is in the API no more. The hook's sleep is part of the grace
/// period, as Kubernetes has it.
pub(super) fn step(since: Duration, pre_stop: Duration, grace: Duration, gone: bool) -> Step {
    let (pre_stop, grace) = if gone { (Duration::ZERO, FORCED) } else { (pre_stop.min(grace), grace) };
    if since < pre_stop {
        Step::Sleep
    } else if since < grace {
        Step::Ask
    } else {
        Step::Kill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_policy_and_the_code_say_whether_it_starts_again() {
        let again = Next::Again(Duration::ZERO);
        for (policy, code, want) in [
            (None, 0, again),
            (Some("Always"), 0, again),
            (Some("Always"), 1, again),
            (Some("OnFailure"), 0, Next::Done),
            (Some("OnFailure"), 1, again),
            (Some("Never"), 0, Next::Done),
            (Some("Never"), 1, Next::Done),
        ] {
            assert_eq!(after_end(policy, code, secs(1), None), want, "{policy:?} {code}");
        }
    }

    #[test]
    fn a_crash_loop_slows_down_to_five_minutes_and_a_long_run_is_forgiven() {
        let mut before = None;
        let mut delays = Vec::new();
        for ran in [1, 1, 1, 1, 1, 1, 1, 601, 1] {
            let Next::Again(delay) = after_end(None, 1, secs(ran), before) else { panic!("it starts again") };
            delays.push(delay.as_secs());
            before = Some(delay);
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 0, 10]);
    }

    #[test]
    fn an_end_is_slept_for_then_asked_for_then_forced() {
        for (since, pre_stop, grace, gone, want) in [
            (0, 0, 30, false, Step::Ask),
            (29, 0, 30, false, Step::Ask),
            (30, 0, 30, false, Step::Kill),
            (4, 5, 30, false, Step::Sleep),
            (5, 5, 30, false, Step::Ask),
            // The hook does not lengthen the grace period.
            (10, 60, 10, false, Step::Kill),
            (0, 0, 0, false, Step::Kill),
            (0, 5, 30, true, Step::Ask),
            (0, 0, 0, true, Step::Ask),
            (1, 5, 30, true, Step::Kill),
        ] {
            assert_eq!(
                step(secs(since), secs(pre_stop), secs(grace), gone),
                want,
                "{since} {pre_stop} {grace}"
            );
        }
    }
}
