//! The audit log: how long it is kept, and where a fleet's instances spool it.

use std::path::{Path, PathBuf};

use super::reader::Reader;

/// The audit log's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// `AUDIT_RETENTION_DAYS`: 365 by default; 0 keeps entries for ever.
    pub retention_days: Option<u32>,
    /// `AUDIT_SPOOL_DIR`: where an instance of a fleet keeps what isn't in the database yet; `audit-spool` in `DATA_DIR` by default.
    pub spool_dir: PathBuf,
    /// `AUDIT_SPOOL_MAX_BYTES`: 256 MiB by default.
    pub spool_max_bytes: u64,
}

impl Reader<'_> {
    pub(super) fn audit(&mut self, data_dir: &Path) -> AuditConfig {
        let days = self.number("AUDIT_RETENTION_DAYS", 0, 36_500, 365);
        let spool = self.text("AUDIT_SPOOL_DIR").map(PathBuf::from);
        AuditConfig {
            retention_days: u32::try_from(days).ok().filter(|days| *days > 0),
            spool_dir: spool.unwrap_or_else(|| data_dir.join("audit-spool")),
            spool_max_bytes: self.number("AUDIT_SPOOL_MAX_BYTES", 1 << 20, 1 << 40, 256 << 20)
                as u64,
        }
    }
}
