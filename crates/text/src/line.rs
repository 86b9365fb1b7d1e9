//! Names and other single lines that are shown among others' text: what of them is seen, and what they do to what
//! stands beside them.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::fold::is_ignorable;

/// Combining marks on one character, at most. Hebrew with cantillation and Tibetan have up to eight; many more paint
/// over the lines above and below.
pub const MARKS_MAX: usize = 8;

/// The blank pattern of Braille, which is a symbol to Unicode.
const BRAILLE_BLANK: char = '\u{2800}';

/// Whether anything of a text is seen: a letter, a digit, punctuation or a symbol. A mark alone isn't.
pub fn has_visible(text: &str) -> bool {
    use GeneralCategoryGroup::{Letter, Number, Punctuation, Symbol};
    text.chars().any(|letter| {
        let group = letter.general_category_group();
        matches!(group, Letter | Number | Punctuation | Symbol)
            && !is_ignorable(letter)
            && letter != BRAILLE_BLANK
    })
}

/// Whether a text has no invisible characters: for what people copy from one place to another.
pub fn visible_only(text: &str) -> bool {
    !text.chars().any(is_ignorable)
}

/// Whether a text changes the direction of what stands around it: it overrides or embeds, or it has an isolate without
/// its end or an end without its isolate (UAX #9). The marks that only say where a direction is do no harm.
pub fn turns_direction(text: &str) -> bool {
    let mut open = 0u32;
    for letter in text.chars() {
        match letter {
            '\u{202a}'..='\u{202e}' => return true,
            '\u{2066}'..='\u{2068}' => open += 1,
            '\u{2069}' => match open.checked_sub(1) {
                Some(left) => open = left,
                None => return true,
            },
            _ => {}
        }
    }
    open > 0
}

/// Whether more than [`MARKS_MAX`] combining marks are on one character.
pub fn piles_marks(text: &str) -> bool {
    let mut marks = 0;
    for letter in text.chars() {
        if letter.general_category_group() == GeneralCategoryGroup::Mark {
            marks += 1;
        } else if !is_ignorable(letter) {
            marks = 0;
        }
        if marks > MARKS_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_alone() {
        for unseen in [
            "",
            " ",
            "\u{200b}",
            "\u{200b}\u{2060}\u{feff}",
            "\u{3164}",
            "\u{115f}\u{1160}\u{ffa0}",
            "\u{2800}",
            "\u{ad}",
            "\u{fe0f}",
            "\u{e0067}\u{e007f}",
            "\u{202e}",
            "\u{301}",
            "\u{3000}\u{a0}",
            "\u{e000}",
        ] {
            assert!(!has_visible(unseen), "{unseen:?}");
        }
        assert!(visible_only("ann@example.org") && !visible_only("ann\u{200b}@example.org"));
        for seen in ["a", "-", "❤️", "王", "\u{200b}a", "กำ", "½", "한", "⠁"] {
            assert!(has_visible(seen), "{seen:?}");
        }
    }

    #[test]
    fn what_turns_its_surroundings() {
        for turning in [
            "a\u{202e}b",
            "\u{202b}a\u{202c}",
            "\u{2067}a",
            "a\u{2069}",
            "\u{2069}\u{2066}",
        ] {
            assert!(turns_direction(turning), "{turning:?}");
        }
        for harmless in [
            "דנה",
            "\u{200f}(a)",
            "\u{2068}דנה\u{2069} Cohen",
            "a\u{61c}",
        ] {
            assert!(!turns_direction(harmless), "{harmless:?}");
        }
    }

    #[test]
    fn marks_that_pile_up() {
        assert!(piles_marks(&format!("a{}", "\u{301}".repeat(60))));
        assert!(piles_marks(&"\u{301}\u{200d}".repeat(60)));
        assert!(!piles_marks("ཧྐྵྨླྺྼྻྂ"));
        assert!(!piles_marks(&"e\u{302}\u{301}".repeat(60)));
    }
}
