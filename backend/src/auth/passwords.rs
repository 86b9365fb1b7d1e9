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
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        Error,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};
use protocol::{ErrorBody, ErrorCode, Secret};

use super::fair_queue::{FairQueue, Full, Ticket};
use crate::{error::AppError, limits::network::Network};

/// What OWASP asks for argon2id: 19 MiB, two passes, one lane.
static ARGON2: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "constants within the bounds of the algorithm"
    )]
    let params = Params::new(19 * 1024, 2, 1, Some(Params::DEFAULT_OUTPUT_LEN))
        .expect("the parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

/// The hash of random bytes that nobody has kept, by the same parameters.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$cm1bRk+FKg8VZY4OU148VA$PLByr09QpBJdW8f9XyI0/Y38AsAgqeSzPMYIMPQvidg";

/// Requests that may wait. With some 30 ms a hash, the last one waits about a second on two cores.
const WAITING: usize = 64;

/// Bytes of address space behind a hash's memory. glibc keeps what is freed for later, up to 32 MiB a piece and apart for
/// many threads; what is larger it always gives back. Only what is used of them takes memory.
const MAPPED: usize = 33 << 20;

/// Hashes and checks passwords, a few at a time.
pub struct Passwords(Arc<FairQueue<Memory>>);

/// A position in the queue for one hash or check.
pub struct PasswordTicket(Ticket<Memory>);

/// What a hash is computed in. It goes from one to the next, so that there is one for each that runs at a time and none
/// when nobody signs in.
#[derive(Default)]
struct Memory(Vec<Block>);

impl Memory {
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.is_empty() {
            self.0.reserve_exact(count.max(MAPPED / Block::SIZE));
        }
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        &mut self.0[..count]
    }
}

impl Passwords {
    /// Half of the cores may hash, as the others have messages to deliver, but at least two hashes run at a time.
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::bounded((cores / 2).max(2), WAITING)
    }

    fn bounded(turns: usize, waiting: usize) -> Self {
        Self(Arc::new(FairQueue::new(turns, waiting)))
    }

    /// Joins the queue. Networks take turns, and a crowd from one of them makes room for the others.
    ///
    /// # Errors
    /// `unavailable` if 64 wait already, and none of them is to make room.
    pub fn ticket(&self, network: Network) -> Result<PasswordTicket, AppError> {
        self.0.ticket(network).map(PasswordTicket).map_err(full)
    }
}

fn full(Full: Full) -> AppError {
    let body = ErrorBody::new(
        ErrorCode::Unavailable,
        "too many are signing in at once; try again",
    );
    AppError::from(body.retry_after_ms(Duration::from_secs(1).as_millis() as u64))
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl PasswordTicket {
    /// Waits for work that has to be done before the password is hashed.
    ///
    /// # Errors
    /// `unavailable` if the ticket is lost to another network before that is done.
    pub async fn hold<F: Future>(&mut self, work: F) -> Result<F::Output, AppError> {
        self.0.hold(work).await.map_err(full)
    }

    /// Hashes a new password with a salt of its own, in the PHC string format.
    ///
    /// # Errors
    /// `unavailable` if the ticket is lost to another network; `internal`, if the system gives no random numbers.
    pub async fn hash(self, password: Secret) -> Result<Secret, AppError> {
        self.run(move |memory| hash(&password, memory))
            .await?
            .map_err(AppError::internal)
    }

    /// Whether a password is the one that was hashed. Without a hash it isn't, which takes as long to find out.
    ///
    /// # Errors
    /// `unavailable` if the ticket is lost to another network; `internal`, if the hash isn't one.
    pub async fn verify(self, password: Secret, hash: Option<Secret>) -> Result<bool, AppError> {
        self.run(move |memory| verify(&password, hash.as_ref(), memory))
            .await?
            .map_err(AppError::internal)
    }

    /// Runs `work` once there is a permit, and keeps that until it is done, even if nobody waits for it any more.
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, AppError> {
        let mut permit = self.0.permit().await.map_err(full)?;
        let running = tokio::task::spawn_blocking(move || work(permit.resource()));
        running.await.map_err(AppError::internal)
    }
}

fn hash(password: &Secret, memory: &mut Memory) -> Result<Secret, Error> {
    let salt = Salt::new(&rand::random::<[u8; 16]>())?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(ARGON2.params())?,
        hash: Some(output(
            &ARGON2,
            &text::opaque(password.expose()),
            &salt,
            memory,
        )?),
        salt: Some(salt),
    };
    Ok(hash.to_string().into())
}

