//! Names of files, which their senders choose.

use protocol::limits::FILE_NAME_MAX;

/// The name of a file without its directories, and without what no name needs: control characters, and those that turn the
/// direction of text around, behind which another ending could hide.
pub fn cleaned(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_kept = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let name: String = last.chars().filter(is_kept).take(FILE_NAME_MAX).collect();
    let name = name.trim().trim_start_matches('.').trim();
    match name.is_empty() {
        true => "file".to_owned(),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_only_a_name() {
        for (given, name) in [
            ("cat.jpg", "cat.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\photos\\cat.jpg", "cat.jpg"),
            ("a/", "file"),
            ("..", "file"),
            (".htaccess", "htaccess"),
            ("a\r\nSet-Cookie: x\0.jpg", "aSet-Cookie: x.jpg"),
            ("evil\u{202e}gpj.exe", "evilgpj.exe"),
            (" Füße 🐾.pdf ", "Füße 🐾.pdf"),
            ("\u{200e}", "file"),
        ] {
            assert_eq!(cleaned(given), name, "{given:?}");
        }
        assert_eq!(cleaned(&"x".repeat(1_000)).chars().count(), FILE_NAME_MAX);
    }
}
