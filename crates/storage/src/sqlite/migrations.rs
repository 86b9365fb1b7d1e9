//! Schema versions: `user_version` of the file says how many of the steps it has seen. A step that
//! was released is never changed; a new one is added behind it.

use rusqlite::{Connection, TransactionBehavior};

use super::{Failure, Outcome};
use crate::OpenError;

/// The steps from an empty file to the present schema.
#[derive(Clone, Copy)]
pub(crate) struct Migrations(pub(crate) &'static [Step]);

/// From one version of the schema to the next.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Sql(&'static str),
    /// What takes more than statements, such as an index of what this program makes of the rows.
    Run(fn(&Connection) -> Outcome<()>),
}

impl Migrations {
    /// Brings the database up to date, all steps or none.
    pub(super) fn run(self, connection: &mut Connection) -> Result<(), OpenError> {
        let known = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Failure::from)?;
        let found: u32 = transaction
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(Failure::from)?;
        if found > known {
            return Err(OpenError::Newer { found, known });
        }
        for step in self.0.iter().skip(found as usize) {
            match step {
                Step::Sql(sql) => transaction.execute_batch(sql).map_err(Failure::from)?,
                Step::Run(run) => run(&transaction)?,
            }
        }
        if found < known {
            transaction
                .pragma_update(None, "user_version", known)
                .map_err(Failure::from)?;
        }
        transaction.commit().map_err(Failure::from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> u32 {
        connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn runs_only_the_steps_that_are_missing() {
        let mut connection = Connection::open_in_memory().unwrap();
        const FIRST: &[Step] = &[Step::Sql("CREATE TABLE a (x); INSERT INTO a VALUES (1);")];
        Migrations(FIRST).run(&mut connection).unwrap();
        fn insert(connection: &Connection) -> Outcome<()> {
            Ok(connection.execute_batch("INSERT INTO a VALUES (2);")?)
        }
        const BOTH: &[Step] = &[Step::Sql("not run again"), Step::Run(insert)];
        assert_eq!(version(&connection), 1);
        Migrations(BOTH).run(&mut connection).unwrap();
        Migrations(BOTH).run(&mut connection).unwrap();
        assert_eq!(version(&connection), 2);
        let sum: i64 = connection
            .query_row("SELECT sum(x) FROM a", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sum, 3);
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let mut connection = Connection::open_in_memory().unwrap();
        const STEPS: &[Step] = &[Step::Sql("CREATE TABLE a (x);"), Step::Sql("nonsense")];
        let result = Migrations(STEPS).run(&mut connection);
        assert!(matches!(result, Err(OpenError::Database(_))), "{result:?}");
        assert_eq!(version(&connection), 0);
        assert!(connection.prepare("SELECT x FROM a").is_err());
    }

    #[test]
    fn a_newer_file_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", 3).unwrap();
        let result = Migrations(&[Step::Sql("CREATE TABLE a (x);")]).run(&mut connection);
        assert!(
            matches!(result, Err(OpenError::Newer { found: 3, known: 1 })),
            "{result:?}"
        );
    }
}
