//! Letters about accounts: an address is verified, and a password that was forgotten is chosen anew.
//!
//! What must stay true: an answer says nothing of whether an address is known, in its words or by its time; a password is
//! reset only by a link to an address that the user has shown to be theirs.

use std::{net::IpAddr, sync::Arc};

use job_queue::{Job, JobError, JobId, JobQueue};
use protocol::{
    ErrorCode, ForgotPassword, Invalid, Language, ResetPassword, Secret, Timestamp, UserId,
    VerifyEmail,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::{PreferenceStore, Sql, StoreError, VerifiedEmails};

use super::{Letter, Links, Mail, MailError, links::Purpose, templates};
use crate::{accounts::Accounts, error::AppError, notifications::preferences};

/// Letters about accounts.
pub struct AccountLetters {
    accounts: Arc<Accounts>,
    mail: Arc<Mail>,
    links: Arc<Links>,
    verified: VerifiedEmails,
    preferences: PreferenceStore,
    jobs: JobQueue,
}

/// What they are built from.
pub struct LetterParts {
    /// Accounts.
    pub accounts: Arc<Accounts>,
    /// How letters leave.
    pub mail: Arc<Mail>,
    /// Links in letters.
    pub links: Arc<Links>,
    /// The tables.
    pub sql: Sql,
    /// What is done later.
    pub jobs: JobQueue,
}

/// Asks a user whether their address is theirs. It isn't in the job: nothing of it is left when the account is deleted.
#[derive(Serialize, Deserialize)]
pub struct VerificationLetterJob {
    user: UserId,
    /// Of the address, which may be another one by then.
    hash: String,
    /// When it was asked for.
    at_ms: i64,
}

impl Job for VerificationLetterJob {
    const KIND: &'static str = "mail.verification";

    fn id(&self) -> JobId {
        JobId::new(format!("{}-{}", self.user, self.at_ms))
    }
}

/// Leads whoever has this address to where they choose another password.
#[derive(Serialize, Deserialize)]
pub struct ResetLetterJob {
    email: String,
    at_ms: i64,
}

impl Job for ResetLetterJob {
    const KIND: &'static str = "mail.reset";

    /// One for an address at a time.
    fn id(&self) -> JobId {
        JobId::new(hash(&self.email))
    }
}

impl AccountLetters {
    /// Letters about these accounts.
    pub fn new(parts: LetterParts) -> Self {
        Self {
            accounts: parts.accounts,
            mail: parts.mail,
            links: parts.links,
            verified: VerifiedEmails::new(parts.sql.clone()),
            preferences: PreferenceStore::new(parts.sql),
            jobs: parts.jobs,
        }
    }

    /// An account has this address: its user is asked whether it is theirs, unless that is known. If the tables can't be
    /// reached nobody is; giving the address again asks again.
    pub async fn address_given(&self, user: &UserId, email: &str) {
        let asked = async {
            if self.verified.contains(user, email).await? {
                return Ok(());
            }
            let job = VerificationLetterJob {
                user: user.clone(),
                hash: hash(email),
                at_ms: Timestamp::now().unix_ms(),
            };
            self.jobs.enqueue(&job).await
        };
        if let Err(error) = asked.await {
            tracing::warn!(%error, "an address isn't being verified");
        }
    }

    /// Has a link sent to an address, if somebody has it.
    ///
    /// # Errors
    /// `unavailable` if that can't be written down.
    pub async fn forgot(&self, request: ForgotPassword) -> Result<(), AppError> {
        let job = ResetLetterJob {
            email: request.email,
            at_ms: Timestamp::now().unix_ms(),
        };
        Ok(self.jobs.enqueue(&job).await?)
    }

    /// Notes that an address is its user's.
    ///
    /// # Errors
    /// `invalid` for a token that isn't good, or is about a former address.
    pub async fn verify(&self, request: VerifyEmail) -> Result<(), AppError> {
        let now = Timestamp::now();
        let grant = self.links.read(Purpose::Verify, &request.token, now);
        let grant = grant.ok_or_else(not_good)?;
        let user = self.accounts.store().user(&grant.user).await;
        let user = user.map_err(gone)?;
        if user.email.as_deref() != Some(&*grant.email) {
            return Err(not_good());
        }
        self.verified.put(&grant.user, &grant.email, now).await?;
        Ok(())
    }

    /// Replaces a forgotten password and ends all sessions.
    ///
    /// # Errors
    /// `invalid` for a token that isn't good, was used, or is about a former password or address.
    pub async fn reset(&self, request: ResetPassword, address: IpAddr) -> Result<(), AppError> {
        let now = Timestamp::now();
        let grant = self.links.read(Purpose::Reset, &request.token, now);
        let grant = grant.ok_or_else(not_good)?;
        let known = self.accounts.store().credentials_of(&grant.user).await;
        let known = known.map_err(gone)?;
        let hash = known.password_hash.ok_or_else(not_good)?;
        let is_present = self.links.fingerprint(&hash) == grant.fingerprint
            && known.user.email.as_deref() == Some(&*grant.email);
        if !is_present {
            return Err(not_good());
        }
        crate::accounts::profile::reset_password(
            &self.accounts,
            &grant.user,
            known.user.sign_in_version,
            request.password,
            address,
        )
        .await
        .map_err(|error| match error.code() {
            // Somebody has changed it in the same moment.
            ErrorCode::Conflict | ErrorCode::NotFound => not_good(),
            _ => error,
        })
    }

    /// Ends letters to whom a link was sent to.
    ///
    /// # Errors
    /// `invalid` for a token that isn't good.
    pub async fn unsubscribe(&self, token: &Secret) -> Result<Language, AppError> {
        let now = Timestamp::now();
        let grant = self.links.read(Purpose::Unsubscribe, token, now);
        let user = grant.ok_or_else(not_good)?.user;
        let mut preferences = self.preferences.of(&user).await?;
        if preferences.mail {
            preferences.mail = false;
            self.preferences.set(&user, &preferences).await?;
        }
        Ok(preferences::language(&preferences))
    }

    /// Sends the letter of a job.
    ///
    /// # Errors
    /// If it didn't leave.
    pub async fn send_verification(&self, job: VerificationLetterJob) -> Result<(), JobError> {
        let user = match self.accounts.store().user(&job.user).await {
            Err(StoreError::NotFound) => return Ok(()),
            user => user?,
        };
        let Some(email) = &user.email else {
            return Ok(());
        };
        if hash(email) != job.hash || self.verified.contains(&user.id, email).await? {
            return Ok(());
        }
        let language = self.language(&user.id).await?;
        let link = self.links.verify(&user.id, email, Timestamp::now());
        let letter = templates::verification(language, email, &user.username, link);
        self.send(&letter, &format!("verify-{}", job.id())).await
    }

    /// Sends the letters of a job: one to each account that has the address.
    ///
    /// # Errors
    /// If one didn't leave.
    pub async fn send_reset(&self, job: ResetLetterJob) -> Result<(), JobError> {
        for id in self.verified.users_of(&job.email).await? {
            let known = match self.accounts.store().credentials_of(&id).await {
                Err(StoreError::NotFound) => continue,
                known => known?,
            };
            let (Some(email), Some(hash)) = (&known.user.email, &known.password_hash) else {
                continue;
            };
            if email.to_lowercase() != job.email.to_lowercase() {
                continue;
            }
            let now = Timestamp::now();
            if !self.verified.claim_letter(&id, job.at_ms, now).await? {
                continue;
            }
            let fingerprint = self.links.fingerprint(hash);
            let link = self.links.reset(&id, email, &fingerprint, now);
            let language = self.language(&id).await?;
            let user = &known.user;
            let letter =
                templates::reset(language, email, &user.display_name, &user.username, link);
            self.send(&letter, &format!("reset-{id}-{}", job.at_ms))
                .await?;
        }
        Ok(())
    }

    async fn language(&self, user: &UserId) -> Result<Language, StoreError> {
        Ok(preferences::language(&self.preferences.of(user).await?))
    }

    async fn send(&self, letter: &Letter, id: &str) -> Result<(), JobError> {
        self.mail.send(letter, id).await.map_err(job_error)
    }
}

/// What a letter that didn't leave means for its job.
pub fn job_error(error: MailError) -> JobError {
    match error.is_temporary() {
        true => JobError::temporary(error),
        false => JobError::permanent(error),
    }
}

/// By which an address is known again.
fn hash(email: &str) -> String {
    let hash = Sha256::digest(email.to_lowercase());
    hash[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn not_good() -> AppError {
    Invalid::new("token", "isn't valid, or not any more; ask for another one").into()
}

fn gone(error: StoreError) -> AppError {
    match error {
        StoreError::NotFound => not_good(),
        error => error.into(),
    }
}
