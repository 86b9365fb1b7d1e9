//! Emoji, by Unicode's list of those that are recommended for general interchange.

/// The selector by which a character that is text by default is an emoji.
const EMOJI_PRESENTATION: char = '\u{fe0f}';

/// The full spelling of an emoji; none if it isn't one. Many are also written without some or all of the selectors
/// that say so: `❤` is `❤️`.
pub fn emoji(text: &str) -> Option<&'static str> {
    emojis::get(text).map(emojis::Emoji::as_str)
}

/// All spellings of an emoji, the full one first; of other text that text alone.
pub fn spellings(text: &str) -> Vec<String> {
    let Some(full) = emoji(text) else {
        return vec![text.to_owned()];
    };
    let mut spellings = vec![full.to_owned()];
    let mut add = |spelling: String| {
        if !spellings.contains(&spelling) && emoji(&spelling) == Some(full) {
            spellings.push(spelling);
        }
    };
    let selectors: Vec<usize> = full
        .match_indices(EMOJI_PRESENTATION)
        .map(|(at, _)| at)
        .collect();
    // At most three, so at most eight ways to leave some out.
    for left_out in 1..1u32 << selectors.len().min(3) {
        let is_left_out = |at: usize| {
            let number = selectors.iter().position(|selector| *selector == at);
            number.is_some_and(|number| left_out & (1 << number) != 0)
        };
        let kept = full.char_indices().filter(|(at, _)| !is_left_out(*at));
        add(kept.map(|(_, letter)| letter).collect());
    }
    add(format!("{full}{EMOJI_PRESENTATION}"));
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_the_list_is_an_emoji() {
        for (text, full) in [
            ("👍", "👍"),
            ("❤", "❤\u{fe0f}"),
            ("❤\u{fe0f}", "❤\u{fe0f}"),
            ("👍🏽", "👍🏽"),
            ("👩🏽‍❤‍💋‍👨🏿", "👩🏽‍❤\u{fe0f}‍💋‍👨🏿"),
            ("🇩🇪", "🇩🇪"),
            ("1\u{20e3}", "1\u{fe0f}\u{20e3}"),
            ("🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
        ] {
            assert_eq!(emoji(text), Some(full), "{text}");
        }
        for other in [
            "", "idiot", "1", "👍👍", "🏽", "a👍", "👍 ", "\u{200d}", "+1", "→",
        ] {
            assert_eq!(emoji(other), None, "{other}");
        }
    }

    #[test]
    fn an_emoji_knows_its_spellings() {
        assert_eq!(spellings("❤"), ["❤\u{fe0f}", "❤"]);
        assert_eq!(spellings("👍🏽"), ["👍🏽"]);
        assert_eq!(spellings("👁\u{fe0f}‍🗨\u{fe0f}").len(), 4);
        assert_eq!(spellings("idiot"), ["idiot"]);
        for known in emojis::iter() {
            let full = known.as_str();
            let all = spellings(full);
            assert_eq!(all[0], full);
            assert!(all.iter().all(|spelling| emoji(spelling) == Some(full)));
        }
    }
}
