//! Migrations on a real server.

use std::borrow::Cow;

use futures_util::future::join_all;

use super::*;
use crate::postgres::migrations::{Migration, run};

const FIRST: Migration = Migration {
    name: "0001_first",
    sql: Cow::Borrowed("CREATE TABLE a (x integer); INSERT INTO a VALUES (1);"),
};
const SECOND: Migration = Migration {
    name: "0002_second",
    sql: Cow::Borrowed("INSERT INTO a VALUES (2);"),
};

struct Fixture {
    postgres: Postgres,
    database: PostgresDatabase,
}

impl Fixture {
    fn new() -> Self {
        let database = PostgresDatabase::shared();
        let postgres = Postgres::connect(config(&database)).unwrap();
        Self { postgres, database }
    }

    async fn run(&self, all: &[Migration]) -> Result<(), OpenError> {
        let config = config(&self.database);
        run(&config.options(&config.url).unwrap(), all).await
    }

    async fn number(&self, sql: &'static str) -> Result<i64, StoreError> {
        self.postgres
            .read(Freshness::Latest, |connection| {
                Box::pin(async move { sqlx::query_scalar(sql).fetch_one(connection).await })
            })
            .await
    }

    async fn end(self) {
        self.postgres.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_missing_is_applied_and_by_one() {
    let fixture = Fixture::new();
    fixture.run(&[FIRST]).await.unwrap();
    let all = [FIRST, SECOND];
    let at_once = join_all((0..8).map(|_| fixture.run(&all))).await;
    assert!(at_once.iter().all(Result::is_ok), "{at_once:?}");
    assert_eq!(fixture.number("SELECT sum(x) FROM a").await.unwrap(), 3);
    let versions = "SELECT count(*) FROM schema_migrations";
    assert_eq!(fixture.number(versions).await.unwrap(), 2);
    // An older program says so, and changes nothing.
    let older = fixture.run(&[FIRST]).await;
    assert!(
        matches!(older, Err(OpenError::Newer { found: 2, known: 1 })),
        "{older:?}"
    );
    let changed = Migration {
        sql: Cow::Borrowed("SELECT 1"),
        ..FIRST
    };
    let error = fixture.run(&[changed, SECOND]).await.unwrap_err();
    assert!(format!("{error:?}").contains("0001_first"), "{error:?}");
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_leaves_nothing_and_is_tried_again() {
    let fixture = Fixture::new();
    let broken = Migration {
        sql: Cow::Borrowed("INSERT INTO a VALUES (2); nonsense;"),
        ..SECOND
    };
    let error = fixture.run(&[FIRST, broken]).await;
    assert!(matches!(error, Err(OpenError::Database(_))), "{error:?}");
    assert_eq!(fixture.number("SELECT sum(x) FROM a").await.unwrap(), 1);
    fixture.run(&[FIRST, SECOND]).await.unwrap();
    assert_eq!(fixture.number("SELECT sum(x) FROM a").await.unwrap(), 3);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_isnt_migrated_is_unavailable() {
    let fixture = Fixture::new();
    let result = fixture.number("SELECT count(*) FROM audit_entries").await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    Postgres::migrate(&config(&fixture.database)).await.unwrap();
    let result = fixture.number("SELECT count(*) FROM audit_entries").await;
    assert_eq!(result.unwrap(), 0);
    // A fault of the program isn't tried again.
    let result = fixture.number("SELECT nonsense()").await;
    assert!(matches!(result, Err(StoreError::Internal(_))), "{result:?}");
    fixture.end().await;
}
