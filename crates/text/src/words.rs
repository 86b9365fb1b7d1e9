//! The words of a text, and what it means that a text has those of a query.
//!
//! A word is letters and digits in a row. Where a script writes no spaces between words (Chinese, Japanese, Thai, and
//! Korean, which joins much to a word) every letter stands for itself, and a word is letters that follow one another;
//! so does every symbol and emoji. Punctuation is left out.

use unicode_normalization::char::is_combining_mark;

use crate::{
    fold::fold,
    letters::{is_symbol, stands_alone},
};

/// Characters of a word that count.
const WORD: usize = 40;

/// Words of a query, set apart by white space, that count; more only cost.
const TERMS: usize = 16;

/// A part of a text that is looked for as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Token {
    /// Letters and digits in a row.
    Word(String),
    /// A letter of a script without spaces, or a symbol.
    Single(char),
}

impl Token {
    /// Appends it to a text.
    pub fn push_to(&self, text: &mut String) {
        match self {
            Self::Word(word) => text.push_str(word),
            Self::Single(letter) => text.push(*letter),
        }
    }
}

/// The tokens of a text, in their order.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    each_piece(&fold(text), |piece| {
        tokens.push(match piece {
            Piece::Word(word) => Token::Word(word.to_owned()),
            Piece::Single(letter) => Token::Single(letter),
        });
    });
    tokens
}

/// Appends the tokens of a text to another, each behind `prefix`, with spaces between: the same as of [`tokens`], for an
/// index that is written with every message.
pub fn write_tokens(text: &str, prefix: &str, written: &mut String) {
    each_piece(&fold(text), |piece| {
        if !written.is_empty() {
            written.push(' ');
        }
        written.push_str(prefix);
        match piece {
            Piece::Word(word) => written.push_str(word),
            Piece::Single(letter) => written.push(letter),
        }
    });
}

/// A token that lies in a folded text.
enum Piece<'t> {
    Word(&'t str),
    Single(char),
}

fn each_piece<'t>(folded: &'t str, mut take: impl FnMut(Piece<'t>)) {
    // Where a word begins, where what counts of it ends, and how long it is.
    let (mut start, mut end, mut length) = (0, 0, 0);
    for (at, letter) in folded.char_indices() {
        let part = part(letter, length > 0);
        if let Part::OfWord = part {
            if length == 0 {
                start = at;
            }
            if length < WORD {
                end = at + letter.len_utf8();
            }
            length += 1;
            continue;
        }
        if length > 0 {
            take(Piece::Word(&folded[start..end]));
            length = 0;
        }
        if let Part::Single = part {
            take(Piece::Single(letter));
        }
    }
    if length > 0 {
        take(Piece::Word(&folded[start..end]));
    }
}

/// What a character of a folded text is part of.
enum Part {
    OfWord,
    Single,
    Neither,
}

fn part(letter: char, in_word: bool) -> Part {
    if letter.is_ascii() {
        return match letter {
            'a'..='z' | '0'..='9' => Part::OfWord,
            _ if is_symbol(letter) => Part::Single,
            _ => Part::Neither,
        };
    }
    if stands_alone(letter) {
        Part::Single
    } else if letter.is_alphanumeric() || (in_word && is_combining_mark(letter)) {
        Part::OfWord
    } else {
        Part::Neither
    }
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Tokens that follow one another, such as those of `hello-world` and `東京`.
    phrases: Vec<Vec<Token>>,
    /// Whether the very last token may be the beginning of a word.
    open: bool,
}

impl Query {
    /// Nothing if there is no word in it.
    pub fn new(text: &str) -> Option<Self> {
        let terms = text.split_whitespace().take(TERMS);
        let mut phrases: Vec<Vec<Token>> = terms.map(tokens).collect();
        let last = phrases.last().and_then(|phrase| phrase.last());
        let open = matches!(last, Some(Token::Word(_)));
        phrases.retain(|phrase| !phrase.is_empty());
        // Beside words, `+` or `|` alone is taken for the operator that it is elsewhere.
        if !phrases.iter().all(|phrase| is_operator(phrase)) {
            phrases.retain(|phrase| !is_operator(phrase));
        }
        (!phrases.is_empty()).then_some(Self { phrases, open })
    }

    /// What must be in a text, each as tokens that follow one another.
    pub fn phrases(&self) -> &[Vec<Token>] {
        &self.phrases
    }

    /// Whether the last token of the last phrase may be the beginning of a word.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether a text has all that is searched for.
    pub fn matches(&self, text: &str) -> bool {
        let tokens = tokens(text);
        let last = self.phrases.len().saturating_sub(1);
        self.phrases.iter().enumerate().all(|(number, phrase)| {
            let open = self.open && number == last;
            let mut runs = tokens.windows(phrase.len());
            runs.any(|run| stands(run, phrase, open))
        })
    }
}

/// Whether a term is made of the symbols of ASCII alone.
fn is_operator(phrase: &[Token]) -> bool {
    let mut tokens = phrase.iter();
    tokens.all(|token| matches!(token, Token::Single(symbol) if symbol.is_ascii()))
}

/// Whether a run of tokens is a phrase, the last word of which may be open.
fn stands(run: &[Token], phrase: &[Token], open: bool) -> bool {
    let last = phrase.len().saturating_sub(1);
    let mut pairs = run.iter().zip(phrase).enumerate();
    pairs.all(|(number, pair)| match pair {
        (Token::Word(word), Token::Word(wanted)) if open && number == last => {
            word.starts_with(wanted)
        }
        (token, wanted) => token == wanted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let shown = tokens(text).into_iter().map(|token| match token {
            Token::Word(word) => word,
            Token::Single(letter) => format!("[{letter}]"),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_are_letters_in_a_row_and_some_letters_words() {
        for (text, wanted) in [
            ("Crème-BRÛLÉE, год 2024!", "creme brulee год 2024"),
            ("e\u{301}té \u{301}", "ete"),
            (" \0\"'* ^`", ""),
            ("我家iPhone在", "[我] [家] iphone [在]"),
            ("コーヒー々", "[コ] [ー] [ヒ] [ー] [々]"),
            ("ไทย", "[ไ] [ท] [ย]"),
            ("학교에", "[학] [교] [에]"),
            ("हिन्दी में", "हिन्दी में"),
            ("C++ > 5€", "c [+] [+] [>] 5 [€]"),
            ("👩🏽‍🚀❤️", "[👩] [🏽] [🚀] [❤]"),
            ("1️⃣", "1 [\u{20e3}]"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
        assert_eq!(tokens(&"x".repeat(100)), [Token::Word("x".repeat(WORD))]);
        let mut written = String::new();
        write_tokens("Go 上海!", "7_", &mut written);
        assert_eq!(written, "7_go 7_上 7_海");
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
            ("上海", "我家在上海东边", true),
            ("海上", "我家在上海东边", false),
            ("機能", "検索機能のテスト", true),
            ("機", "検索機能のテスト", true),
            ("機能 テス", "検索機能のテスト", true),
            ("c++", "I like C++", true),
            ("c++", "I like C", false),
            ("c + like", "I like C", true),
            ("c +", "cool", false),
            ("+", "I like C++", true),
            ("+", "I like C", false),
            ("👍", "well 👍🏽 done", true),
            ("👍🏿", "well 👍🏽 done", false),
        ] {
            let query = Query::new(query).unwrap();
            assert_eq!(query.matches(text), wanted, "{query:?} in {text:?}");
        }
        assert_eq!(Query::new(" * \0 ' "), None);
    }
}
