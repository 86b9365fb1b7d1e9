//! Objects, on each back end.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use protocol::Secret;
use storage::{
    ByteRange, Bytes, ObjectBody, ObjectKey, ObjectStore, PresignedUpload, S3Config, S3Credentials,
    S3Endpoint, StoreError, Unsatisfiable,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::assert_error;

/// Objects of one test alone.
struct Fixture {
    objects: ObjectStore,
    prefix: String,
    _directory: Option<TempDir>,
}

impl Fixture {
    async fn local() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let objects = ObjectStore::local(directory.path().join("objects"))
            .await
            .unwrap();
        Self::of(objects, Some(directory))
    }

    async fn s3() -> Self {
        Self::of(ObjectStore::s3(&config()).unwrap(), None)
    }

    fn of(objects: ObjectStore, directory: Option<TempDir>) -> Self {
        Self {
            objects,
            prefix: Uuid::now_v7().to_string(),
            _directory: directory,
        }
    }

    fn key(&self, name: &str) -> ObjectKey {
        format!("{}/{name}", self.prefix).parse().unwrap()
    }

    async fn put(&self, key: &ObjectKey, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.objects
            .put_bytes(key, "text/plain", bytes)
            .await
            .unwrap();
    }

    async fn read(&self, key: &ObjectKey) -> Result<Vec<u8>, StoreError> {
        self.objects.read(key, 1 << 20).await.map(Vec::from)
    }
}

fn config() -> S3Config {
    S3Config {
        endpoint: S3Endpoint {
            url: stack::address("S3_ENDPOINT").parse().unwrap(),
            public_url: None,
        },
        bucket: stack::address("S3_BUCKET"),
        region: "us-east-1".to_owned(),
        path_style: true,
        credentials: S3Credentials {
            access_key_id: stack::address("S3_ACCESS_KEY_ID"),
            secret_access_key: Secret::from(stack::address("S3_SECRET_ACCESS_KEY")),
        },
        ca_file: None,
    }
}

stack::on_each!(
    [local, s3],
    [
        what_is_put_is_there_until_it_is_deleted,
        ranges_are_parts,
        an_object_is_stored_whole_or_not_at_all,
        a_renamed_object_is_under_its_new_key_alone,
        what_is_too_large_is_not_read,
        large_objects_stream,
    ]
);

async fn what_is_put_is_there_until_it_is_deleted(fixture: Fixture) {
    let key = fixture.key("a/b.txt");
    fixture.objects.ping().await.unwrap();
    assert_error!(fixture.read(&key).await, StoreError::NotFound);
    assert_error!(fixture.objects.head(&key).await, StoreError::NotFound);
    fixture.put(&key, b"hello").await;
    assert_eq!(fixture.read(&key).await.unwrap(), b"hello");
    assert_eq!(fixture.objects.head(&key).await.unwrap().size, 5);
    // A part of a key is no key.
    assert_error!(
        fixture.objects.head(&fixture.key("a")).await,
        StoreError::NotFound
    );
    fixture.put(&key, b"other").await;
    assert_eq!(fixture.read(&key).await.unwrap(), b"other");
    let empty = fixture.key("a/empty");
    fixture.put(&empty, b"").await;
    assert_eq!(fixture.read(&empty).await.unwrap(), b"");
    for _ in 0..2 {
        fixture.objects.delete(&key).await.unwrap();
        assert_error!(fixture.read(&key).await, StoreError::NotFound);
    }
    assert_eq!(fixture.read(&empty).await.unwrap(), b"");
}

async fn ranges_are_parts(fixture: Fixture) {
    let key = fixture.key("a.txt");
    fixture.put(&key, b"0123456789").await;
    let part = async |range| {
        let mut object = match fixture.objects.get(&key, Some(range)).await.unwrap() {
            Ok(object) => object,
            Err(unsatisfiable) => return Err(unsatisfiable),
        };
        let mut bytes = Vec::new();
        while let Some(piece) = object.body.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(object.size, 10);
        assert_eq!(bytes.len() as u64, object.range.end - object.range.start);
        Ok((object.range.start, String::from_utf8(bytes).unwrap()))
    };
    for (range, first, text) in [
        (ByteRange::From(0), 0, "0123456789"),
        (ByteRange::From(7), 7, "789"),
        (ByteRange::Between(2, 4), 2, "234"),
        (ByteRange::Between(8, 100), 8, "89"),
        (ByteRange::Last(3), 7, "789"),
        (ByteRange::Last(100), 0, "0123456789"),
    ] {
        assert_eq!(part(range).await, Ok((first, text.to_owned())), "{range:?}");
    }
    for range in [ByteRange::From(10), ByteRange::Between(10, 12)] {
        assert_eq!(part(range).await, Err(Unsatisfiable { size: 10 }));
    }
}

async fn an_object_is_stored_whole_or_not_at_all(fixture: Fixture) {
    let key = fixture.key("a.txt");
    fixture.put(&key, b"before").await;
    let put = async |size, pieces: Vec<Result<Bytes, StoreError>>| {
        let body: ObjectBody = stream::iter(pieces).boxed();
        fixture.objects.put(&key, "text/plain", size, body).await
    };
    let piece = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
    assert_error!(
        put(5, vec![piece("too "), piece("long")]).await,
        StoreError::Invalid { field: "size", .. }
    );
    assert_error!(
        put(50, vec![piece("too "), piece("short")]).await,
        StoreError::Invalid { field: "size", .. }
    );
    assert_error!(
        put(8, vec![piece("half"), Err(StoreError::Forbidden)]).await,
        StoreError::Forbidden
    );
    assert_eq!(fixture.read(&key).await.unwrap(), b"before");
    put(8, vec![piece("in "), piece(""), piece("parts")])
        .await
        .unwrap();
    assert_eq!(fixture.read(&key).await.unwrap(), b"in parts");
}

