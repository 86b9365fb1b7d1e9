//! The secret behind every token: given by the configuration, or made once and kept in the data directory.
//!
//! What must stay true: it is the same after a restart, or everybody would be signed out; and only the user that runs
//! the server can read it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::Sha256;

use crate::{config::Config, private_file};

/// HMAC-SHA-256 with its key; cloning it is how a computation begins.
pub(crate) type Mac = Hmac<Sha256>;

const FILE: &str = "secret";

/// As many bytes as the signature has.
const LENGTH: usize = 32;

/// The secret that tokens are signed with. Never printed.
pub struct SigningSecret(Vec<u8>);

/// The file of the secret can't be read or made.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the signing secret {}", path.display())]
pub struct SecretError {
    path: PathBuf,
    source: io::Error,
}

impl SigningSecret {
    /// The configured secret, or that of the data directory, which is made if it isn't there. Blocks.
    ///
    /// # Errors
    /// If the file can't be read or made, or is too short to be safe.
    pub fn open(config: &Config) -> Result<Self, SecretError> {
        if let Some(secret) = &config.jwt_secret {
            return Ok(Self::from_bytes(secret.expose()));
        }
        let path = config.data_dir.join(FILE);
        match read_or_make(&config.data_dir, &path) {
            Ok(secret) => Ok(Self(secret)),
            Err(source) => Err(SecretError { path, source }),
        }
    }

    /// A secret that is known already.
    pub fn from_bytes(secret: impl AsRef<[u8]>) -> Self {
        Self(secret.as_ref().to_vec())
    }

    /// The secret itself, for tokens that others with the same secret may check.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret itself as a key.
    fn mac(&self) -> Mac {
        keyed(&self.0)
    }

    /// A key of its own for `purpose`: what is signed with it is worth nothing elsewhere.
    pub(crate) fn key_for(&self, purpose: &str) -> [u8; 32] {
        self.mac()
            .chain_update(purpose)
            .finalize()
            .into_bytes()
            .into()
    }

    /// The same, ready to sign with.
    pub(crate) fn mac_for(&self, purpose: &str) -> Mac {
        keyed(&self.key_for(purpose))
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn keyed(key: &[u8]) -> Mac {
    Mac::new_from_slice(key).expect("HMAC takes keys of every length")
}

fn read_or_make(directory: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let secret = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(directory)?;
            fs::read(path)?
        }
        read => read?,
    };
    let secret = secret.trim_ascii();
    if secret.len() < LENGTH {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it has fewer than 32 bytes",
        ));
    }
    Ok(secret.to_vec())
}

fn make(directory: &Path) -> io::Result<()> {
    let secret: String = rand::random::<[u8; LENGTH]>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    private_file::put(directory, FILE, secret.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(directory: &Path) -> Config {
        let directory = directory.to_str().unwrap().to_owned();
        Config::read(|name| (name == "DATA_DIR").then(|| directory.clone())).unwrap()
    }

    #[test]
    fn a_made_secret_stays_and_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(&directory.path().join("new"));
        let made = SigningSecret::open(&config).unwrap();
        assert_eq!(made.0.len(), 2 * LENGTH);
        assert_eq!(SigningSecret::open(&config).unwrap().0, made.0);
        let mode = fs::metadata(config.data_dir.join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(&config.data_dir).unwrap().count();
        assert_eq!(files, 1, "the draft is gone");
    }

    #[test]
    fn servers_that_start_at_once_agree() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| SigningSecret::open(&config).unwrap().0))
                .collect();
            starting
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    }

    #[test]
    fn a_short_secret_is_refused_by_path() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "short\n").unwrap();
        let error = SigningSecret::open(&config(directory.path()))
            .err()
            .unwrap();
        assert!(error.to_string().ends_with("/secret"), "{error}");
    }

    #[test]
    fn purposes_have_keys_of_their_own() {
        let secret = SigningSecret::from_bytes("0123456789abcdef0123456789abcdef");
        let sign = |mac: Mac| mac.chain_update("text").finalize().into_bytes();
        assert_ne!(sign(secret.mac()), sign(secret.mac_for("a")));
        assert_ne!(sign(secret.mac_for("a")), sign(secret.mac_for("b")));
        assert_eq!(sign(secret.mac_for("a")), sign(secret.mac_for("a")));
    }
}
