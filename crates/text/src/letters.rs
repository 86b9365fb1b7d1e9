//! Which characters are words of their own: symbols, and letters of scripts without spaces between words.

use unicode_normalization::char::is_combining_mark;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};

/// Whether a character is a symbol, or a letter of a script without spaces between words.
pub(crate) fn stands_alone(letter: char) -> bool {
    is_symbol(letter) || is_unspaced(letter)
}

/// Symbols and emoji, the enclosing marks and the skin tones of these included; not the spacing forms of accents.
pub(crate) fn is_symbol(letter: char) -> bool {
    if letter.is_ascii() {
        return matches!(letter, '$' | '+' | '<' | '=' | '>' | '|' | '~');
    }
    use GeneralCategory as Category;
    match letter.general_category() {
        Category::MathSymbol
        | Category::CurrencySymbol
        | Category::OtherSymbol
        | Category::EnclosingMark => true,
        Category::ModifierSymbol => ('\u{1f3fb}'..='\u{1f3ff}').contains(&letter),
        _ => false,
    }
}

/// Scripts that write no spaces between words, and Hangul, which joins much to them.
const UNSPACED: [Script; 16] = [
    Script::Han,
    Script::Hiragana,
    Script::Katakana,
    Script::Bopomofo,
    Script::Hangul,
    Script::Yi,
    Script::Thai,
    Script::Lao,
    Script::Khmer,
    Script::Myanmar,
    Script::Tai_Le,
    Script::New_Tai_Lue,
    Script::Tai_Tham,
    Script::Tai_Viet,
    Script::Javanese,
    Script::Balinese,
];

fn is_unspaced(letter: char) -> bool {
    // With what several of them share, such as the long vowel of Hiragana and Katakana.
    let scripts = letter.script_extension();
    !scripts.is_common()
        && !scripts.is_inherited()
        && UNSPACED
            .iter()
            .any(|script| scripts.contains_script(*script))
        && (letter.is_alphanumeric() || is_combining_mark(letter))
}