async fn a_renamed_object_is_under_its_new_key_alone(fixture: Fixture) {
    let (from, to) = (fixture.key("incoming/a"), fixture.key("kept/b.bin"));
    fixture.put(&from, b"hello").await;
    // Whoever isn't sure that it happened does it again.
    for _ in 0..2 {
        fixture
            .objects
            .rename(&from, &to, "application/octet-stream")
            .await
            .unwrap();
        assert_eq!(fixture.read(&to).await.unwrap(), b"hello");
        assert_error!(fixture.read(&from).await, StoreError::NotFound);
    }
    let other = fixture.key("kept/c.bin");
    assert_error!(
        fixture
            .objects
            .rename(&from, &other, "application/octet-stream")
            .await,
        StoreError::NotFound
    );
}

async fn what_is_too_large_is_not_read(fixture: Fixture) {
    let key = fixture.key("a.txt");
    fixture.put(&key, b"0123456789").await;
    assert_error!(
        fixture.objects.read(&key, 9).await,
        StoreError::Invalid { field: "size", .. }
    );
    assert_eq!(fixture.objects.read(&key, 10).await.unwrap().len(), 10);
}

async fn large_objects_stream(fixture: Fixture) {
    const PIECES: usize = 200;
    let key = fixture.key("large.bin");
    let piece = Bytes::from(vec![7; 64 * 1024]);
    let size = (PIECES * piece.len()) as u64;
    let body = stream::repeat(piece).take(PIECES).map(Ok).boxed();
    fixture
        .objects
        .put(&key, "application/octet-stream", size, body)
        .await
        .unwrap();
    let mut object = fixture.objects.get(&key, None).await.unwrap().unwrap();
    let (mut read, mut pieces) = (0, 0);
    while let Some(piece) = object.body.next().await {
        let piece = piece.unwrap();
        assert!(piece.iter().all(|byte| *byte == 7));
        (read, pieces) = (read + piece.len() as u64, pieces + 1);
    }
    assert_eq!(read, size);
    assert!(pieces > 1);
    fixture.objects.delete(&key).await.unwrap();
}

/// Puts as somebody else would, and returns the status.
async fn upload(upload: &PresignedUpload, content_type: &str, bytes: &[u8]) -> u16 {
    let url = &upload.url;
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
    let mut connection = TcpStream::connect((host, port)).await.unwrap();
    let head = format!(
        "PUT {}?{} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        url.path(),
        url.query().unwrap(),
        bytes.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    // A store that has refused already may have closed the connection.
    drop(connection.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(connection.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presigned_upload_is_of_its_type_and_size() {
    let fixture = Fixture::s3().await;
    let key = fixture.key("incoming/a");
    let presign = |valid_for| {
        fixture
            .objects
            .presign_put(&key, "image/png", 5, valid_for)
            .unwrap()
    };
    let signed = presign(Duration::from_secs(60));
    assert_eq!(
        signed.headers,
        [("Content-Type".to_owned(), "image/png".to_owned())]
    );
    assert_eq!(upload(&signed, "image/png", b"longer").await, 403);
    assert_eq!(upload(&signed, "text/html", b"hello").await, 403);
    let mut elsewhere = signed.clone();
    elsewhere
        .url
        .set_path(&signed.url.path().replace("/a", "/b"));
    assert_eq!(upload(&elsewhere, "image/png", b"hello").await, 403);
    assert_error!(fixture.read(&key).await, StoreError::NotFound);
    assert_eq!(upload(&signed, "image/png", b"hello").await, 200);
    assert_eq!(fixture.read(&key).await.unwrap(), b"hello");
    let short = presign(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(upload(&short, "image/png", b"other").await, 403);
}

#[tokio::test]
async fn a_directory_is_not_uploaded_into_by_others() {
    let fixture = Fixture::local().await;
    let key = fixture.key("a");
    let hour = Duration::from_secs(3_600);
    assert_eq!(
        fixture.objects.presign_put(&key, "image/png", 5, hour),
        None
    );
}

#[tokio::test]
async fn a_bucket_is_in_the_path_or_the_host() {
    let upload = |path_style, public_url: Option<&str>| {
        let endpoint = S3Endpoint {
            url: "https://s3.example.org".parse().unwrap(),
            public_url: public_url.map(|url| url.parse().unwrap()),
        };
        let config = S3Config {
            endpoint,
            path_style,
            bucket: "pictures".to_owned(),
            ..config()
        };
        let objects = ObjectStore::s3(&config).unwrap();
        let key = "a/b".parse().unwrap();
        let upload = objects
            .presign_put(&key, "image/png", 5, Duration::from_secs(60))
            .unwrap();
        upload.url[..url::Position::AfterPath].to_owned()
    };
    assert_eq!(upload(true, None), "https://s3.example.org/pictures/a/b");
    assert_eq!(upload(false, None), "https://pictures.s3.example.org/a/b");
    assert_eq!(
        upload(true, Some("https://files.example.org")),
        "https://files.example.org/pictures/a/b"
    );
}
