//! Mail: what is written, and how it leaves. By SMTP if that is configured, else as files in a directory.
//!
//! What must stay true: nothing that people write becomes a header; a letter leaves at least once, by a job; no address and
//! no text is in a log.

pub mod account_letters;
mod letter;
pub mod links;
mod templates;
mod transport;

pub use account_letters::{
    AccountLetters, AddressChangedJob, LetterParts, ResetLetterJob, ResetRequestJob,
    VerificationLetterJob,
};
pub use letter::Letter;
pub use links::Links;
pub use templates::{Digest, Missed, digest};
pub use transport::{Mail, MailError};
