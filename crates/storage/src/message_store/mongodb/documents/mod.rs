//! What is stored in the collections, a file for each group of them.

mod log;
mod members;
mod purge;
mod rooms;
mod users;

pub use log::*;
pub use members::*;
pub use purge::*;
pub use rooms::*;
pub use users::*;
