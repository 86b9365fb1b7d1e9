//! Headers that are lists (RFC 9110, 5.6.1): one or several lines, with commas and any white space between elements.

use http::{HeaderMap, HeaderName};

/// The elements of a list in order, without the empty ones. A line that isn't text has none.
pub(crate) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl DoubleEndedIterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|element| element.trim_matches([' ', '\t']))
        .filter(|element| !element.is_empty())
}

/// Whether a list of words that are compared without regard to case holds `word`.
pub(crate) fn contains(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CONNECTION};

    use super::*;

    fn list(lines: &[&str]) -> HeaderMap {
        let values = lines.iter().map(|line| HeaderValue::from_str(line));
        HeaderMap::from_iter(values.map(|value| (CONNECTION, value.unwrap())))
    }

    #[test]
    fn lines_commas_and_white_space_separate() {
        for lines in [
            &["keep-alive, Upgrade"][..],
            &["keep-alive,Upgrade"],
            &["keep-alive,\tUpgrade"],
            &[" ,keep-alive\t ,, Upgrade ,"],
            &["keep-alive", "Upgrade"],
        ] {
            let headers = list(lines);
            let elements: Vec<_> = elements(&headers, &CONNECTION).collect();
            assert_eq!(elements, ["keep-alive", "Upgrade"], "{lines:?}");
            assert!(contains(&headers, &CONNECTION, "upgrade"));
            assert!(!contains(&headers, &CONNECTION, "keep"));
        }
        assert_eq!(elements(&list(&["", " , "]), &CONNECTION).count(), 0);
        assert_eq!(elements(&HeaderMap::new(), &CONNECTION).count(), 0);
    }
}
