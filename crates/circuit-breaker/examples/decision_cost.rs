//! What a decision costs: `cargo run --release -p circuit-breaker --example decision_cost`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use circuit_breaker::{Breaker, Mode, Settings};

const ROUNDS: usize = 7;
const CALLS: u32 = 5_000_000;

fn main() {
    let breaker = Breaker::new(Settings::new(50, Duration::from_secs(60)));
    let admitted = || drop(black_box(breaker.acquire()));
    report("a call is admitted", admitted);
    report("a call is admitted, and its success recorded", || {
        if let Ok(permit) = black_box(breaker.acquire()) {
            permit.succeeded();
        }
    });
    breaker.hear_of_opening(Duration::from_secs(60));
    breaker.reset(Mode::Automatic);
    breaker.hear_of_opening(Duration::from_secs(60));
    report("a call is refused", || drop(black_box(breaker.acquire())));
}

/// The median of some rounds.
fn report(what: &str, operation: impl Fn()) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..CALLS {
                operation();
            }
            began.elapsed().as_nanos() as f64 / f64::from(CALLS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{what}: {:.1} ns", rounds[ROUNDS / 2]);
}
