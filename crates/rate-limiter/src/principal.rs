//! One principal of a tier, as an instance knows it.
//!
//! What must stay true, of leased tiers: a permit is used either after it was counted where the instances share the count, and
//! before its lease is over, or on credit. Credit is granted only while nothing but credit was granted in the window, so in
//! no window does an instance grant more of it than [`Shape::credit`].

use std::sync::Arc;

use tokio::sync::{Notify, futures::OwnedNotified};

use crate::{shared::Answer, slots::Slots, tier::Shape};

/// How long it is believed that the limit is reached, in milliseconds: a message that it was cleared may be lost.
const BELIEVED: u64 = 5_000;

#[derive(Debug, Default)]
pub(crate) struct Principal {
    /// What was granted here.
    pub(crate) granted: Slots,
    /// The first is used first.
    leases: [Lease; 2],
    /// What a lease that ended had left.
    unused: (u64, u32),
    /// Granted here, and not counted by the others yet.
    owed: u32,
    asking: bool,
    /// The others' count reaches the limit until then.
    full_until: u64,
    /// Before that, nobody is asked.
    ask_again_at: u64,
    /// What was free when it was asked last, beside what is leased here.
    free: Option<u32>,
    waiting: Option<Arc<Notify>>,
}

/// Permits that may be used until it is over.
#[derive(Debug, Default)]
struct Lease {
    permits: u32,
    /// Where they are counted.
    slot: u64,
    /// In milliseconds since the start of the limiter.
    until: u64,
}

/// What to ask the shared count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) owed: u32,
    pub(crate) least: u32,
    pub(crate) most: u32,
    pub(crate) back: (u64, u32),
}

/// A decision without asking.
pub(crate) enum Step {
    Granted,
    /// For so many milliseconds.
    Refused(u64),
    /// It isn't known before the answer that this tells of.
    Unknown(OwnedNotified),
}

impl Ask {
    /// Takes nothing and tells how things are.
    pub(crate) fn nothing() -> Self {
        Self::exactly(0)
    }

    /// All or none of these permits.
    pub(crate) fn exactly(wanted: u32) -> Self {
        Self {
            owed: 0,
            least: wanted,
            most: wanted,
            back: (0, 0),
        }
    }

    /// Gives back a permit of a slot.
    pub(crate) fn give_back(slot: u64) -> Self {
        Self {
            back: (slot, 1),
            ..Self::nothing()
        }
    }
}

