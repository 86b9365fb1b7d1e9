//! Devices that are reached by push. A device has one address, and an address belongs to one user: who signed in there last.

use protocol::{SessionId, Timestamp, UserId};
use sha2::{Digest, Sha256};

use crate::Freshness;
use crate::StoreError;
use crate::sql::{Row, Sql, Statement};
use crate::verified_emails::users_in;

/// Devices of one user; a new one takes the place of the oldest.
const PER_USER: u32 = 20;

/// A device that is reached by push.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredDevice {
    /// As the client calls it.
    pub id: String,
    /// How it is reached.
    pub address: DeviceAddress,
    /// The session in which it was registered.
    pub session_id: Option<SessionId>,
    /// When it was, the last time.
    pub registered_at: Timestamp,
}

/// How a device is reached. Not to be shown: who has it can send there.
#[derive(Clone, PartialEq, Eq)]
pub enum DeviceAddress {
    /// By Web Push.
    Web {
        /// The push service's address of the subscription.
        endpoint: String,
        /// The browser's public key, an uncompressed point of P-256.
        p256dh: Vec<u8>,
        /// Its secret of 16 bytes.
        auth: Vec<u8>,
    },
    /// By Firebase Cloud Messaging.
    Fcm {
        /// The registration token.
        token: String,
    },
}

impl DeviceAddress {
    fn text(&self) -> &str {
        match self {
            Self::Web { endpoint, .. } => endpoint,
            Self::Fcm { token } => token,
        }
    }

    fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.text()).to_vec()
    }
}

/// Devices, durable. Cloning shares them.
#[derive(Clone)]
pub struct DeviceStore {
    sql: Sql,
}

impl DeviceStore {
    /// Those of these tables.
    pub fn new(sql: Sql) -> Self {
        Self { sql }
    }

    /// Adds a user's device or changes its address. Nobody else has the address afterwards.
    pub async fn put(&self, user: &UserId, device: &StoredDevice) -> Result<(), StoreError> {
        const INSERT: &str = "
            INSERT INTO devices (user_id, id, kind, address_hash, address, p256dh, auth, session_id, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (user_id, id) DO UPDATE SET kind = excluded.kind, address_hash = excluded.address_hash,
                address = excluded.address, p256dh = excluded.p256dh, auth = excluded.auth,
                session_id = excluded.session_id, created_at = excluded.created_at";
        const TRIM: &str = "
            DELETE FROM devices WHERE user_id = $1 AND id IN (
                SELECT id FROM devices WHERE user_id = $1 ORDER BY created_at DESC, id LIMIT 1000 OFFSET $2)";
        let (kind, p256dh, auth) = match &device.address {
            DeviceAddress::Web { p256dh, auth, .. } => {
                ("web", Some(p256dh.clone()), Some(auth.clone()))
            }
            DeviceAddress::Fcm { .. } => ("fcm", None, None),
        };
        let hash = device.address.hash();
        let elsewhere =
            "DELETE FROM devices WHERE address_hash = $1 AND NOT (user_id = $2 AND id = $3)";
        let statements = vec![
            Statement::new(elsewhere)
                .bind(hash.clone())
                .bind(user)
                .bind(device.id.as_str()),
            Statement::new(INSERT)
                .bind(user)
                .bind(device.id.as_str())
                .bind(kind)
                .bind(hash)
                .bind(device.address.text())
                .bind(p256dh)
                .bind(auth)
                .bind(device.session_id.as_ref())
                .bind(device.registered_at),
            Statement::new(TRIM).bind(user).bind(PER_USER),
        ];
        self.sql.write(Some(user.as_str()), statements).await?;
        Ok(())
    }

    /// Removes a user's device; false if there is none.
    pub async fn delete(&self, user: &UserId, id: &str) -> Result<bool, StoreError> {
        let delete = "DELETE FROM devices WHERE user_id = $1 AND id = $2";
        let delete = Statement::new(delete).bind(user).bind(id);
        let written = self.sql.write(Some(user.as_str()), vec![delete]).await?;
        Ok(written.rows_affected().unwrap_or(0) > 0)
    }

    /// Removes a device that a push service refuses, unless its address has changed since.
    pub async fn forget(&self, user: &UserId, device: &StoredDevice) -> Result<(), StoreError> {
        let delete = "DELETE FROM devices WHERE user_id = $1 AND id = $2 AND address_hash = $3";
        let delete = Statement::new(delete)
            .bind(user)
            .bind(device.id.as_str())
            .bind(device.address.hash());
        self.sql.write(None, vec![delete]).await?;
        Ok(())
    }

    /// Those of these users who have a device.
    pub async fn users_with_some(&self, users: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        users_in(&self.sql, "devices", users).await
    }

    /// A user's devices.
    pub async fn of(&self, user: &UserId) -> Result<Vec<StoredDevice>, StoreError> {
        const SELECT: &str = "
            SELECT id, kind, address, p256dh, auth, session_id, created_at FROM devices
            WHERE user_id = $1 ORDER BY id LIMIT 100";
        let select = Statement::new(SELECT).bind(user);
        let rows = self.sql.read(Freshness::Latest, select).await?;
        rows.iter().map(read).collect()
    }

    /// One of a user's devices.
    pub async fn get(&self, user: &UserId, id: &str) -> Result<Option<StoredDevice>, StoreError> {
        let devices = self.of(user).await?;
        Ok(devices.into_iter().find(|device| device.id == id))
    }
}

fn read(row: &Row) -> Result<StoredDevice, StoreError> {
    let address: String = row.get(2)?;
    let address = match row.get::<String>(1)?.as_str() {
        "web" => DeviceAddress::Web {
            endpoint: address,
            p256dh: row.get(3)?,
            auth: row.get(4)?,
        },
        _ => DeviceAddress::Fcm { token: address },
    };
    Ok(StoredDevice {
        id: row.get(0)?,
        address,
        session_id: row.get(5)?,
        registered_at: row.get(6)?,
    })
}
