//! The state machine against a model, and its single probe against many threads.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use proptest::prelude::*;

use super::*;

/// Keeps the causes of transitions.
struct Causes(Arc<Mutex<Vec<Cause>>>);

impl Causes {
    fn of(breaker: &Breaker) -> Self {
        let causes: Arc<Mutex<Vec<Cause>>> = Arc::default();
        let observed = causes.clone();
        breaker.observe(move |transition| observed.lock().unwrap().push(transition.cause));
        Self(causes)
    }

    fn take(&self) -> Vec<Cause> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

const RECOVERY: u64 = 1_000;

fn settings() -> Settings {
    Settings::new(50, millis(RECOVERY))
        .minimum_calls(4)
        .window(millis(10_000))
}

fn end(permit: Permit<'_>, outcome: Outcome, now: u64) {
    let (word, began) = (permit.word, permit.began);
    permit.breaker.end_at(word, began, outcome, now);
    // As if it had ended at `now`, whatever the clock says.
    std::mem::forget(permit);
}

fn fail(breaker: &Breaker, now: u64) {
    end(breaker.acquire_at(|| now).unwrap(), Outcome::Failure, now);
}

fn succeed(breaker: &Breaker, now: u64) {
    end(breaker.acquire_at(|| now).unwrap(), Outcome::Success, now);
}

fn opened() -> Breaker {
    let breaker = Breaker::new(settings());
    for _ in 0..4 {
        fail(&breaker, 0);
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

#[test]
fn it_opens_at_the_threshold_and_closes_after_one_probe() {
    let breaker = Breaker::new(settings());
    let causes = Causes::of(&breaker);
    for _ in 0..3 {
        succeed(&breaker, 0);
        fail(&breaker, 0);
        if breaker.state() == State::Open {
            break;
        }
    }
    assert_eq!(causes.take(), [Cause::Failures]);
    let refused = breaker.acquire_at(|| 400).unwrap_err();
    assert_eq!(refused.retry_after, millis(600));
    let probe = breaker.acquire_at(|| RECOVERY).unwrap();
    assert_eq!(breaker.state(), State::HalfOpen);
    assert!(breaker.acquire_at(|| RECOVERY).is_err());
    end(probe, Outcome::Success, RECOVERY);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(causes.take(), [Cause::Probe, Cause::ProbeSucceeded]);
    // What failed before is forgotten.
    for _ in 0..3 {
        fail(&breaker, RECOVERY);
    }
    assert_eq!(breaker.state(), State::Closed);
    let counts = breaker.counts();
    assert_eq!(
        (counts.successes, counts.failures, counts.rejected),
        (3, 5, 2)
    );
    assert_eq!(
        (counts.opened, counts.half_opened, counts.closed),
        (1, 1, 1)
    );
}

#[test]
fn a_probe_that_is_dropped_frees_its_place_and_one_that_hangs_is_given_up() {
    let breaker = opened();
    let probe = breaker.acquire_at(|| RECOVERY).unwrap();
    end(probe, Outcome::Dropped, RECOVERY);
    let probe = breaker.acquire_at(|| RECOVERY).unwrap();
    assert!(breaker.acquire_at(|| 2 * RECOVERY - 1).is_err());
    let next = breaker.acquire_at(|| 2 * RECOVERY).unwrap();
    end(probe, Outcome::Failure, 2 * RECOVERY);
    assert_eq!(breaker.state(), State::HalfOpen, "it comes too late");
    end(next, Outcome::Failure, 2 * RECOVERY);
    assert_eq!(breaker.state(), State::Open);
    assert!(breaker.acquire_at(|| 3 * RECOVERY - 1).is_err());
}

#[test]
fn a_probe_that_succeeds_late_closes_a_circuit_that_is_still_half_open() {
    let breaker = opened();
    // The dependency works, and takes longer than a probe is waited for.
    let probes: Vec<_> = (1..=4)
        .map(|n| breaker.acquire_at(|| n * RECOVERY).unwrap())
        .collect();
    let mut probes = probes.into_iter();
    end(probes.next().unwrap(), Outcome::Success, 4 * RECOVERY);
    assert_eq!(breaker.state(), State::Closed);
    for late in probes {
        end(late, Outcome::Failure, 5 * RECOVERY);
    }
    assert_eq!(breaker.state(), State::Closed);
    // Not one that is open again.
    let breaker = opened();
    let late = breaker.acquire_at(|| RECOVERY).unwrap();
    fail(&breaker, 2 * RECOVERY);
    end(late, Outcome::Success, 2 * RECOVERY);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_call_from_before_decides_nothing_afterwards() {
    let breaker = Breaker::new(settings());
    let old: Vec<_> = (0..10).map(|_| breaker.acquire_at(|| 0).unwrap()).collect();
    for _ in 0..4 {
        fail(&breaker, 0);
    }
    let mut old = old.into_iter();
    end(old.next().unwrap(), Outcome::Success, 1);
    assert_eq!(breaker.state(), State::Open);
    end(
        breaker.acquire_at(|| RECOVERY).unwrap(),
        Outcome::Success,
        RECOVERY,
    );
    for permit in old {
        end(permit, Outcome::Failure, RECOVERY);
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.window.tally(RECOVERY).calls, 0);
}

#[test]
fn slow_calls_are_failures_if_that_is_wanted() {
    let breaker = Breaker::new(settings().slow_call(millis(100)));
    for _ in 0..4 {
        let permit = breaker.acquire_at(|| 0).unwrap();
        end(permit, Outcome::Success, 99);
    }
    assert_eq!(breaker.state(), State::Closed);
    for _ in 0..4 {
        let permit = breaker.acquire_at(|| 0).unwrap();
        end(permit, Outcome::Success, 100);
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn an_operator_overrules_outcomes() {
    let breaker = Breaker::new(settings());
    let causes = Causes::of(&breaker);
    breaker.reset(Mode::Closed);
    for _ in 0..20 {
        fail(&breaker, 0);
    }
    assert_eq!((breaker.state(), causes.take()), (State::Closed, vec![]));
    breaker.reset(Mode::Open);
    breaker.reset(Mode::Open);
    assert!(breaker.acquire_at(|| 1_000_000).is_err());
    breaker.hear_of_closing_at(0);
    assert_eq!(breaker.state(), State::Open);
    breaker.reset(Mode::Automatic);
    assert!(breaker.acquire_at(|| 0).is_ok());
    assert_eq!(causes.take(), [Cause::Operator, Cause::Operator]);
    let breaker = opened();
    breaker.reset(Mode::Automatic);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn others_are_believed_only_by_those_who_know_no_better() {
    // Nothing of its own.
    let breaker = Breaker::new(settings());
    assert!(breaker.hear_of_opening_at(millis(10 * RECOVERY), 0));
    assert!(
        !breaker.hear_of_opening_at(millis(RECOVERY), 500),
        "it is open"
    );
    // Never for longer than its own timeout. The probe is its own.
    succeed(&breaker, RECOVERY);
    assert_eq!(breaker.state(), State::Closed);
    // The probe is believed for a while, then others are again.
    assert!(!breaker.hear_of_opening_at(millis(RECOVERY), 2 * RECOVERY - 1));
    assert!(breaker.hear_of_opening_at(millis(RECOVERY), 2 * RECOVERY));
    // Calls of its own that succeed.
    let breaker = Breaker::new(settings());
    for _ in 0..4 {
        succeed(&breaker, 0);
    }
    assert!(!breaker.hear_of_opening_at(millis(RECOVERY), 0));
    // A closing elsewhere only makes the probe due.
    let breaker = opened();
    breaker.hear_of_closing_at(10);
    assert_eq!(breaker.state(), State::Open);
    fail(&breaker, 10);
    assert_eq!(breaker.state(), State::Open);
    assert!(breaker.acquire_at(|| 11).is_err());
}

#[tokio::test]
async fn a_call_counts_by_its_error_and_a_cancelled_one_not_at_all() {
    let breaker = Breaker::new(settings());
    for _ in 0..10 {
        let refused = breaker
            .call(async { Err::<(), _>("duplicate key") }, |error| {
                *error == "timeout"
            })
            .await;
        assert_eq!(refused, Err(CallError::Failed("duplicate key")));
    }
    assert_eq!(
        (breaker.counts().successes, breaker.counts().failures),
        (10, 0)
    );
    let hanging = breaker.call(std::future::pending::<Result<(), ()>>(), |()| true);
    let done = std::future::ready(());
    tokio::select! { biased; _ = hanging => unreachable!(), () = done => {} }
    assert_eq!(
        (breaker.counts().successes, breaker.counts().failures),
        (10, 0)
    );
    breaker.reset(Mode::Open);
    let refused = breaker.call(async { Ok::<_, ()>(()) }, |()| true).await;
    assert!(matches!(refused, Err(CallError::Open(_))));
}

/// Many threads ask for the probe again and again: never are two under way.
#[test]
fn there_is_one_probe_whatever_the_number_of_threads() {
    const THREADS: usize = 8;
    let breaker = Arc::new(Breaker::new(
        Settings::new(1, Duration::from_secs(3_600)).minimum_calls(1),
    ));
    let probing = Arc::new(AtomicBool::new(false));
    let probes = Arc::new(AtomicUsize::new(0));
    for round in 0..300 {
        breaker.reset(Mode::Automatic);
        fail(&breaker, 0);
        breaker.hear_of_closing();
        let start = Arc::new(Barrier::new(THREADS));
        probes.store(0, SeqCst);
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (breaker, start) = (breaker.clone(), start.clone());
                let (probing, probes) = (probing.clone(), probes.clone());
                std::thread::spawn(move || {
                    start.wait();
                    for _ in 0..50 {
                        let Ok(probe) = breaker.acquire() else {
                            continue;
                        };
                        assert!(!probing.swap(true, SeqCst), "two probes at once");
                        let probes = probes.fetch_add(1, SeqCst);
                        std::thread::yield_now();
                        probing.store(false, SeqCst);
                        // The first ones are cancelled, and the place goes on.
                        if probes < round % 5 {
                            drop(probe);
                        } else {
                            probe.failed();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(probes.load(SeqCst) >= 1);
        assert_eq!(breaker.state(), State::Open);
    }
}

/// What a breaker should do, in the plainest words.
struct Model {
    mode: Mode,
    state: State,
    time: u64,
    period: u64,
    outcomes: VecDeque<(u64, bool)>,
}

#[derive(Debug, Clone)]
enum Step {
    Acquire,
    End(usize, u8),
    Pass(u64),
    HearOpening(u64),
    HearClosing,
    Reset(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Acquire),
        12 => (any::<usize>(), 0..5_u8).prop_map(|(which, outcome)| Step::End(which, outcome)),
        4 => (0..1_500_u64).prop_map(Step::Pass),
        1 => (10_000..30_000_u64).prop_map(Step::Pass),
        1 => (0..3_000_u64).prop_map(Step::HearOpening),
        1 => Just(Step::HearClosing),
        2 => (0..8_u8).prop_map(Step::Reset),
    ]
}

impl Model {
    fn go(&mut self, state: State, time: u64) {
        (self.state, self.time) = (state, time);
        self.period += 1;
        self.outcomes.clear();
    }

    fn tally(&self, now: u64) -> (usize, usize) {
        let recent = |(at, _): &&(u64, bool)| now / 1_000 - at / 1_000 < 10;
        let calls: Vec<_> = self.outcomes.iter().filter(recent).collect();
        (
            calls.len(),
            calls.iter().filter(|(_, failed)| *failed).count(),
        )
    }

    /// The period in which a call is admitted, and whether it is a probe.
    fn acquire(&mut self, now: u64) -> Option<(u64, bool)> {
        match (self.mode, self.state) {
            (Mode::Open, _) => None,
            (Mode::Closed, _) | (_, State::Closed) => Some((self.period, false)),
            _ if now < self.time => None,
            _ => {
                self.go(State::HalfOpen, now + RECOVERY);
                Some((self.period, true))
            }
        }
    }

    fn end(&mut self, (period, is_probe): (u64, bool), outcome: Outcome, now: u64) {
        let closes = is_probe && self.state == State::HalfOpen && outcome == Outcome::Success;
        if period != self.period && !closes {
            return;
        }
        match (self.state, outcome) {
            (State::Closed, Outcome::Dropped) => {}
            (State::Closed, outcome) => {
                let failed = outcome == Outcome::Failure;
                self.outcomes.push_back((now, failed));
                let (calls, failures) = self.tally(now);
                if failed && calls >= 4 && failures * 2 >= calls && self.mode == Mode::Automatic {
                    self.go(State::Open, now + RECOVERY);
                }
            }
            (_, Outcome::Success) => self.go(State::Closed, now + RECOVERY),
            (_, Outcome::Failure) => self.go(State::Open, now + RECOVERY),
            (_, Outcome::Dropped) => self.go(State::Open, now),
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec(step(), 1..200)) {
        let breaker = Breaker::new(settings());
        let mut model = Model {
            mode: Mode::Automatic,
            state: State::Closed,
            time: 0,
            period: 0,
            outcomes: VecDeque::new(),
        };
        let (mut now, mut permits) = (0, Vec::new());
        for step in steps {
            match step {
                Step::Acquire => {
                    let permit = breaker.acquire_at(|| now).ok();
                    let period = model.acquire(now);
                    prop_assert_eq!(permit.is_some(), period.is_some());
                    permits.extend(permit.zip(period));
                }
                Step::End(which, outcome) if !permits.is_empty() => {
                    let (permit, period) = permits.swap_remove(which % permits.len());
                    let outcome = match outcome {
                        0 | 1 => Outcome::Success,
                        2 | 3 => Outcome::Failure,
                        _ => Outcome::Dropped,
                    };
                    end(permit, outcome, now);
                    model.end(period, outcome, now);
                }
                Step::End(..) => {}
                Step::Pass(time) => now += time,
                Step::HearOpening(wait) => {
                    let (calls, failures) = model.tally(now);
                    let knows_better = now < model.time || (calls >= 4 && failures * 2 < calls);
                    let believes = model.mode == Mode::Automatic && model.state == State::Closed && !knows_better && wait > 0;
                    prop_assert_eq!(breaker.hear_of_opening_at(millis(wait), now), believes);
                    if believes {
                        model.go(State::Open, now + wait.min(RECOVERY));
                    }
                }
                Step::HearClosing => {
                    breaker.hear_of_closing_at(now);
                    if model.mode == Mode::Automatic && model.state == State::Open && now < model.time {
                        model.time = now;
                    }
                }
                Step::Reset(mode) => {
                    let mode = [Mode::Open, Mode::Closed].get(usize::from(mode)).copied().unwrap_or(Mode::Automatic);
                    breaker.reset(mode);
                    model.mode = mode;
                    model.go(State::Closed, 0);
                }
            }
            prop_assert_eq!(breaker.state(), effective(model.mode, model.state));
        }
        permits.into_iter().for_each(|(permit, _)| std::mem::forget(permit));
    }
}
