//! Finding users and public rooms by part of a name. Each is in a collection of its own with the pieces of its names:
//! every three characters in a row, by which text of three or more is found anywhere in a name, and the first one and the
//! first two, by which shorter text is found at the beginning. One index over pieces and ids gives what is found in the
//! order of the ids, page by page.
//!
//! Names are compared as SQLite's index does it: text of three or more characters without regard to case and accents,
//! shorter text without regard to case alone.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Pieces of a query that are looked for in the index. What these leave is compared with the whole of it.
const PIECES: usize = 16;

/// The names of a user or a public room, with that one's id.
#[derive(Serialize, Deserialize)]
pub(super) struct Named {
    #[serde(rename = "_id")]
    pub id: String,
    /// Without case and accents.
    names: Vec<String>,
    pieces: BTreeSet<String>,
}

impl Named {
    pub(super) fn new(id: &str, names: &[&str]) -> Self {
        let folded: Vec<String> = names.iter().map(|name| fold(name)).collect();
        let beginnings = names.iter().flat_map(|name| {
            let name = name.to_lowercase();
            [1, 2].map(|length| beginning(&name, length))
        });
        Self {
            id: id.to_owned(),
            pieces: folded
                .iter()
                .flat_map(|name| triples(name))
                .chain(beginnings)
                .collect(),
            names: folded,
        }
    }
}

/// Selects the names with this text in them, of ids behind `after`.
pub(super) fn holding(query: &str, after: Option<&str>) -> Document {
    let mut filter = match query.chars().count() {
        0 => Document::new(),
        1 | 2 => doc! { "pieces": beginning(&query.to_lowercase(), 2) },
        // No name has it, and no expression may.
        _ if query.contains('\0') => doc! { "pieces": { "$in": [] } },
        _ => {
            let query = fold(query);
            // Of less than three without its accents there are no pieces, and nothing is found.
            let pieces: Vec<String> = triples(&query).take(PIECES).collect();
            doc! { "pieces": { "$all": pieces }, "names": { "$regex": literal(&query) } }
        }
    };
    if let Some(after) = after {
        filter.insert("_id", doc! { "$gt": after });
    }
    filter
}

/// Without case and accents.
pub(super) fn fold(text: &str) -> String {
    let marks_apart = text.nfd().filter(|&letter| !is_combining_mark(letter));
    marks_apart.flat_map(char::to_lowercase).nfc().collect()
}

fn triples(text: &str) -> impl Iterator<Item = String> {
    let letters: Vec<char> = text.chars().collect();
    (2..letters.len()).map(move |last| letters[last - 2..=last].iter().collect())
}

/// The first characters, which are fewer than a triple's.
fn beginning(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

/// A regular expression of nothing but this text.
fn literal(text: &str) -> String {
    let mut expression = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() {
            expression.push('\\');
        }
        expression.push(letter);
    }
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_falls_into_triples_and_its_beginning() {
        let named = Named::new("1", &["École", "Go"]);
        let pieces: Vec<&str> = named.pieces.iter().map(String::as_str).collect();
        assert_eq!(pieces, ["col", "eco", "g", "go", "ole", "é", "éc"]);
        assert_eq!(named.names, ["ecole", "go"]);
    }

    #[test]
    fn nothing_in_a_query_is_syntax() {
        let filter = holding("a.*\\", None);
        let expression = filter.get_document("names").unwrap();
        assert_eq!(expression, &doc! { "$regex": "a\\.\\*\\\\" });
        let short = doc! { "pieces": ".", "_id": { "$gt": "7" } };
        assert_eq!(holding(".", Some("7")), short);
        let accents = holding("\u{e9}\u{301}\u{301}", None);
        assert_eq!(
            accents.get_document("pieces").unwrap(),
            &doc! { "$all": [] }
        );
    }
}
