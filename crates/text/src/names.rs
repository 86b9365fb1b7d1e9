//! Finding names by a part of them: text of three or more characters anywhere in a name, shorter text at its beginning.
//! Of scripts in which one or two characters are a word, and of symbols, these are found anywhere.

use std::collections::BTreeSet;

use crate::fold::fold;
use crate::letters::stands_alone;

/// What is looked for in names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameQuery {
    /// What no name has.
    Nothing,
    /// One of the [`pieces`] of a name.
    Piece(String),
    /// Three or more characters in a row of a folded name.
    Part(String),
}

impl NameQuery {
    /// From what was typed.
    pub fn new(text: &str) -> Self {
        let folded = fold(text.trim());
        // No name has a control character, and no expression of a store may have a NUL.
        if folded.is_empty() || folded.chars().any(char::is_control) {
            return Self::Nothing;
        }
        match folded.chars().nth(2) {
            None => Self::Piece(folded),
            Some(_) => Self::Part(folded),
        }
    }
}

/// The parts of one or two characters by which a folded name is found.
pub fn pieces(folded: &str) -> BTreeSet<String> {
    let letters: Vec<char> = folded.chars().collect();
    let mut pieces = BTreeSet::new();
    for length in [1, 2] {
        for (start, run) in letters.windows(length).enumerate() {
            if start == 0 || run.iter().any(|letter| stands_alone(*letter)) {
                pieces.insert(run.iter().collect());
            }
        }
    }
    pieces
}

/// Every three characters in a row of a folded name, or of a query for one.
pub fn triples(folded: &str) -> impl Iterator<Item = String> {
    let letters: Vec<char> = folded.chars().collect();
    (2..letters.len()).map(move |last| letters[last - 2..=last].iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_beginning_and_what_stands_alone() {
        let shown = |name| pieces(&fold(name)).into_iter().collect::<Vec<_>>();
        assert_eq!(shown("École"), ["e", "ec"]);
        assert_eq!(shown("G"), ["g"]);
        assert_eq!(shown("王小明"), ["小", "小明", "明", "王", "王小"]);
        assert_eq!(shown("Li 李"), [" 李", "l", "li", "李"]);
        let triples: Vec<String> = triples(&fold("École")).collect();
        assert_eq!(triples, ["eco", "col", "ole"]);
    }

    #[test]
    fn a_query_is_a_piece_or_a_part() {
        assert_eq!(NameQuery::new("É"), NameQuery::Piece("e".to_owned()));
        assert_eq!(NameQuery::new("小明"), NameQuery::Piece("小明".to_owned()));
        assert_eq!(NameQuery::new("Éco"), NameQuery::Part("eco".to_owned()));
        for nothing in ["", " ", "\u{200b}", "a\0b", "\u{301}"] {
            assert_eq!(NameQuery::new(nothing), NameQuery::Nothing);
        }
    }
}
