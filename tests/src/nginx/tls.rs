//! What nginx offers on its TLS port. OpenSSL's client is Node's.

use gateway::Config;
use http::{Method, header::LOCATION};

use super::proxy::{Nginx, Port};
use crate::{
    client::{http::request, official::javascript_tests},
    gateway::test_gateway::TestGateway,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_and_protocols() {
    let gateway = TestGateway::start(Config::default()).await;
    let nginx = Nginx::start(&[gateway.address]).await;
    let port = nginx.https.port().to_string();
    let certificate = nginx.certificate();
    let environment = [
        ("PORT", &*port),
        ("CERTIFICATE", certificate.to_str().unwrap()),
    ];
    javascript_tests("nginx.test.mjs", &environment).await;
}

#[tokio::test]
async fn whoever_comes_without_tls_is_sent_to_it() {
    let nginx = Nginx::start(&[Port::reserve().address]).await;
    let answer = request(nginx.redirect, Method::POST, "/api/v1/rooms?a=1", &[], "{}").await;
    // 308: the method and the body stay.
    assert_eq!(answer.status, 308);
    assert_eq!(
        answer.headers[LOCATION],
        "https://127.0.0.1/api/v1/rooms?a=1"
    );
    // The promise to stay with TLS counts only where it was made over TLS.
    assert!(!answer.headers.contains_key("strict-transport-security"));
}
