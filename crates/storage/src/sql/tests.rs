//! The contract of the tables, on each back end.

use std::sync::Arc;

use stack::PostgresDatabase;
use tempfile::TempDir;

use super::*;
use crate::PostgresConfig;

/// Tables for one test alone.
struct Fixture {
    sql: Sql,
    place: Place,
}

enum Place {
    Directory(TempDir),
    Database(PostgresDatabase),
}

/// A table in the words of the migrations.
const TABLE: &str = "
    CREATE TABLE things (
        id TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        bytes BLOB,
        -- A remark with TEXT in it.
        note TEXT
    ) STRICT;";

impl Fixture {
    async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sql = Sql::open(directory.path()).await.unwrap();
        write(&sql, vec![Statement::new(TABLE)]).await;
        let place = Place::Directory(directory);
        Self { sql, place }
    }

    async fn postgres() -> Self {
        let database = PostgresDatabase::shared();
        Postgres::migrate(&config(&database)).await.unwrap();
        let sql = Sql::postgres(Postgres::connect(config(&database)).unwrap());
        write(&sql, vec![Statement::new(dialect::postgres_schema(TABLE))]).await;
        let place = Place::Database(database);
        Self { sql, place }
    }

    /// The same tables, closed and opened again.
    async fn reopened(self) -> Self {
        self.sql.close().await;
        let sql = match &self.place {
            Place::Directory(directory) => Sql::open(directory.path()).await.unwrap(),
            Place::Database(database) => {
                Sql::postgres(Postgres::connect(config(database)).unwrap())
            }
        };
        Self { sql, ..self }
    }

    async fn count(&self, id: &str) -> Option<i64> {
        let select = Statement::new("SELECT count FROM things WHERE id = $1").bind(id);
        let rows = self.sql.read(Freshness::Latest, select).await.unwrap();
        rows.first().map(|row| row.get(0).unwrap())
    }
}

/// Without replicas, which would answer what is some milliseconds old.
fn config(database: &PostgresDatabase) -> PostgresConfig {
    PostgresConfig {
        url: database.url.parse().unwrap(),
        replica_urls: Vec::new(),
        write_pool_size: 4,
        read_pool_size: 4,
        ca_file: None,
    }
}

async fn write(sql: &Sql, statements: Vec<Statement>) -> Written {
    sql.write(None, statements).await.unwrap()
}

fn insert(id: &str, count: i64) -> Statement {
    let insert = "INSERT INTO things (id, count) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    Statement::new(insert).bind(id).bind(count)
}

fn set(id: &str, count: i64) -> Statement {
    // The second placeholder comes first.
    Statement::new("UPDATE things SET count = $2 WHERE id = $1")
        .bind(id)
        .bind(count)
}

stack::on_each!(
    [embedded, postgres],
    [
        values_come_back_as_they_were_written,
        a_null_is_one_whatever_came_before,
        a_transaction_is_all_or_nothing,
        what_is_required_must_have_affected_a_row,
        a_fault_takes_the_transaction_back,
        claims_are_returned_and_nobody_has_two,
        what_was_written_is_there_later,
    ]
);

async fn values_come_back_as_they_were_written(fixture: Fixture) {
    let text = "naïve 🙂 'quoted' $1 ?1";
    let insert = "INSERT INTO things (id, count, bytes, note) VALUES ($1, $2, $3, $4)";
    let insert = Statement::new(insert)
        .bind("a")
        .bind(i64::MIN)
        .bind(vec![0_u8, 255])
        .bind(text);
    assert_eq!(
        write(&fixture.sql, vec![insert]).await.rows_affected(),
        Some(1)
    );
    let select = "SELECT id, count, bytes, note, count(*) OVER (), count < 0 FROM things";
    let rows = fixture
        .sql
        .read(Freshness::Latest, Statement::new(select))
        .await
        .unwrap();
    let [row] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(row.get::<String>(0).unwrap(), "a");
    assert_eq!(row.get::<i64>(1).unwrap(), i64::MIN);
    assert_eq!(row.get::<Vec<u8>>(2).unwrap(), [0, 255]);
    assert_eq!(row.get::<Option<String>>(3).unwrap().unwrap(), text);
    assert_eq!(row.get::<u64>(4).unwrap(), 1);
    assert!(row.get::<bool>(5).unwrap());
    assert!(row.get::<String>(1).is_err(), "a number as a text");
    assert!(row.get::<u64>(1).is_err(), "a negative number");
    assert!(row.get::<i64>(6).is_err(), "no such column");
}

