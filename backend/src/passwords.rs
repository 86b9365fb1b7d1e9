//! Passwords, kept as argon2id hashes. A hash is made to be dear, in time and in memory, so only a few are computed at
//! a time, off the runtime, and those who wait are bounded.
//!
//! What must stay true: checking takes the same time whether there is a hash to check against or not, so that nobody
//! learns by the clock which usernames exist.

use std::{
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{Error, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use protocol::{ErrorBody, ErrorCode, Secret};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::AppError;

/// What OWASP asks for argon2id: 19 MiB, two passes, one lane.
static ARGON2: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "constants within the bounds of the algorithm"
    )]
    let params = Params::new(19 * 1024, 2, 1, None).expect("the parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

/// The hash of random bytes that nobody has kept, by the same parameters.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$cm1bRk+FKg8VZY4OU148VA$PLByr09QpBJdW8f9XyI0/Y38AsAgqeSzPMYIMPQvidg";

/// Requests that may wait for their turn. With some 30 ms a hash, the last one waits about a second on two cores.
const WAITING: usize = 64;

/// Hashes and checks passwords, a few at a time.
pub struct Passwords {
    /// Places for those who wait and those whose turn it is.
    places: Arc<Semaphore>,
    /// Those whose turn it is.
    turns: Arc<Semaphore>,
}

/// A place in the queue for one hash or check.
pub struct PasswordPlace {
    place: OwnedSemaphorePermit,
    turns: Arc<Semaphore>,
}

impl Passwords {
    /// Half of the cores may hash, as the others have messages to deliver, but at least two hashes run at a time.
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::bounded((cores / 2).max(2), WAITING)
    }

    fn bounded(turns: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(turns + waiting)),
            turns: Arc::new(Semaphore::new(turns)),
        }
    }

    /// Takes a place in the queue.
    ///
    /// # Errors
    /// `unavailable` if 64 wait already.
    pub fn place(&self) -> Result<PasswordPlace, AppError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let body = ErrorBody::new(
                ErrorCode::Unavailable,
                "too many are signing in at once; try again",
            );
            AppError::from(body.retry_after_ms(Duration::from_secs(1).as_millis() as u64))
        })?;
        Ok(PasswordPlace {
            place,
            turns: Arc::clone(&self.turns),
        })
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl PasswordPlace {
    /// Hashes a new password with a salt of its own, in the PHC string format.
    ///
    /// # Errors
    /// `internal`, if the system gives no random numbers.
    pub async fn hash(self, password: Secret) -> Result<Secret, AppError> {
        self.run(move || hash(&password))
            .await?
            .map_err(AppError::internal)
    }

    /// Whether a password is the one that was hashed. Without a hash it isn't, which takes as long to find out.
    ///
    /// # Errors
    /// `internal`, if the hash isn't one.
    pub async fn verify(self, password: Secret, hash: Option<Secret>) -> Result<bool, AppError> {
        self.run(move || verify(&password, hash.as_ref()))
            .await?
            .map_err(AppError::internal)
    }

    /// Runs `work` when its turn has come. It keeps its turn until it is done, even if nobody waits for it any more.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AppError> {
        let turn = self
            .turns
            .acquire_owned()
            .await
            .map_err(AppError::internal)?;
        let place = self.place;
        let running = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((turn, place));
            done
        });
        running.await.map_err(AppError::internal)
    }
}

fn hash(password: &Secret) -> Result<Secret, Error> {
    let hash = ARGON2.hash_password(password.expose().as_bytes())?;
    Ok(hash.to_string().into())
}

fn verify(password: &Secret, hash: Option<&Secret>) -> Result<bool, Error> {
    let stored = PasswordHash::new(hash.map_or(NOBODYS, Secret::expose))?;
    match ARGON2.verify_password(password.expose().as_bytes(), &stored) {
        Ok(()) => Ok(hash.is_some()),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_matches() {
        let passwords = Passwords::new();
        let hash = passwords
            .place()
            .unwrap()
            .hash("correct horse".into())
            .await
            .unwrap();
        assert!(
            hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.expose()
        );
        let parameters = |hash: &str| hash.split('$').take(4).collect::<String>();
        assert_eq!(parameters(hash.expose()), parameters(NOBODYS));
        let again = passwords
            .place()
            .unwrap()
            .hash("correct horse".into())
            .await
            .unwrap();
        assert_ne!(hash, again, "each has a salt of its own");
        for (password, hash, expected) in [
            ("correct horse", Some(hash.clone()), true),
            ("Correct horse", Some(hash), false),
            ("correct horse", None, false),
        ] {
            let matches = passwords
                .place()
                .unwrap()
                .verify(password.into(), hash)
                .await
                .unwrap();
            assert_eq!(matches, expected, "{password}");
        }
        let broken = passwords
            .place()
            .unwrap()
            .verify("x".into(), Some("plain".into()))
            .await;
        assert_eq!(broken.unwrap_err().code(), ErrorCode::Internal);
    }

    #[tokio::test]
    async fn beyond_the_queue_it_is_unavailable_until_somebody_is_done() {
        let passwords = Passwords::bounded(1, 2);
        let places: Vec<_> = (0..3).map(|_| passwords.place().unwrap()).collect();
        let refused: ErrorBody = passwords.place().err().unwrap().into();
        assert_eq!(
            (refused.code, refused.retryable),
            (ErrorCode::Unavailable, true)
        );
        assert_eq!(refused.retry_after_ms, Some(1_000));
        for place in places {
            assert!(!place.verify("x".into(), None).await.unwrap());
        }
        assert!(passwords.place().is_ok());
    }
}
