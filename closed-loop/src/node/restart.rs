//! Decides what follows when a container's program has ended or must end. No I/O and no clock: the
//! caller passes the times.

use std::time::Duration;

/// The first and the largest backoff before a restart.
const DELAYS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));
/// A container that ran longer than this restarts without a backoff.
const FORGIVEN_AFTER: Duration = Duration::from_mins(10);
/// The grace period of a pod that is no longer in the API.
const FORCED: Duration = Duration::from_secs(1);

/// The decision after a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Restart it after this backoff.
    Restart(Duration),
    /// Do not restart it.
    Done,
}

/// Decides what follows a run that ended with this code. `ran` is its length; `before` is the
/// backoff before it, none for the first run.
pub(super) fn after_end(policy: Option<&str>, code: i32, ran: Duration, before: Option<Duration>) -> Next {
    match policy {
        Some("Never") => return Next::Done,
        Some("OnFailure") if code == 0 => return Next::Done,
        _ => {}
    }
    match before {
        None => Next::Restart(Duration::ZERO),
        Some(_) if ran > FORGIVEN_AFTER => Next::Restart(Duration::ZERO),
        Some(Duration::ZERO) => Next::Restart(DELAYS.0),
        Some(before) => Next::Restart((before * 2).min(DELAYS.1)),
    }
}

/// A step of ending a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait for the preStop hook.
    Sleep,
    /// Send SIGTERM and wait.
    Terminate,
    /// Send SIGKILL.
    Kill,
}

/// The step to take. `since` is the time since the end was requested; `gone` means that the pod is
/// no longer in the API. The hook's sleep is part of the grace period, as in Kubernetes.
pub(super) fn step(since: Duration, pre_stop: Duration, grace: Duration, gone: bool) -> Step {
    let (pre_stop, grace) = if gone { (Duration::ZERO, FORCED) } else { (pre_stop.min(grace), grace) };
    if since < pre_stop {
        Step::Sleep
    } else if since < grace {
        Step::Terminate
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
    fn the_policy_and_the_exit_code_decide_about_a_restart() {
        let again = Next::Restart(Duration::ZERO);
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
    fn the_backoff_grows_to_five_minutes_and_is_reset_by_a_long_run() {
        let mut before = None;
        let mut delays = Vec::new();
        for ran in [1, 1, 1, 1, 1, 1, 1, 601, 1] {
            let Next::Restart(delay) = after_end(None, 1, secs(ran), before) else { panic!("it restarts") };
            delays.push(delay.as_secs());
            before = Some(delay);
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 0, 10]);
    }

    #[test]
    fn a_program_is_ended_by_the_hook_then_sigterm_then_sigkill() {
        for (since, pre_stop, grace, gone, want) in [
            (0, 0, 30, false, Step::Terminate),
            (29, 0, 30, false, Step::Terminate),
            (30, 0, 30, false, Step::Kill),
            (4, 5, 30, false, Step::Sleep),
            (5, 5, 30, false, Step::Terminate),
            // The hook does not lengthen the grace period.
            (10, 60, 10, false, Step::Kill),
            (0, 0, 0, false, Step::Kill),
            (0, 5, 30, true, Step::Terminate),
            (0, 0, 0, true, Step::Terminate),
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
