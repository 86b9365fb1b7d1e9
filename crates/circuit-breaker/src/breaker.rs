//! The breaker of one dependency.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    Cause, Mode, Settings, State, Transition,
    clock::Clock,
    permit::{CallError, Open, Outcome, Permit},
    state::{AtomicWord, Word},
    window::Window,
};

type Observer = Box<dyn Fn(Transition) + Send + Sync>;

/// Decides whether a dependency is called, by the outcomes of the calls before.
pub struct Breaker {
    settings: Settings,
    clock: Clock,
    word: AtomicWord,
    window: Window,
    observer: OnceLock<Observer>,
    successes: AtomicU64,
    failures: AtomicU64,
    rejected: AtomicU64,
    /// To each state, in the order of [`State`].
    transitions: [AtomicU64; 3],
}

/// What a breaker has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed, slow ones included where these count as failures.
    pub failures: u64,
    /// Calls that weren't made because the circuit was open.
    pub rejected: u64,
    /// Changes to closed.
    pub closed: u64,
    /// Changes to half-open.
    pub half_opened: u64,
    /// Changes to open.
    pub opened: u64,
}

/// A breaker at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Whether calls are admitted.
    pub state: State,
    /// Who decides that.
    pub mode: Mode,
    /// Calls that ended in the window.
    pub calls: u32,
    /// Of these, those that failed.
    pub failures: u32,
    /// Of an open or half-open circuit: when the next probe is due.
    pub retry_after: Option<Duration>,
}

impl Breaker {
    /// A closed circuit.
    pub fn new(settings: Settings) -> Self {
        Self {
            window: Window::new(&settings),
            settings,
            clock: Clock::new(),
            word: AtomicWord::default(),
            observer: OnceLock::new(),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            transitions: Default::default(),
        }
    }

    /// Has `observer` called after every change of state, on the thread that caused it, so that it mustn't block. There can be one.
    pub fn observe(&self, observer: impl Fn(Transition) + Send + Sync + 'static) {
        // Whoever made the breaker observes it.
        drop(self.observer.set(Box::new(observer)));
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Admits a call, or refuses it.
    ///
    /// # Errors
    /// If the circuit is open.
    pub fn acquire(&self) -> Result<Permit<'_>, Open> {
        self.acquire_at(|| self.now())
    }

    /// Makes a call, unless the circuit is open. `is_failure` says which errors are the dependency's: that it couldn't be reached or
    /// didn't answer, not that it refused what was asked of it. A future that is dropped counts as neither.
    ///
    /// # Errors
    /// If the circuit is open, or those of the call.
    pub async fn call<T, E>(
        &self,
        call: impl Future<Output = Result<T, E>>,
        is_failure: impl FnOnce(&E) -> bool,
    ) -> Result<T, CallError<E>> {
        let permit = self.acquire()?;
        let result = call.await;
        match &result {
            Err(error) if is_failure(error) => permit.failed(),
            _ => permit.succeeded(),
        }
        result.map_err(CallError::Failed)
    }

    /// Another process opened its circuit, for so long. This one opens as well if it is closed, automatic, and knows no better: it
    /// does if it closed after a probe of its own less than `recovery_timeout` ago, or if enough of its own calls ended in the window
    /// and too few of them failed. The word of others is never passed on.
    pub fn hear_of_opening(&self, refused_for: Duration) -> bool {
        self.hear_of_opening_at(refused_for, self.now())
    }

    /// Another process closed its circuit after a probe. If this one is open, its next probe is due now; that decides.
    pub fn hear_of_closing(&self) -> bool {
        self.hear_of_closing_at(self.now())
    }

    /// Sets who decides and forgets all outcomes: an automatic circuit is closed.
    pub fn reset(&self, mode: Mode) {
        let mut word = self.word.load();
        let before = loop {
            match self.word.change(word, mode, State::Closed, 0) {
                Ok(_) => break word,
                Err(now) => word = now,
            }
        };
        self.window.clear();
        let to = effective(mode, State::Closed);
        if effective(before.mode(), before.state()) != to {
            self.changed(to, Cause::Operator, Duration::ZERO);
        }
    }

    /// The state now.
    pub fn state(&self) -> State {
        let word = self.word.load();
        effective(word.mode(), word.state())
    }

    /// The state now, and what it follows from.
    pub fn snapshot(&self) -> Snapshot {
        let (word, now) = (self.word.load(), self.now());
        let tally = self.window.tally(now);
        let state = effective(word.mode(), word.state());
        let waiting = word.mode() == Mode::Automatic && state != State::Closed;
        Snapshot {
            state,
            mode: word.mode(),
            calls: tally.calls,
            failures: tally.failures,
            retry_after: waiting.then(|| millis(word.time().saturating_sub(now))),
        }
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        let [closed, half_opened, opened] = &self.transitions;
        Counts {
            successes: self.successes.load(Relaxed),
            failures: self.failures.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            closed: closed.load(Relaxed),
            half_opened: half_opened.load(Relaxed),
            opened: opened.load(Relaxed),
        }
    }

