//! What only who has the data may do.

use std::path::Path;

use protocol::Role;
use storage::{MessageStore, OpenError, StoreError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The data directory can't be opened; a running server has it to itself.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// Nobody has this name.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the user of this name an administrator, who has to sign in again to become one.
///
/// # Errors
/// If a server is running on the directory, or nobody has this name.
pub async fn grant(data_dir: &Path, username: &str) -> Result<(), AdminError> {
    let store = MessageStore::open(data_dir).await?;
    let granted = async {
        let credentials = store
            .credentials(username)
            .await?
            .ok_or_else(|| AdminError::Unknown(username.to_owned()))?;
        store
            .set_user_role(&credentials.user.id, Role::Admin)
            .await?;
        Ok(())
    };
    let granted = granted.await;
    store.close().await;
    granted
}
