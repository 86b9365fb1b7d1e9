//! Pictures that strangers send, made harmless: from the bytes of one to copies in a few sizes, without metadata and without
//! whatever else the file was. No I/O and no clock in here; how long it may take, and how much memory, is for who calls this to
//! bound, in a process of its own (`exchange`).
//!
//! What must stay true: nothing of a still picture is passed on but its pixels; of one that moves, nothing but its frames; how
//! many pixels there are is known, and bounded, before any is decoded.

mod animation;
mod colors;
mod encode;
pub mod exchange;
mod format;
mod picture;
mod process;
mod refusal;
mod resize;
#[cfg(test)]
mod tests;

pub use encode::{Encoded, MediaType};
pub use format::Format;
pub use process::{Processed, Resized, process, resized};
pub use refusal::Refusal;