    pub(crate) fn acquire_at(&self, now: impl Fn() -> u64) -> Result<Permit<'_>, Open> {
        let permit = |word| Permit {
            breaker: self,
            word,
            began: self.settings.slow_call.map_or(0, |_| now()),
            ended: false,
        };
        let mut word = self.word.load();
        loop {
            match (word.mode(), word.state()) {
                (Mode::Closed, _) | (Mode::Automatic, State::Closed) => return Ok(permit(word)),
                (Mode::Open, _) => return Err(self.refuse(self.settings.recovery_timeout)),
                (Mode::Automatic, state) => {
                    let now = now();
                    if now < word.time() {
                        return Err(self.refuse(millis(word.time() - now)));
                    }
                    // A probe of which nothing was heard for as long is given up.
                    let given_up = now + self.recovery();
                    match self
                        .word
                        .change(word, Mode::Automatic, State::HalfOpen, given_up)
                    {
                        Ok(probing) => {
                            if state == State::Open {
                                self.changed(State::HalfOpen, Cause::Probe, Duration::ZERO);
                            }
                            return Ok(permit(probing));
                        }
                        Err(now) => word = now,
                    }
                }
            }
        }
    }

    /// A call that was admitted in the period of `admitted` has ended.
    pub(crate) fn end(&self, admitted: Word, began: u64, outcome: Outcome) {
        // A dropped call is recorded nowhere, so that only the probe's needs to know the time.
        if outcome != Outcome::Dropped || admitted.state() == State::HalfOpen {
            self.end_at(admitted, began, outcome, self.now());
        }
    }

    pub(crate) fn end_at(&self, admitted: Word, began: u64, outcome: Outcome, now: u64) {
        let slow = self.settings.slow_call.map(|slow| slow.as_millis() as u64);
        let outcome = match outcome {
            Outcome::Success if slow.is_some_and(|slow| now.saturating_sub(began) >= slow) => {
                Outcome::Failure
            }
            outcome => outcome,
        };
        match outcome {
            Outcome::Success => self.successes.fetch_add(1, Relaxed),
            Outcome::Failure => self.failures.fetch_add(1, Relaxed),
            Outcome::Dropped => 0,
        };
        let word = self.word.load();
        if word != admitted {
            // A probe that was given up, of a dependency that takes longer than that to answer.
            let is_late_probe =
                admitted.state() == State::HalfOpen && word.state() == State::HalfOpen;
            if is_late_probe && outcome == Outcome::Success {
                self.judge(word, outcome, now);
            }
            return;
        }
        match admitted.state() {
            State::Closed => self.record(admitted, outcome, now),
            _ => self.judge(admitted, outcome, now),
        }
    }

    fn record(&self, admitted: Word, outcome: Outcome, now: u64) {
        match outcome {
            Outcome::Dropped => {}
            Outcome::Success => self.window.record(false, now),
            Outcome::Failure => {
                self.window.record(true, now);
                let tally = self.window.tally(now);
                let opens = tally.is_enough(&self.settings) && tally.is_too_bad(&self.settings);
                if opens && admitted.mode() == Mode::Automatic {
                    let wait = self.recovery();
                    self.change(admitted, State::Open, now, wait, Cause::Failures);
                }
            }
        }
    }

    /// By the outcome of the probe.
    fn judge(&self, probe: Word, outcome: Outcome, now: u64) {
        let wait = self.recovery();
        let (to, wait, cause) = match outcome {
            Outcome::Success => (State::Closed, wait, Cause::ProbeSucceeded),
            Outcome::Failure => (State::Open, wait, Cause::ProbeFailed),
            Outcome::Dropped => (State::Open, 0, Cause::ProbeDropped),
        };
        self.change(probe, to, now, wait, cause);
    }

    fn change(&self, from: Word, to: State, now: u64, wait: u64, cause: Cause) -> bool {
        let changed = self
            .word
            .change(from, Mode::Automatic, to, now + wait)
            .is_ok();
        if changed {
            self.window.clear();
            let refused_for = if to == State::Open { wait } else { 0 };
            self.changed(to, cause, millis(refused_for));
        }
        changed
    }

    pub(crate) fn hear_of_opening_at(&self, refused_for: Duration, now: u64) -> bool {
        let word = self.word.load();
        let tally = self.window.tally(now);
        let knows_better = now < word.time()
            || (tally.is_enough(&self.settings) && !tally.is_too_bad(&self.settings));
        if word.mode() != Mode::Automatic || word.state() != State::Closed || knows_better {
            return false;
        }
        let wait = (refused_for.as_millis() as u64).min(self.recovery());
        wait > 0 && self.change(word, State::Open, now, wait, Cause::Heard)
    }

    pub(crate) fn hear_of_closing_at(&self, now: u64) -> bool {
        let word = self.word.load();
        let waits =
            word.mode() == Mode::Automatic && word.state() == State::Open && now < word.time();
        // Whatever has become of it meanwhile is newer than what was heard.
        waits
            && self
                .word
                .change(word, Mode::Automatic, State::Open, now)
                .is_ok()
    }

    fn refuse(&self, retry_after: Duration) -> Open {
        self.rejected.fetch_add(1, Relaxed);
        Open { retry_after }
    }

    fn changed(&self, to: State, cause: Cause, refused_for: Duration) {
        self.transitions[to as usize].fetch_add(1, Relaxed);
        if let Some(observer) = self.observer.get() {
            observer(Transition {
                to,
                cause,
                refused_for,
            });
        }
    }

    fn recovery(&self) -> u64 {
        self.settings.recovery_timeout.as_millis() as u64
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }
}

fn effective(mode: Mode, state: State) -> State {
    match mode {
        Mode::Automatic => state,
        Mode::Open => State::Open,
        Mode::Closed => State::Closed,
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("settings", &self.settings)
            .field("now", &self.snapshot())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
