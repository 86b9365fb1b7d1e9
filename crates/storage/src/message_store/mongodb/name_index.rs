//! Finding users and public rooms by part of a name. Each is in a collection of its own with the pieces of its names:
//! every three characters in a row, by which text of three or more is found anywhere in a name, and the first one and the
//! first two, by which shorter text is found at the beginning. One index over pieces and ids gives what is found in the
//! order of the ids, page by page.
//!
//! What a name is folded to, and what the pieces of one and two characters are, is the crate `text`'s, as for every store.

use std::collections::BTreeSet;

use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};
use text::NameQuery;

/// Pieces of a query that are looked for in the index. What these leave is compared with the whole of it.
const PIECES: usize = 16;

/// The names of a user or a public room, with that one's id.
#[derive(Serialize, Deserialize)]
pub struct Named {
    #[serde(rename = "_id")]
    pub id: String,
    /// Folded.
    names: Vec<String>,
    pieces: BTreeSet<String>,
    /// The version of the code that made the pieces.
    #[serde(default)]
    version: i32,
}

impl Named {
    pub fn new(id: &str, names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| text::fold(name)).collect();
        let triples = names.iter().flat_map(|name| text::triples(name));
        let pieces = names.iter().flat_map(|name| text::pieces(name));
        Self {
            id: id.to_owned(),
            pieces: triples.chain(pieces).collect(),
            names,
            version: text::VERSION,
        }
    }
}

/// Selects names whose pieces were made by an earlier version.
pub fn outdated() -> Document {
    doc! { "version": { "$ne": text::VERSION } }
}

/// Selects the names with this text in them, of ids behind `after`.
pub fn holding(query: &str, after: Option<&str>) -> Document {
    let mut filter = match NameQuery::new(query) {
        NameQuery::Nothing => doc! { "pieces": { "$in": [] } },
        NameQuery::Piece(piece) => doc! { "pieces": piece },
        NameQuery::Part(part) => {
            let pieces: Vec<String> = text::triples(&part).take(PIECES).collect();
            doc! { "pieces": { "$all": pieces }, "names": { "$regex": literal(&part) } }
        }
    };
    filter.extend(behind(after));
    filter
}

/// Selects all names of ids behind `after`.
pub fn behind(after: Option<&str>) -> Document {
    match after {
        Some(after) => doc! { "_id": { "$gt": after } },
        None => Document::new(),
    }
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
        assert_eq!(pieces, ["col", "e", "ec", "eco", "g", "go", "ole"]);
        assert_eq!(named.names, ["ecole", "go"]);
    }

    #[test]
    fn nothing_in_a_query_is_syntax() {
        let filter = holding("a.*\\", None);
        let expression = filter.get_document("names").unwrap();
        assert_eq!(expression, &doc! { "$regex": "a\\.\\*\\\\" });
        let short = doc! { "pieces": ".", "_id": { "$gt": "7" } };
        assert_eq!(holding(".", Some("7")), short);
        let nothing = doc! { "pieces": { "$in": [] } };
        assert_eq!(holding("\u{301}", None), nothing);
        assert_eq!(holding("a\0bc", None), nothing);
    }
}
