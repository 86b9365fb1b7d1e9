//! The tables in PostgreSQL.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{
    AssertSqlSafe, Connection, Decode, Either, Encode, Executor, PgConnection, Postgres as Driver,
    Row as _, Type, TypeInfo, ValueRef,
};

use super::{Effect, Row, Statement, Value, Written};
use crate::postgres::Answer;
use crate::{Freshness, Postgres, StoreError};

#[derive(Clone)]
pub(super) struct PostgresTables {
    postgres: Postgres,
}

impl PostgresTables {
    pub(super) fn new(postgres: Postgres) -> Self {
        Self { postgres }
    }

    pub(super) async fn read(
        &self,
        freshness: Freshness<'_>,
        statement: Statement,
    ) -> Result<Vec<Row>, StoreError> {
        // Another server may be asked the same.
        let statement = Arc::new(statement);
        let reading = self.postgres.read(freshness, |connection| {
            let statement = Arc::clone(&statement);
            Box::pin(async move { Ok(run(connection, &statement).await?.rows) })
        });
        reading.await
    }

    pub(super) async fn write(
        &self,
        writer: Option<&str>,
        statements: Vec<Statement>,
    ) -> Result<Written, StoreError> {
        let writing = self
            .postgres
            .write(writer, move |connection| -> Answer<'_, Written> {
                Box::pin(async move {
                    // A statement by itself is a transaction, and one that affects no row changes nothing.
                    if let [statement] = &statements[..] {
                        let effect = run(connection, statement).await?;
                        return Ok(if statement.is_required && effect.rows_affected == 0 {
                            Written::Refused(0)
                        } else {
                            Written::All(vec![effect])
                        });
                    }
                    let mut transaction = connection.begin().await?;
                    let mut effects = Vec::with_capacity(statements.len());
                    for (place, statement) in statements.iter().enumerate() {
                        let effect = run(&mut transaction, statement).await?;
                        if statement.is_required && effect.rows_affected == 0 {
                            transaction.rollback().await?;
                            return Ok(Written::Refused(place));
                        }
                        effects.push(effect);
                    }
                    transaction.commit().await?;
                    Ok(Written::All(effects))
                })
            });
        writing.await
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        self.postgres.ping().await
    }
}

async fn run(connection: &mut PgConnection, statement: &Statement) -> Result<Effect, sqlx::Error> {
    let is_fixed = matches!(statement.sql, Cow::Borrowed(_));
    // The text of a statement is the program's own: values are bound.
    let mut query =
        sqlx::query::<Driver>(AssertSqlSafe(statement.sql.clone())).persistent(is_fixed);
    for value in &statement.values {
        query = bind(query, value);
    }
    let mut effect = Effect::default();
    let mut results = connection.fetch_many(query);
    while let Some(result) = results.try_next().await? {
        match result {
            Either::Left(done) => effect.rows_affected += done.rows_affected(),
            Either::Right(row) => effect.rows.push(read(&row)?),
        }
    }
    Ok(effect)
}

type Query<'q> = sqlx::query::Query<'q, Driver, PgArguments>;

fn bind<'q>(query: Query<'q>, value: &'q Value) -> Query<'q> {
    match value {
        Value::Null => query.bind(Unspecified),
        Value::Integer(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.as_str()),
        Value::Bytes(bytes) => query.bind(bytes.as_slice()),
    }
}

/// A null, whose type the server takes from where it stands.
struct Unspecified;

impl Type<Driver> for Unspecified {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Driver> for Unspecified {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

fn read(row: &PgRow) -> Result<Row, sqlx::Error> {
    let values = (0..row.len()).map(|column| value(row.try_get_raw(column)?));
    Ok(Row(values.collect::<Result<_, _>>()?))
}

fn value(raw: PgValueRef<'_>) -> Result<Value, sqlx::Error> {
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let name = raw.type_info().name().to_owned();
    let value = match &*name {
        "INT8" => Decode::<Driver>::decode(raw).map(Value::Integer),
        "INT4" => <i32 as Decode<Driver>>::decode(raw).map(Value::from),
        "TEXT" => Decode::<Driver>::decode(raw).map(Value::Text),
        "BYTEA" => Decode::<Driver>::decode(raw).map(Value::Bytes),
        "BOOL" => <bool as Decode<Driver>>::decode(raw).map(Value::from),
        _ => Err(format!("{name} isn't a type of both back ends").into()),
    };
    value.map_err(sqlx::Error::Decode)
}
