//! What people write, compared and checked by Unicode's own rules: what two spellings have in common, which words a
//! text has, what of it can be seen, which emoji it is. Pure, and the same for every store and every way in, so that
//! what is typed meets what is stored.

mod emoji;
mod fold;
mod letters;
mod line;
mod names;
mod profiles;
mod words;

pub use emoji::{emoji, spellings};
pub use fold::{composed, fold};
pub use line::{MARKS_MAX, has_visible, piles_marks, turns_direction, visible_only};
pub use names::{NameQuery, pieces, triples};
pub use profiles::{domain, opaque, username};
pub use words::{Query, Token, tokens, write_tokens};

/// Grows whenever [`fold()`], [`tokens`] or [`pieces`] makes something else of a text: an index that was made by an
/// earlier version is made anew.
pub const VERSION: i32 = 2;
