//! Mail: what is written, and how it leaves. By SMTP if that is configured, else as files in a directory.
//!
//! What must stay true: nothing that people write becomes a header; an email leaves at least once, by a job; no address and
//! no text is in a log.

pub mod account_mail;
mod email;
pub mod links;
mod templates;
mod transport;

pub use account_mail::{
    AccountMail, AccountMailParts, AddressChangedJob, AddressVerificationJob, PasswordResetJob,
    ResetRequestJob,
};
pub use email::Email;
pub use links::Links;
pub use templates::{Digest, Missed, digest};
pub use transport::{Mail, MailError};
