//! Requests of the server to its client.

use gateway::Config;

use crate::{client::Client, server::Server};

#[test]
fn a_request_nobody_waits_for_is_forgotten() {
    let server = Server::start(Config::default());
    let mut client = Client::connect(&server);
    client.send(r#"421["ask in vain",300]"#);
    loop {
        let answer = client.text();
        if let Some(error) = answer.strip_prefix("431") {
            assert_eq!(error, r#"["the client did not answer in time"]"#);
            return;
        }
        assert!(answer.contains("question"), "{answer}");
    }
}