fn verify(password: &Secret, hash: Option<&Secret>, memory: &mut Memory) -> Result<bool, Error> {
    let stored = PasswordHash::new(hash.map_or(NOBODYS, Secret::expose))?;
    let version = match stored.version {
        Some(version) => Version::try_from(version)?,
        None => Version::default(),
    };
    // As it was made: the parameters may have been others.
    let argon2 = Argon2::new(
        Algorithm::try_from(stored.algorithm.as_str())?,
        version,
        Params::try_from(&stored)?,
    );
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
        return Err(Error::EncodingInvalid);
    };
    // Compared in constant time, as the type does.
    let mut is =
        |password: &str| Ok::<_, Error>(output(&argon2, password, salt, memory)? == *expected);
    let typed = password.expose();
    let form = text::opaque(typed);
    // A hash may be older than the one form of a password; then it is of what was typed.
    let matches = is(&form)? || (form != typed && is(typed)?);
    Ok(matches && hash.is_some())
}

fn output(
    argon2: &Argon2<'_>,
    password: &str,
    salt: &Salt,
    memory: &mut Memory,
) -> Result<Output, Error> {
    let params = argon2.params();
    let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut bytes = [0; Output::MAX_LENGTH];
    let bytes = bytes.get_mut(..length).ok_or(Error::OutputSize)?;
    let blocks = memory.blocks(params.block_count());
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, bytes, blocks)?;
    Ok(Output::new(bytes)?)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn here() -> Network {
        Network::from(IpAddr::from([127, 0, 0, 1]))
    }

    #[tokio::test]
    async fn only_the_password_itself_matches() {
        let passwords = Passwords::new();
        let hash = passwords
            .ticket(here())
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
            .ticket(here())
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
                .ticket(here())
                .unwrap()
                .verify(password.into(), hash)
                .await
                .unwrap();
            assert_eq!(matches, expected, "{password}");
        }
        let broken = passwords
            .ticket(here())
            .unwrap()
            .verify("x".into(), Some("plain".into()))
            .await;
        assert_eq!(broken.unwrap_err().code(), ErrorCode::Internal);
    }

    #[tokio::test]
    async fn beyond_the_queue_it_is_unavailable_until_somebody_is_done() {
        let passwords = Passwords::bounded(1, 2);
        let tickets: Vec<_> = (0..3).map(|_| passwords.ticket(here()).unwrap()).collect();
        let refused: ErrorBody = passwords.ticket(here()).err().unwrap().into();
        assert_eq!(
            (refused.code, refused.retryable),
            (ErrorCode::Unavailable, true)
        );
        assert_eq!(refused.retry_after_ms, Some(1_000));
        for ticket in tickets {
            assert!(!ticket.verify("x".into(), None).await.unwrap());
        }
        assert!(passwords.ticket(here()).is_ok());
    }

    #[tokio::test]
    async fn a_password_is_the_same_in_every_normal_form() {
        use argon2::password_hash::PasswordHasher;
        let passwords = Passwords::new();
        let ticket = || passwords.ticket(here()).unwrap();
        let known = ticket().hash("caf\u{e9}\u{a0}noir".into()).await.unwrap();
        let typed = "cafe\u{301} noir";
        // As it was kept before passwords had one form.
        let older = ARGON2.hash_password(typed.as_bytes()).unwrap().to_string();
        for hash in [known, older.into()] {
            let matches = ticket().verify(typed.into(), Some(hash)).await;
            assert!(matches.unwrap());
        }
    }

    /// Made by the `argon2` program of the reference implementation.
    #[tokio::test]
    async fn hashes_of_others_and_of_other_parameters_are_understood() {
        let passwords = Passwords::new();
        let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        for (password, expected) in [("password", true), ("passwort", false)] {
            let ticket = passwords.ticket(here()).unwrap();
            let matches = ticket.verify(password.into(), Some(reference.into())).await;
            assert_eq!(matches.unwrap(), expected, "{password}");
        }
    }
}
