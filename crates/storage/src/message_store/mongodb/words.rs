//! The words of a text, and what it means that a text has those of a query. As SQLite's index does it in the embedded store:
//! a word is letters and digits in a row, without regard to case and accents.

use super::name_index::fold;

/// Characters of a word that count.
const WORD: usize = 40;

/// Words of a query that count; more only cost.
const TERMS: usize = 16;

/// The words of a text, in their order.
pub(super) fn words(text: &str) -> Vec<String> {
    let folded = fold(text);
    let words = folded.split(|letter: char| !letter.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words
        .map(|word| word.chars().take(WORD).collect())
        .collect()
}

/// What is searched for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Words that must stand together, such as those of `hello-world`.
    phrases: Vec<Vec<String>>,
    /// Whether the very last word may be the beginning of one.
    open: bool,
}

impl Query {
    /// Nothing if there is no word in it.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut phrases: Vec<Vec<String>> =
            text.split_whitespace().take(TERMS).map(words).collect();
        let open = phrases.last().is_some_and(|last| !last.is_empty());
        phrases.retain(|phrase| !phrase.is_empty());
        (!phrases.is_empty()).then_some(Self { phrases, open })
    }

    /// The words that a text must have, and the beginning that one of its words must have.
    pub(super) fn parts(&self) -> (Vec<&str>, Option<&str>) {
        let mut words: Vec<&str> = self.phrases.iter().flatten().map(String::as_str).collect();
        let beginning = if self.open { words.pop() } else { None };
        words.sort_unstable();
        words.dedup();
        (words, beginning)
    }

    /// Whether a text has all that is searched for.
    pub(super) fn matches(&self, text: &str) -> bool {
        let words = words(text);
        let last = self.phrases.len().saturating_sub(1);
        self.phrases.iter().enumerate().all(|(number, phrase)| {
            let open = self.open && number == last;
            words
                .windows(phrase.len())
                .any(|run| stands(run, phrase, open))
        })
    }
}

/// Whether a run of words is a phrase, the last word of which may be open.
fn stands(run: &[String], phrase: &[String], open: bool) -> bool {
    let last = phrase.len().saturating_sub(1);
    run.iter()
        .zip(phrase)
        .enumerate()
        .all(|(number, (word, wanted))| {
            word == wanted || (open && number == last && word.starts_with(wanted))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_no_case_and_no_accents() {
        assert_eq!(
            words("Crème-BRÛLÉE, год 2024! 東京"),
            ["creme", "brulee", "год", "2024", "東京"]
        );
        assert_eq!(words("e\u{301}té \u{301}"), ["ete"]);
        assert_eq!(words(" \0\"'* "), [""; 0]);
        assert_eq!(words(&"x".repeat(100))[0].len(), WORD);
    }

    #[test]
    fn a_query_is_phrases_and_a_beginning() {
        for (query, text, wanted) in [
            ("quick brown", "The quick brown fox", true),
            ("brown quick", "brown, then quickly", true),
            ("quick brown", "brown, then quickly", false),
            ("hello-world", "say \"hello world\"", true),
            ("hello-world", "say hello, my world", false),
            ("hello-wor", "say hello world", true),
            ("salt *", "salt", true),
            ("sal *", "salt", false),
            ("sal", "salt", true),
        ] {
            let query = Query::new(query).unwrap();
            assert_eq!(query.matches(text), wanted, "{query:?} in {text:?}");
        }
        assert_eq!(Query::new(" * \0 ' "), None);
        assert_eq!(
            Query::new("b a-b a").unwrap().parts(),
            (vec!["a", "b"], Some("a"))
        );
        assert_eq!(Query::new("b a *").unwrap().parts(), (vec!["a", "b"], None));
    }
}