impl Principal {
    /// Bytes on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.granted.bytes()
    }

    /// Counts what this instance decides alone.
    pub(crate) fn take_alone(&mut self, shape: &Shape, wanted: u32, now: u64) -> Step {
        self.granted.forget(shape, now);
        match self.granted.wait(shape, wanted, now) {
            0 => {
                self.granted.add(shape, wanted, now);
                Step::Granted
            }
            wait => Step::Refused(wait),
        }
    }

    /// The same while the others can't be asked, who learn of it later.
    pub(crate) fn take_unshared(&mut self, shape: &Shape, now: u64) -> Step {
        let step = self.take_alone(shape, 1, now);
        if matches!(step, Step::Granted) {
            self.owed = (self.owed + 1).min(self.granted.total());
        }
        step
    }

    /// Uses a leased permit, or one on credit; and what is to be asked for meanwhile.
    pub(crate) fn take_leased(&mut self, shape: &Shape, now: u64) -> (Step, Option<Ask>) {
        self.granted.forget(shape, now);
        if self.granted.total() == 0 {
            self.owed = 0;
        }
        self.end_leases(now);
        if let Some(lease) = self.leases.iter_mut().find(|lease| lease.permits > 0) {
            lease.permits -= 1;
            self.granted.add(shape, 1, now);
            let low = self.leased() <= shape.batch / 2 && self.leases[1].permits == 0;
            return (Step::Granted, if low { self.ask(shape, now) } else { None });
        }
        if self.full_until > now {
            return (Step::Refused(self.full_until - now), self.ask(shape, now));
        }
        if self.owed == self.granted.total() && self.owed < shape.credit {
            self.owed += 1;
            self.granted.add(shape, 1, now);
            let low = self.owed > shape.credit / 2;
            return (Step::Granted, if low { self.ask(shape, now) } else { None });
        }
        // Nothing is known of what others use, so the pause of an earlier answer is over.
        self.ask_again_at = 0;
        let ask = self.ask(shape, now);
        let waiting = self.waiting.get_or_insert_default();
        (Step::Unknown(waiting.clone().notified_owned()), ask)
    }

    /// Takes an answer in; `asked` is when it was asked for.
    pub(crate) fn answered(
        &mut self,
        shape: &Shape,
        ask: Ask,
        answer: Option<Answer>,
        asked: u64,
        now: u64,
    ) {
        self.asking = false;
        if let Some(waiting) = self.waiting.take() {
            waiting.notify_waiters();
        }
        let Some(answer) = answer else {
            return;
        };
        self.owed = self.owed.saturating_sub(ask.owed);
        if self.unused == ask.back {
            self.unused = (0, 0);
        }
        self.free = Some(shape.limit.saturating_sub(answer.used));
        if answer.taken == 0 {
            self.full_until = now + answer.wait;
            self.ask_again_at = now + answer.wait.min(BELIEVED);
            return;
        }
        (self.full_until, self.ask_again_at) = (0, 0);
        let lease = Lease {
            permits: answer.taken,
            slot: answer.slot,
            until: asked + shape.lease,
        };
        let [first, second] = &mut self.leases;
        match first.permits {
            0 => *first = lease,
            _ => *second = lease,
        }
    }

    /// What is left of the limit, as far as it is known here.
    pub(crate) fn remaining(&self, shape: &Shape) -> u32 {
        let own = shape.limit.saturating_sub(self.granted.total());
        let shared = self.free.map(|free| free.saturating_add(self.leased()));
        if self.granted.total() == self.owed {
            return own;
        }
        shared.map_or(own, |shared| shared.min(own))
    }

    fn leased(&self) -> u32 {
        self.leases.iter().map(|lease| lease.permits).sum()
    }

    fn ask(&mut self, shape: &Shape, now: u64) -> Option<Ask> {
        if self.asking || self.ask_again_at > now {
            return None;
        }
        self.asking = true;
        Some(Ask {
            owed: self.owed,
            least: 1,
            most: shape.batch,
            back: self.unused,
        })
    }

    fn end_leases(&mut self, now: u64) {
        for lease in &mut self.leases {
            if lease.permits > 0 && lease.until <= now {
                // Of several only the last is given back; the others count until they are out of the window.
                self.unused = (lease.slot, lease.permits);
                lease.permits = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::tier::{Limit, Mode};

    /// What sliding_window.lua does.
    #[derive(Default)]
    struct Model(BTreeMap<u64, u32>);

    impl Model {
        fn ask(&mut self, shape: &Shape, ask: Ask, now: u64) -> Answer {
            let (slot, first) = (
                now / shape.width,
                now.saturating_sub(shape.shared_hold) / shape.width,
            );
            self.0.retain(|slot, _| *slot >= first);
            if let Some(permits) = self.0.get_mut(&ask.back.0) {
                *permits = permits.saturating_sub(ask.back.1);
            }
            let used = self.0.values().sum::<u32>() + ask.owed;
            let taken = ask.most.min(shape.limit.saturating_sub(used));
            let taken = if taken < ask.least { 0 } else { taken };
            *self.0.entry(slot).or_default() += ask.owed + taken;
            let (earliest, _) = self
                .0
                .iter()
                .find(|(_, permits)| **permits > 0)
                .unwrap_or((&slot, &0));
            Answer {
                taken,
                slot,
                wait: ((earliest + 1) * shape.width + shape.shared_hold).saturating_sub(now),
                used: used + taken,
            }
        }
    }

    /// One instance, whose clock is some time ahead and whose answers are under way for a while.
    struct Instance {
        principal: Principal,
        ahead: u64,
        /// What is asked, when it was, by its own clock, and when it is counted and answered.
        asked: Option<(Ask, u64, u64, u64)>,
        answer: Option<Answer>,
    }

    const INSTANCES: usize = 4;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_window_holds_more_than_the_limit_and_the_credit_of_each_instance(
            steps in prop::collection::vec((0_u64..120, 0..INSTANCES, 0_u64..80), 200..3_000),
            limit in 1_u32..120,
            ahead in prop::array::uniform4(0_u64..100_000),
        ) {
            let shape = Shape::new(Limit::of(limit, 4), Mode::Leased);
            let mut shared = Model::default();
            let mut instances = ahead.map(|ahead| Instance {
                principal: Principal::default(),
                ahead,
                asked: None,
                answer: None,
            });
            let (mut now, mut granted, mut refused) = (1_000_000_u64, Vec::new(), 0);
            for (pause, index, takes) in steps {
                // Most steps are a burst at one moment.
                now += pause.saturating_sub(60);
                for instance in &mut instances {
                    let Some((ask, asked, counts_at, answers_at)) = instance.asked else {
                        continue;
                    };
                    if counts_at <= now && instance.answer.is_none() {
                        instance.answer = Some(shared.ask(&shape, ask, now));
                    }
                    if answers_at <= now {
                        instance.asked = None;
                        let answer = instance.answer.take();
                        instance.principal.answered(&shape, ask, answer, asked, now + instance.ahead);
                    }
                }
                let instance = &mut instances[index];
                let here = now + instance.ahead;
                let (step, ask) = instance.principal.take_leased(&shape, here);
                match step {
                    Step::Granted => granted.push(now),
                    Step::Refused(_) => refused += 1,
                    Step::Unknown(_) => {}
                }
                if let Some(ask) = ask {
                    prop_assert!(instance.asked.is_none());
                    instance.asked = Some((ask, here, now + takes / 2, now + takes));
                }
                let bound = limit + INSTANCES as u32 * shape.credit;
                let window = granted.iter().rev().take_while(|then| **then + 4_000 > now);
                let count = window.count();
                prop_assert!(count <= bound as usize, "{count} of {bound}");
            }
            // Who keeps asking gets most of what is allowed.
            let whole = (now - 1_000_000) / 4_000;
            if refused > 0 && whole > 0 {
                let fewest = u64::from(limit) * whole * 6 / 10;
                let lent = u64::from(2 * INSTANCES as u32 * shape.batch) * (whole + 1);
                prop_assert!(granted.len() as u64 + lent >= fewest, "{} of {fewest}", granted.len());
            }
        }
    }
}
