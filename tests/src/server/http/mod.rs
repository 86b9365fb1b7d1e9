//! Every HTTP route with good and bad input, against the real server.

mod accounts;
mod administrators;
mod answers;
mod audit;
mod circuits;
mod members;
mod messages;
mod profiles;
mod rooms;
mod sessions;
mod table;

use ::http::{HeaderMap, Method};
use serde_json::Value;

use super::test_app::{Answer, Person, TestApp};
use crate::client::http;

impl Answer {
    /// The detail of a problem of this code.
    ///
    /// # Panics
    /// If it is another one, or none.
    pub fn refused(&self, code: &str) -> &str {
        assert_eq!(self.code(), code, "{}", self.body);
        self.body["detail"].as_str().expect("a detail")
    }
}

/// Posts `body` with each of `changes` made to it; every one has to be refused with a detail that begins with the
/// field's name. `null` takes the field out.
async fn each_is_invalid(
    app: &TestApp,
    method: Method,
    path: &str,
    person: Option<&Person>,
    body: &Value,
    changes: &[(&str, Value)],
) {
    for (field, value) in changes {
        let mut changed = body.clone();
        changed[*field] = value.clone();
        if value.is_null() {
            changed.as_object_mut().expect("an object").remove(*field);
        }
        let answer = app
            .request(method.clone(), path, person, Some(changed))
            .await;
        let detail = answer.refused("invalid");
        assert!(
            detail.starts_with(field),
            "{path} {field} = {value}: {detail}"
        );
    }
}

/// A request with headers of one's own choice, and all of its answer.
async fn ask(
    app: &TestApp,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, HeaderMap, Vec<u8>) {
    let response = http::request(app.address(), method, path, headers, body.to_owned()).await;
    (
        response.status.as_u16(),
        response.headers,
        response.body.to_vec(),
    )
}
