//! Versions of the tables, for both back ends: files that are applied in order. They are written for SQLite, with `STRICT`
//! and the types `TEXT`, `INTEGER` and `BLOB`, and put into PostgreSQL's words by [`dialect`]. A file that
//! was released is never changed; a new one is added behind it.

use super::dialect;
use crate::sqlite::{Migrations, Step};

/// One step from a version of the tables to the next.
pub(crate) struct SqlMigration {
    pub(crate) name: &'static str,
    sqlite: &'static str,
}

impl SqlMigration {
    /// As PostgreSQL takes it.
    pub(crate) fn for_postgres(&self) -> String {
        dialect::postgres_schema(self.sqlite)
    }
}

/// Files by their names.
macro_rules! migrations {
    ($($name:literal)*) => {
        /// From no tables to the present ones.
        pub(crate) const ALL: &[SqlMigration] = &[$(SqlMigration {
            name: $name,
            sqlite: include_str!(concat!("migrations/", $name, ".sql")),
        }),*];

        pub(super) const SQLITE: Migrations =
            Migrations(&[$(Step::Sql(include_str!(concat!("migrations/", $name, ".sql")))),*]);
    };
}

migrations! {
    "0002_notifications"
    "0003_jobs"
    "0004_uploads"
    "0005_emails_and_pushes"
    "0006_avatars"
    "0007_rollups"
}