async fn a_null_is_one_whatever_came_before(fixture: Fixture) {
    let insert = |id: &str, bytes: Option<Vec<u8>>, note: Option<&str>| {
        let insert = "INSERT INTO things (id, count, bytes, note) VALUES ($1, 1, $2, $3)";
        Statement::new(insert).bind(id).bind(bytes).bind(note)
    };
    // The server has prepared the statement with one of the two.
    for _ in 0..2 {
        for (id, bytes, note) in [
            ("none", None, None),
            ("some", Some(vec![1]), Some("x")),
            ("none again", None, None),
        ] {
            write(
                &fixture.sql,
                vec![
                    Statement::new("DELETE FROM things WHERE id = $1").bind(id),
                    insert(id, bytes.clone(), note),
                ],
            )
            .await;
            let select = Statement::new("SELECT bytes, note FROM things WHERE id = $1").bind(id);
            let rows = fixture.sql.read(Freshness::Latest, select).await.unwrap();
            assert_eq!(rows[0].get::<Option<Vec<u8>>>(0).unwrap(), bytes);
            assert_eq!(rows[0].get::<Option<String>>(1).unwrap().as_deref(), note);
        }
    }
}

async fn a_transaction_is_all_or_nothing(fixture: Fixture) {
    let sql = &fixture.sql;
    let statements = vec![insert("a", 1), insert("a", 2), insert("b", 2), set("a", 3)];
    let Written::All(effects) = write(sql, statements).await else {
        panic!("nothing was required");
    };
    let affected: Vec<u64> = effects.iter().map(|effect| effect.rows_affected).collect();
    assert_eq!(affected, [1, 0, 1, 1]);
    assert_eq!(
        (fixture.count("a").await, fixture.count("b").await),
        (Some(3), Some(2))
    );
    assert_eq!(write(sql, Vec::new()).await, Written::All(Vec::new()));
}

async fn what_is_required_must_have_affected_a_row(fixture: Fixture) {
    let sql = &fixture.sql;
    let refused = write(sql, vec![insert("a", 1), set("nobody", 1).required()]).await;
    assert_eq!(refused, Written::Refused(1));
    assert_eq!(refused.rows_affected(), None);
    assert_eq!(fixture.count("a").await, None);
    assert_eq!(
        write(sql, vec![set("a", 1).required()]).await,
        Written::Refused(0)
    );
    let done = write(sql, vec![insert("a", 1).required(), set("a", 2).required()]).await;
    assert_eq!(done.rows_affected(), Some(2));
    assert_eq!(fixture.count("a").await, Some(2));
}

async fn a_fault_takes_the_transaction_back(fixture: Fixture) {
    let sql = &fixture.sql;
    let broken = Statement::new("INSERT INTO things (id, count) VALUES ($1, $2)")
        .bind("b")
        .bind(None::<i64>);
    let failed = sql.write(None, vec![insert("a", 1), broken]).await;
    assert!(matches!(failed, Err(StoreError::Internal(_))), "{failed:?}");
    assert_eq!(fixture.count("a").await, None);
    // The connection is usable afterwards.
    write(sql, vec![insert("a", 1), insert("b", 1)]).await;
    assert_eq!(fixture.count("a").await, Some(1));
}

async fn claims_are_returned_and_nobody_has_two(fixture: Fixture) {
    let sql = Arc::new(fixture.sql.clone());
    let all: Vec<Statement> = (0..40).map(|n| insert(&format!("{n:02}"), 0)).collect();
    write(&sql, all).await;
    let claim = || {
        Statement::new(
            "UPDATE things SET count = 1 WHERE id IN (
                 SELECT id FROM things WHERE count = 0 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
             RETURNING id",
        )
        .bind(3)
    };
    let workers = (0..4).map(|_| {
        let sql = Arc::clone(&sql);
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let rows = write(&sql, vec![claim()]).await.into_last_rows();
                if rows.is_empty() {
                    return claimed;
                }
                claimed.extend(rows.iter().map(|row| row.get::<String>(0).unwrap()));
            }
        })
    });
    let mut claimed = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        claimed.extend(worker.await.unwrap());
    }
    claimed.sort();
    let expected: Vec<String> = (0..40).map(|n| format!("{n:02}")).collect();
    assert_eq!(claimed, expected);
}

async fn what_was_written_is_there_later(fixture: Fixture) {
    write(&fixture.sql, vec![insert("a", 7)]).await;
    let fixture = fixture.reopened().await;
    fixture.sql.ping().await.unwrap();
    assert_eq!(fixture.count("a").await, Some(7));
}
