//! What the circuit breaker makes of calls, on a real server and where there is none.

use circuit_breaker::{Settings, State};
use stack::PostgresDatabase;

use super::*;

fn guarded(url: &str, recovery_timeout: Duration) -> (Postgres, Arc<Breaker>) {
    let config = PostgresConfig {
        url: url.parse().unwrap(),
        replica_urls: Vec::new(),
        write_pool_size: 2,
        read_pool_size: 2,
        ca_file: None,
    };
    let settings = Settings::new(50, recovery_timeout).minimum_calls(3);
    let breaker = Arc::new(Breaker::new(settings));
    let postgres = Postgres::connect(config).unwrap();
    postgres.guard(breaker.clone());
    (postgres, breaker)
}

async fn run(postgres: &Postgres, sql: &'static str) -> Result<(), StoreError> {
    let asked = postgres.write(None, |connection| {
        Box::pin(async move { sqlx::raw_sql(sql).execute(connection).await.map(drop) })
    });
    asked.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_opens_the_circuit_and_is_left_alone() {
    // Nobody listens there: the port is bound, and that is all.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("postgres://ann@{}/x", nobody.local_addr().unwrap());
    let (postgres, breaker) = guarded(&url, Duration::from_secs(3_600));
    // At once, since each is tried for some seconds.
    let calls = (0..3).map(|_| run(&postgres, "SELECT 1"));
    for ended in futures_util::future::join_all(calls).await {
        assert!(matches!(ended, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(breaker.state(), State::Open);
    for _ in 0..100 {
        assert!(matches!(
            postgres.ping().await,
            Err(StoreError::Unavailable(_))
        ));
    }
    let counts = breaker.counts();
    assert_eq!((counts.failures, counts.rejected), (3, 100));
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_that_nobody_answers_open_the_circuit() {
    // Connections wait there to be accepted, for ever.
    let hangs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://ann@{}/x", hangs.local_addr().unwrap());
    let (postgres, breaker) = guarded(&url, Duration::from_secs(3_600));
    for ended in futures_util::future::join_all((0..3).map(|_| postgres.ping())).await {
        assert!(matches!(ended, Err(StoreError::Unavailable(_))));
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_no_works() {
    let database = PostgresDatabase::shared();
    let (postgres, breaker) = guarded(&database.url, Duration::from_secs(3_600));
    run(&postgres, "CREATE TABLE t (id integer PRIMARY KEY)")
        .await
        .unwrap();
    run(&postgres, "INSERT INTO t VALUES (1)").await.unwrap();
    for wrong in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (NULL)",
        "SELECT 1 / 0",
        "SELECT FROM WHERE",
        "SELECT * FROM nowhere",
    ] {
        assert!(run(&postgres, wrong).await.is_err(), "{wrong}");
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.counts().failures, 0);
    // One that ends what takes too long, or ends the connection, doesn't.
    for wrong in [
        "SET statement_timeout = 1; SELECT pg_sleep(60)",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    ] {
        let failures = breaker.counts().failures;
        assert!(run(&postgres, wrong).await.is_err(), "{wrong}");
        assert_eq!(breaker.counts().failures, failures + 1, "{wrong}");
    }
    postgres.close().await;
}
