//! Spellings that people take for the same.

use caseless::Caseless;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use crate::letters::is_symbol;

/// A text in the normal form NFC, in which what is shown is kept.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// A text without what doesn't tell words apart: case (folded in full, so that `ß` is `ss`), width and other forms of
/// compatibility, accents and points, invisible characters, and the normal form it was written in.
///
/// Symbols stay what they are but for their width: `≠` is no `=`, and `™` no word. So do the marks that are letters of
/// their own: vowels of Indic scripts, and those that make `が` of `か`.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    // Nothing changes across an ASCII space: it combines with no mark, and folding a letter doesn't depend on its
    // neighbours. So only words with other than ASCII letters take the slow way.
    for part in text.split_inclusive(' ') {
        if part.is_ascii() {
            let start = folded.len();
            folded.push_str(part);
            folded[start..].make_ascii_lowercase();
        } else {
            fold_part(part, &mut folded);
        }
    }
    folded
}

/// Appends a text, folded.
fn fold_part(text: &str, folded: &mut String) {
    let mut stretch = String::new();
    for letter in text.nfc() {
        if is_symbol(letter) {
            fold_stretch(&mut stretch, folded);
            folded.push(narrow(letter));
        } else if !is_ignorable(letter) {
            stretch.push(letter);
        }
    }
    fold_stretch(&mut stretch, folded);
}

/// Moves a stretch without symbols to what is folded.
fn fold_stretch(stretch: &mut String, folded: &mut String) {
    if stretch.is_ascii() {
        stretch.make_ascii_lowercase();
        folded.push_str(stretch);
    } else {
        let without_case: String = apart(stretch).chars().default_case_fold().collect();
        // Folding brings forth marks and forms of its own.
        folded.extend(apart(&without_case).nfc());
    }
    stretch.clear();
}

/// Letters and marks apart, without the accents among them.
fn apart(text: &str) -> String {
    text.nfkd().filter(|letter| !is_accent(*letter)).collect()
}

/// Marks over, under and through letters, and the points of Hebrew, Arabic and Syriac, which are mostly left out. Known
/// by the place where they combine: the classes of vowel signs (0), of nuktas, voicing and viramas (7 to 9), and of the
/// vowels and tones of Thai, Lao and Tibetan (84 to 132) aren't among these.
fn is_accent(letter: char) -> bool {
    matches!(canonical_combining_class(letter), 1 | 10..=36 | 200..)
}

/// What isn't seen in any text, such as joiners, variation selectors and soft hyphens: the property
/// Default_Ignorable_Code_Point, whose ranges Unicode keeps for what is to come.
pub(crate) fn is_ignorable(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The usual form of a symbol that has a full-width or half-width one.
fn narrow(symbol: char) -> char {
    let mut form = std::iter::once(symbol).nfkc();
    match (form.next(), form.next()) {
        (Some(one), None) if is_symbol(one) => one,
        _ => symbol,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_meet() {
        for (one, other) in [
            ("Crème BRÛLÉE", "creme brulee"),
            ("Straße", "STRASSE"),
            ("ΟΔΌΣ", "οδος"),
            ("ＡＢＣ　１２３", "abc 123"),
            ("ｶﾞﾗｽ", "ガラス"),
            ("か\u{3099}", "が"),
            ("ﬁne", "fine"),
            ("ＵＳ＄", "us$"),
            ("İstanbul", "istanbul"),
            ("שָׁלוֹם", "שלום"),
            ("مُحَمَّد", "محمد"),
            ("co\u{ad}operate\u{200b}", "cooperate"),
            ("❤️", "❤"),
            ("한글", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn what_differs_stays_different() {
        for (one, other) in [
            ("か", "が"),
            ("=", "≠"),
            ("=", "=\u{338}"),
            ("tm", "™"),
            ("कि", "का"),
            ("ดี", "ดา"),
        ] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn the_normal_form_does_not_matter(text in "\\PC{0,12}") {
            let folded = fold(&text);
            prop_assert_eq!(&folded, &fold(&text.nfd().collect::<String>()));
            prop_assert_eq!(&folded, &fold(&text.nfc().collect::<String>()));
        }

        #[test]
        fn spaces_separate(text in "[ a-zA-Z<=\\u{300}-\\u{338}éÅﬁ㌍か゛가\\PC]{0,16}") {
            let mut whole = String::new();
            fold_part(&text, &mut whole);
            prop_assert_eq!(fold(&text), whole);
        }

        #[test]
        fn what_is_folded_stays(text in "\\PC{0,12}") {
            let folded = fold(&text);
            prop_assert_eq!(&folded, &fold(&folded));
        }
    }
}
