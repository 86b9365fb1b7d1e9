//! What holds for jobs on every back end.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

/// Runs each test on each back end.
macro_rules! on_each {
    ($($test:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::Fixture::embedded().await).await;
            })*
        }
        mod rabbitmq {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::Fixture::rabbitmq().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::Fixture::postgres().await).await;
            })*
        }
    };
}

mod dead_letters;
mod ends;
#[expect(dead_code, reason = "tests of faults use more of it")]
mod fixture;
mod runs;

use fixture::{Fixture, Note, Notes, PROMPT, eventually};
