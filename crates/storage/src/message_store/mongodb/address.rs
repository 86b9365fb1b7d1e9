//! How the database is reached: what its address says, and what it may not say otherwise.

use std::time::Duration;

use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};

use crate::OpenError;

/// Connections to each server. Each serves one operation at a time: more of them than this would only queue in the
/// server instead of here.
const CONNECTIONS: u32 = 100;

/// How many connections may be in the making at once: the driver's default of 2 makes a burst after an election wait.
const CONNECTING: u32 = 8;

/// How long an operation waits for a primary. An election takes longer; then the answer is `Unavailable`, and soon.
const SELECTION: Duration = Duration::from_secs(3);

/// How long connecting, and each heartbeat of a server, may take.
const CONNECT: Duration = Duration::from_secs(3);

/// How often servers are asked for a heartbeat: a primary that hangs is noticed after this and [`CONNECT`].
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long a write may wait for a majority before its outcome counts as unknown.
const WRITE_CONCERN: Duration = Duration::from_secs(5);

/// The options of an address, with the concerns and time-outs that the store relies on.
pub async fn options(uri: &str) -> Result<ClientOptions, OpenError> {
    let mut options = match ClientOptions::parse(uri).await {
        Ok(options) => options,
        Err(_) => return Err(without_credentials(uri).await),
    };
    options.write_concern = Some(
        WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .w_timeout(WRITE_CONCERN)
            .build(),
    );
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.retry_reads = Some(true);
    options.retry_writes = Some(true);
    options
        .app_name
        .get_or_insert_with(|| "tertulia".to_owned());
    options.max_pool_size.get_or_insert(CONNECTIONS);
    options.max_connecting.get_or_insert(CONNECTING);
    options.server_selection_timeout.get_or_insert(SELECTION);
    options.connect_timeout.get_or_insert(CONNECT);
    options.heartbeat_freq.get_or_insert(HEARTBEAT);
    Ok(options)
}

/// Why an address can't be used. The driver's message may quote parts of it, so the address is parsed again without its
/// password.
async fn without_credentials(uri: &str) -> OpenError {
    let stripped = match (uri.find("://"), uri.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}user:password{}", &uri[..scheme + 3], &uri[at..])
        }
        (None, Some(_)) => return OpenError::Address("expected mongodb://…".to_owned()),
        _ => uri.to_owned(),
    };
    match ClientOptions::parse(stripped).await {
        Err(error) => malformed(&error),
        Ok(_) => OpenError::Address("user and password must be percent-encoded".to_owned()),
    }
}

/// The error that an address was refused with, as the operator reads it.
pub fn malformed(error: &mongodb::error::Error) -> OpenError {
    OpenError::Address(error.kind.to_string())
}
