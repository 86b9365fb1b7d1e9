//! Objects as files in a directory of the embedded default.
//!
//! A file is written beside the others under a name of its own, flushed, and renamed once it is whole. What was left half
//! written is removed when the directory is opened.

use std::io;
use std::path::{Path, PathBuf};

use futures_util::stream::{self, StreamExt};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

use super::{ByteRange, Bytes, Object, ObjectBody, ObjectInfo, ObjectKey, Unsatisfiable};
use crate::error::cause;
use crate::{OpenError, StoreError};

/// Bytes that are read at once.
const PIECE: usize = 128 * 1024;

/// Where files are until they are whole. No key begins with a dot.
const UNFINISHED: &str = ".unfinished";

/// Makes a directory, and those above it, for its owner alone: some of what people sent is for few.
async fn make_directory(path: &Path) -> io::Result<()> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700).create(path).await
}

/// A directory of objects.
pub struct LocalObjects {
    directory: PathBuf,
}

impl LocalObjects {
    pub async fn open(directory: PathBuf) -> Result<Self, OpenError> {
        let unfinished = directory.join(UNFINISHED);
        let made = async {
            match fs::remove_dir_all(&unfinished).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            make_directory(&unfinished).await
        };
        match made.await {
            Ok(()) => Ok(Self { directory }),
            Err(source) => Err(OpenError::Directory {
                path: directory,
                source,
            }),
        }
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.directory.join(key.as_str())
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        let unfinished = self.directory.join(UNFINISHED);
        fs::metadata(unfinished).await.map_err(failed).map(drop)
    }

    pub async fn put(
        &self,
        key: &ObjectKey,
        _content_type: &str,
        size: u64,
        mut body: ObjectBody,
    ) -> Result<(), StoreError> {
        let wrong_size = || StoreError::invalid("size", "there are more or fewer bytes");
        let unfinished = Unfinished::new(&self.directory);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished.path)
            .await
            .map_err(failed)?;
        let mut written = 0;
        while let Some(piece) = body.next().await {
            let piece = piece?;
            written += piece.len() as u64;
            if written > size {
                return Err(wrong_size());
            }
            file.write_all(&piece).await.map_err(failed)?;
        }
        if written < size {
            return Err(wrong_size());
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        self.place(&unfinished.path, &self.path(key)).await
    }

    /// Renames a whole file, durably.
    async fn place(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let parent = to.parent().unwrap_or(&self.directory);
        make_directory(parent).await.map_err(failed)?;
        fs::rename(from, to).await.map_err(failed)?;
        // The name is in the directory, which is flushed as a file is; those above it may be new.
        for directory in parent.ancestors() {
            let opened = File::open(directory).await.map_err(failed)?;
            opened.sync_all().await.map_err(failed)?;
            if directory == self.directory {
                break;
            }
        }
        Ok(())
    }

    pub async fn get(
        &self,
        key: &ObjectKey,
        range: Option<ByteRange>,
    ) -> Result<Result<Object, Unsatisfiable>, StoreError> {
        let mut file = File::open(self.path(key)).await.map_err(failed)?;
        let metadata = file.metadata().await.map_err(failed)?;
        if !metadata.is_file() {
            return Err(StoreError::NotFound);
        }
        let size = metadata.len();
        let range = match range.map_or(Ok(0..size), |range| range.of(size)) {
            Ok(range) => range,
            Err(unsatisfiable) => return Ok(Err(unsatisfiable)),
        };
        if range.start > 0 {
            file.seek(io::SeekFrom::Start(range.start))
                .await
                .map_err(failed)?;
        }
        let left = range.end - range.start;
        let body = stream::try_unfold((file, left), |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let wanted = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let mut piece = vec![0; wanted];
            let read = file.read(&mut piece).await.map_err(failed)?;
            if read == 0 {
                return Err(StoreError::unavailable("an object broke off"));
            }
            piece.truncate(read);
            Ok(Some((Bytes::from(piece), (file, left - read as u64))))
        });
        Ok(Ok(Object {
            size,
            range,
            body: body.boxed(),
        }))
    }

    pub async fn head(&self, key: &ObjectKey) -> Result<ObjectInfo, StoreError> {
        let metadata = fs::metadata(self.path(key)).await.map_err(failed)?;
        match metadata.is_file() {
            true => Ok(ObjectInfo {
                size: metadata.len(),
            }),
            false => Err(StoreError::NotFound),
        }
    }

    pub async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let path = self.path(key);
        match fs::remove_file(&path).await.map_err(failed) {
            Ok(()) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(error),
        }
        // Directories that are empty now; another put makes its own anew if this was in between.
        for directory in path.ancestors().skip(1) {
            if directory == self.directory || fs::remove_dir(directory).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    pub async fn rename(&self, from: &ObjectKey, to: &ObjectKey) -> Result<(), StoreError> {
        self.place(&self.path(from), &self.path(to)).await
    }
}

/// A file that goes unless it was renamed, whatever becomes of who writes it.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    fn new(directory: &Path) -> Self {
        let name = Uuid::now_v7().simple().to_string();
        Self {
            path: directory.join(UNFINISHED).join(name),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an unfinished object couldn't be removed");
            }
            _ => {}
        }
    }
}

fn failed(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreError::NotFound,
        _ => StoreError::Unavailable(cause(error)),
    }
}
