//! What nginx itself answers has to be what an instance would answer.

use http::{StatusCode, header::CONTENT_TYPE};
use protocol::Problem;

use crate::client::http::Response;

/// The problem that an answer holds, in accordance with its status and headers.
///
/// # Panics
/// If it holds none.
pub fn problem(response: &Response) -> Problem {
    assert_eq!(response.headers[CONTENT_TYPE], "application/problem+json");
    // Other sites' pages could otherwise not tell it from a broken network.
    assert_eq!(response.headers["access-control-allow-origin"], "*");
    let problem: Problem = serde_json::from_slice(&response.body).expect("a problem");
    assert_eq!(problem.status, response.status);
    assert_eq!(problem.code.http_status(), response.status);
    let title = StatusCode::from_u16(problem.status).unwrap();
    let title = title
        .canonical_reason()
        .unwrap()
        .replace("Payload", "Content");
    assert_eq!(problem.title, title);
    let seconds = response.headers.get("retry-after");
    let millis = seconds.map(|s| s.to_str().unwrap().parse::<u64>().unwrap() * 1_000);
    assert_eq!(problem.retry_after_ms, millis);
    assert_eq!(problem.retryable, millis.is_some());
    problem
}
