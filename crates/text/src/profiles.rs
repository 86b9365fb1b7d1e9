//! Names and secrets that people type more than once, each in the one form in which it is kept and compared.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// A username in the one form in which it is kept, as the profile UsernameCasePreserved of RFC 8265 has it: full-width
/// and half-width characters are the usual ones, and the normal form is NFC. That names differ by more than case is the
/// store's to see to, which characters they may have the reader's.
pub fn username(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut usual = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            // The block of full-width and half-width forms.
            '\u{ff01}'..='\u{ffee}' => usual.extend(std::iter::once(letter).nfkc()),
            _ => usual.push(letter),
        }
    }
    usual.nfc().collect()
}

/// The domain of an e-mail address in the one form in which it is kept: as it is read, whether it was written so, in
/// another normal form or width, or in the letters of ASCII (`xn--…`). One that isn't a name stays.
pub fn domain(text: &str) -> String {
    match idna::domain_to_unicode(text) {
        (read, Ok(())) if !read.is_empty() => read,
        _ => text.nfc().collect(),
    }
}

/// A password or another secret in the one form in which it is hashed and compared, as the profile OpaqueString of
/// RFC 8265 has it: any space is the ASCII one, and the normal form is NFC. Case and width matter.
///
/// What the profile refuses (controls, code points that its Unicode doesn't know) stays: who chose such a password must
/// be able to sign in with it.
pub fn opaque(text: &str) -> String {
    let spaced = text.chars().map(|letter| match letter.general_category() {
        GeneralCategory::SpaceSeparator => ' ',
        _ => letter,
    });
    spaced.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_has_one_width_and_form() {
        assert_eq!(username("Ａｎｎ＿１"), "Ann_1");
        assert_eq!(username("\u{212a}im"), "Kim");
        assert_eq!(username("e\u{301}"), "é");
        assert_eq!(username("Ann"), "Ann");
        assert_eq!(username("①"), "①");
    }

    #[test]
    fn a_domain_has_one_form() {
        for written in [
            "bücher.example",
            "bu\u{308}cher.example",
            "xn--bcher-kva.example",
            "BÜCHER.ｅｘａｍｐｌｅ",
        ] {
            assert_eq!(domain(written), "bücher.example", "{written}");
        }
        assert_eq!(domain("[::1]"), "[::1]");
    }

    #[test]
    fn a_secret_has_one_form() {
        assert_eq!(opaque("cafe\u{301}\u{a0}noir"), "café noir");
        assert_eq!(opaque("\u{212b}\u{3000}"), "Å ");
        for kept in ["Correct horse", "ＡＢＣ", "ſ", "a\u{7}", " x "] {
            assert_eq!(opaque(kept), kept);
        }
    }
}
