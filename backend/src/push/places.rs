//! How many pushes of one user are under way: users name the services, and one who names those that hang must not have all
//! the places that there are.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use protocol::UserId;

/// Pushes of one user at a time, on one worker.
const OF_A_USER: u32 = 2;

/// The places that are taken. As many users as pushes are under way.
#[derive(Default)]
pub(super) struct Places(Arc<Mutex<HashMap<UserId, u32>>>);

/// A place, until it is dropped.
pub struct Place {
    user: UserId,
    places: Arc<Mutex<HashMap<UserId, u32>>>,
}

impl Places {
    /// A place, unless the user has as many as one may have.
    pub(super) fn take(&self, user: &UserId) -> Option<Place> {
        let mut taken = self.0.lock();
        let of_user = taken.entry(user.clone()).or_default();
        if *of_user >= OF_A_USER {
            return None;
        }
        *of_user += 1;
        Some(Place {
            user: user.clone(),
            places: self.0.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.places.lock().entry(self.user.clone()) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_some_and_leaves_the_others() {
        let places = Places::default();
        let (ana, bea) = (UserId::trusted("ana"), UserId::trusted("bea"));
        let mut of_ana: Vec<Place> = (0..OF_A_USER).filter_map(|_| places.take(&ana)).collect();
        assert_eq!(of_ana.len(), OF_A_USER as usize);
        assert!(places.take(&ana).is_none());
        assert!(places.take(&bea).is_some());
        of_ana.pop();
        assert!(places.take(&ana).is_some());
        drop(of_ana);
        assert!(places.0.lock().is_empty());
    }
}
