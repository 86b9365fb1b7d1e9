//! Files in the data directory that are for their owner alone.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Puts a whole file in place, durable, or leaves the one that somebody else has put there meanwhile. Makes the directory.
pub fn put(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700).create(directory)?;
    let draft = directory.join(format!("{name}.{:016x}", rand::random::<u64>()));
    let written = write(&draft, bytes).and_then(|()| fs::hard_link(&draft, directory.join(name)));
    let removed = fs::remove_file(&draft);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        written => written?,
    }
    removed?;
    File::open(directory)?.sync_all()
}

fn write(draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_one_stays_and_is_private() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("new");
        for bytes in ["first", "second"] {
            put(&directory, "name", bytes.as_bytes()).unwrap();
        }
        assert_eq!(fs::read(directory.join("name")).unwrap(), b"first");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory.join("name")), 0o600);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }
}
