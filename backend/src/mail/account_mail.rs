//! Emails about accounts: an address is verified, and a password that was forgotten is chosen anew.
//!
//! What must stay true: an answer says nothing of whether an address is known, in its words or by its time; a password is
//! reset only by a link to an address that the user has shown to be theirs.

use std::{net::IpAddr, sync::Arc};

use job_queue::{Job, JobError, JobId, JobQueue, outbox};
use protocol::{
    ErrorCode, ForgotPassword, Invalid, Language, ResetPassword, Secret, Timestamp, UserId,
    VerifyEmail,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::{PreferenceStore, PreferencesChange, Sql, StoreError, VerifiedEmails};

use super::{Email, Links, Mail, MailError, links::Purpose, templates};
use crate::{accounts::Accounts, error::AppError, notifications::preferences};

/// Emails about accounts.
pub struct AccountMail {
    accounts: Arc<Accounts>,
    mail: Arc<Mail>,
    links: Arc<Links>,
    verified: VerifiedEmails,
    preferences: PreferenceStore,
    jobs: JobQueue,
}

/// What they are built from.
pub struct AccountMailParts {
    /// Accounts.
    pub accounts: Arc<Accounts>,
    /// How emails leave.
    pub mail: Arc<Mail>,
    /// Links in emails.
    pub links: Arc<Links>,
    /// The tables.
    pub sql: Sql,
    /// What is done later.
    pub jobs: JobQueue,
}

/// Asks a user whether their address is theirs. It isn't in the job: nothing of it is left when the account is deleted.
#[derive(Serialize, Deserialize)]
pub struct AddressVerificationJob {
    user: UserId,
    /// Of the address, which may be another one by then.
    hash: String,
    /// When it was asked for.
    at_ms: i64,
}

impl Job for AddressVerificationJob {
    const KIND: &'static str = "mail.verification";

    fn id(&self) -> JobId {
        JobId::new(format!("{}-{}", self.user, self.at_ms))
    }
}

/// Finds the accounts whose users are led to where they choose another password.
#[derive(Serialize, Deserialize)]
pub struct ResetRequestJob {
    email: String,
    at_ms: i64,
}

impl Job for ResetRequestJob {
    const KIND: &'static str = "mail.reset_request";

    /// One for an address and a minute: one that is put off keeps no later one from being enqueued.
    fn id(&self) -> JobId {
        JobId::new(format!("{}-{}", hash(&self.email), self.at_ms / 60_000))
    }
}

/// Leads the user of one account there.
#[derive(Serialize, Deserialize)]
pub struct PasswordResetJob {
    user: UserId,
    /// Of the address.
    hash: String,
    at_ms: i64,
}

impl Job for PasswordResetJob {
    const KIND: &'static str = "mail.password_reset";

    fn id(&self) -> JobId {
        JobId::new(format!("{}-{}", self.user, self.at_ms))
    }
}

/// Tells who has shown an address to be theirs that it isn't their account's any more. The address is in the job, since
/// nothing else knows it by then.
#[derive(Serialize, Deserialize)]
pub struct AddressChangedJob {
    user: UserId,
    former: String,
    at_ms: i64,
}

impl Job for AddressChangedJob {
    const KIND: &'static str = "mail.address_changed";

    fn id(&self) -> JobId {
        JobId::new(format!("{}-{}", self.user, self.at_ms))
    }
}

impl AccountMail {
    /// Emails about these accounts.
    pub fn new(parts: AccountMailParts) -> Self {
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
            let job = AddressVerificationJob {
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

    /// An account has another address, or none any more: the former one isn't its user's here any more and is told so, and
    /// the user is asked whether the new one is theirs.
    pub async fn address_changed(&self, user: &UserId, email: Option<&str>) {
        if let Err(error) = self.let_go_of_former(user, email).await {
            // It counts for nothing by now. It is told as soon as another one is verified.
            tracing::warn!(%error, "a former address isn't told that it is one");
        }
        if let Some(email) = email {
            self.address_given(user, email).await;
        }
    }

    async fn let_go_of_former(&self, user: &UserId, email: Option<&str>) -> Result<(), StoreError> {
        let Some(former) = self.verified.of(user).await? else {
            return Ok(());
        };
        if email.is_some_and(|email| email.to_lowercase() == former) {
            return Ok(());
        }
        let job = AddressChangedJob {
            user: user.clone(),
            former,
            at_ms: Timestamp::now().unix_ms(),
        };
        let telling = vec![outbox::statement(&job)?];
        self.verified.forget(user, &job.former, telling).await?;
        self.jobs.wake();
        Ok(())
    }

    /// Has a link sent to an address, if somebody has it.
    ///
    /// # Errors
    /// `unavailable` if that can't be written down.
    pub async fn forgot(&self, request: ForgotPassword) -> Result<(), AppError> {
        let job = ResetRequestJob {
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
        self.let_go_of_former(&grant.user, Some(&grant.email))
            .await?;
        self.verified.put(&grant.user, &grant.email, now).await?;
        // The account may have been deleted, or its address changed, since it was read.
        if !self.has_address(&grant.user, &grant.email).await? {
            self.verified
                .forget(&grant.user, &grant.email, Vec::new())
                .await?;
            return Err(not_good());
        }
        Ok(())
    }

    async fn has_address(&self, user: &UserId, email: &str) -> Result<bool, StoreError> {
        match self.accounts.store().user(user).await {
            Err(StoreError::NotFound) => Ok(false),
            user => Ok(user?.email.as_deref() == Some(email)),
        }
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

    /// Ends emails to whom a link was sent to.
    ///
    /// # Errors
    /// `invalid` for a token that isn't good, or is about a former address.
    pub async fn unsubscribe(&self, token: &Secret) -> Result<Language, AppError> {
        let now = Timestamp::now();
        let grant = self.links.read(Purpose::Unsubscribe, token, now);
        let grant = grant.ok_or_else(not_good)?;
        let user = self.accounts.store().user(&grant.user).await;
        let user = user.map_err(gone)?;
        let email = user.email.ok_or_else(not_good)?;
        if self.links.address_print(&email) != grant.fingerprint {
            return Err(not_good());
        }
        let no_mail = PreferencesChange {
            mail: Some(false),
            ..PreferencesChange::default()
        };
        let preferences = self.preferences.change(&user.id, &no_mail).await?;
        if let Err(StoreError::NotFound) = self.accounts.store().user(&user.id).await {
            // The account was deleted since it was read.
            self.preferences.forget(&user.id).await?;
            return Err(not_good());
        }
        Ok(preferences::language(&preferences))
    }

    /// Sends the email of a job.
    ///
    /// # Errors
    /// If it didn't leave.
    pub async fn send_verification(&self, job: AddressVerificationJob) -> Result<(), JobError> {
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
        let (id, now) = (job.id(), Timestamp::now());
        let claim = self
            .verified
            .claim_verification(id.as_str(), &user.id, &job.hash, now);
        if !claim.await? {
            tracing::info!(
                "an address was asked often enough in this hour whether it is somebody's"
            );
            return Ok(());
        }
        let language = self.language(&user.id).await?;
        let link = self.links.verify(&user.id, email, now);
        let message = templates::verification(language, email, &user.username, link);
        self.send(&message, &format!("verify-{id}")).await
    }

    /// Tells a former address that it is one.
    ///
    /// # Errors
    /// If the email didn't leave.
    pub async fn send_address_changed(&self, job: AddressChangedJob) -> Result<(), JobError> {
        let user = match self.accounts.store().user(&job.user).await {
            Err(StoreError::NotFound) => return Ok(()),
            user => user?,
        };
        let language = self.language(&user.id).await?;
        let home = self.links.home();
        let message = templates::address_changed(language, &job.former, &user.username, home);
        self.send(&message, &format!("former-{}", job.id())).await
    }

    /// Has an email sent to each account that has the address. All are enqueued at once, each to be sent by itself.
    ///
    /// # Errors
    /// If they can't be found.
    pub async fn find_accounts(&self, job: ResetRequestJob) -> Result<(), JobError> {
        let users = self.verified.users_of(&job.email).await?;
        let emails = users.into_iter().map(|user| PasswordResetJob {
            user,
            hash: hash(&job.email),
            at_ms: job.at_ms,
        });
        Ok(self.jobs.enqueue_all(&emails.collect::<Vec<_>>()).await?)
    }

    /// Sends the email of a job.
    ///
    /// # Errors
    /// If it didn't leave.
    pub async fn send_reset(&self, job: PasswordResetJob) -> Result<(), JobError> {
        let known = match self.accounts.store().credentials_of(&job.user).await {
            Err(StoreError::NotFound) => return Ok(()),
            known => known?,
        };
        let user = &known.user;
        let (Some(email), Some(password)) = (&user.email, &known.password_hash) else {
            return Ok(());
        };
        let now = Timestamp::now();
        if hash(email) != job.hash || !self.verified.claim_email(&user.id, job.at_ms, now).await? {
            return Ok(());
        }
        let fingerprint = self.links.fingerprint(password);
        let link = self.links.reset(&user.id, email, &fingerprint, now);
        let language = self.language(&user.id).await?;
        let message = templates::reset(language, email, &user.display_name, &user.username, link);
        self.send(&message, &format!("reset-{}", job.id())).await
    }

    async fn language(&self, user: &UserId) -> Result<Language, StoreError> {
        Ok(preferences::language(&self.preferences.of(user).await?))
    }

    async fn send(&self, message: &Email, id: &str) -> Result<(), JobError> {
        self.mail.send(message, id).await.map_err(job_error)
    }
}

/// What an email that didn't leave means for its job.
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
