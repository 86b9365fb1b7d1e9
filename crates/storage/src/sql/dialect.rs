//! The words in which the two back ends differ.

use std::borrow::Cow;

/// What only PostgreSQL says: whoever claims rows leaves those alone that another is about to claim. SQLite has one writer.
const SKIP_LOCKED: &str = "FOR UPDATE SKIP LOCKED";

/// A schema for PostgreSQL, of one that is written for SQLite. Texts are compared byte by byte, as there.
pub(super) fn postgres_schema(sql: &str) -> String {
    let mut schema = String::with_capacity(sql.len() * 2);
    for line in sql.lines() {
        // Of a comment nothing is a word of the language.
        let (code, comment) = line.split_at(line.find("--").unwrap_or(line.len()));
        let code = code
            .replace(") STRICT, WITHOUT ROWID", ")")
            .replace(") STRICT", ")");
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let mut rest = code.as_str();
        while !rest.is_empty() {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            schema.push_str(match word {
                "TEXT" => "text COLLATE \"C\"",
                "INTEGER" => "bigint",
                "BLOB" => "bytea",
                other => other,
            });
            let next = after.find(is_word).unwrap_or(after.len());
            schema.push_str(&after[..next]);
            rest = &after[next..];
        }
        schema.push_str(comment);
        schema.push('\n');
    }
    schema
}

/// A statement for SQLite, which counts `$1` as a name.
pub(super) fn sqlite_statement(sql: &str) -> Cow<'_, str> {
    let mut sql = Cow::Borrowed(sql);
    if sql.contains(SKIP_LOCKED) {
        sql = sql.replace(SKIP_LOCKED, "").into();
    }
    if sql.contains('$') {
        sql = sql.replace('$', "?").into();
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_put_into_the_words_of_postgresql() {
        let schema = "\
-- TEXT and INTEGER stay in comments.
CREATE TABLE things (
    id TEXT PRIMARY KEY, -- a TEXT
    CONTEXT INTEGER NOT NULL DEFAULT 0,
    bytes BLOB
) STRICT, WITHOUT ROWID;
";
        let expected = "\
-- TEXT and INTEGER stay in comments.
CREATE TABLE things (
    id text COLLATE \"C\" PRIMARY KEY, -- a TEXT
    CONTEXT bigint NOT NULL DEFAULT 0,
    bytes bytea
);
";
        assert_eq!(postgres_schema(schema), expected);
    }

    #[test]
    fn a_statement_is_put_into_the_words_of_sqlite() {
        let statement = "SELECT id FROM jobs WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED";
        let expected = "SELECT id FROM jobs WHERE at < ?1 LIMIT ?2 ";
        assert_eq!(sqlite_statement(statement), expected);
        assert!(matches!(sqlite_statement("SELECT 1"), Cow::Borrowed(_)));
    }
}
