//! Where what people upload is kept, and how it is reached.

use std::path::PathBuf;

use storage::{S3Config, S3Credentials, S3Endpoint};
use url::Url;

use super::reader::Reader;

/// What S3 calls a bucket where a store has no regions.
const REGION: &str = "us-east-1";

/// Variables that are of no use without a bucket.
const OF_BUCKET: [&str; 6] = [
    "S3_ENDPOINT",
    "S3_PUBLIC_ENDPOINT",
    "S3_REGION",
    "S3_PATH_STYLE",
    "S3_ACCESS_KEY_ID",
    "S3_SECRET_ACCESS_KEY",
];

/// Files and images.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// The bucket; without one, a single server keeps objects in its data directory.
    pub s3: Option<S3Config>,
    /// What stands in front of the paths of images and files in messages.
    pub cdn_url: Option<Url>,
    /// The program that decodes images; the server's own by default.
    pub image_program: Option<PathBuf>,
    /// Images that are decoded at once.
    pub image_processes: usize,
    /// Bytes of one file.
    pub max_file: u64,
    /// Bytes that a user may upload in a day.
    pub daily_bytes: u64,
    /// Files that a user may upload in a day.
    pub daily_files: u64,
}

impl Reader<'_> {
    /// Files and images, with authorities for the bucket beside the system's.
    pub(super) fn media(&mut self, tls_ca_file: Option<&PathBuf>) -> MediaConfig {
        const MIB: usize = 1 << 20;
        let max_file = self.number("UPLOAD_MAX_MIB", 1, 5_120, 100);
        MediaConfig {
            s3: self.s3(tls_ca_file),
            cdn_url: self.http_url("CDN_URL"),
            image_program: self.text("IMAGE_PROGRAM").map(PathBuf::from),
            image_processes: self.number("IMAGE_PROCESSES", 1, 64, 1),
            max_file: (max_file * MIB) as u64,
            daily_bytes: (self.number("UPLOAD_DAILY_MIB", 1, 1_000_000, 1_024) * MIB) as u64,
            daily_files: self.number("UPLOAD_DAILY_FILES", 1, 1_000_000, 500) as u64,
        }
    }

    fn s3(&mut self, tls_ca_file: Option<&PathBuf>) -> Option<S3Config> {
        let Some(bucket) = self.text("S3_BUCKET") else {
            let lonely = OF_BUCKET.iter().find(|name| self.text(name).is_some());
            if let Some(name) = lonely {
                self.errors
                    .push(format!("S3_BUCKET: expected beside {name}"));
            }
            return None;
        };
        let url = self.http_url("S3_ENDPOINT");
        let public_url = self.http_url("S3_PUBLIC_ENDPOINT");
        let region = self.text("S3_REGION").unwrap_or_else(|| REGION.to_owned());
        let url = url.or_else(|| {
            let wanted = self.text("S3_ENDPOINT").is_none();
            let url = format!("https://s3.{region}.amazonaws.com").parse().ok();
            if url.is_none() {
                let () = self.wrong("S3_REGION", "a region such as eu-central-1");
            }
            url.filter(|_| wanted)
        });
        let path_style = self.flag("S3_PATH_STYLE", false);
        let mut credential = |name: &str| {
            let value = self.text(name);
            value.unwrap_or_else(|| self.wrong(name, "the bucket's, beside S3_BUCKET"))
        };
        let credentials = S3Credentials {
            access_key_id: credential("S3_ACCESS_KEY_ID"),
            secret_access_key: credential("S3_SECRET_ACCESS_KEY").into(),
        };
        let config = S3Config {
            endpoint: S3Endpoint {
                url: url?,
                public_url,
            },
            bucket,
            region,
            path_style,
            credentials,
            ca_file: tls_ca_file.cloned(),
        };
        if let Err(error) = config.check() {
            self.errors.push(format!("S3_BUCKET: {error}"));
        }
        Some(config)
    }

    fn http_url(&mut self, name: &str) -> Option<Url> {
        let text = self.text(name)?;
        let url = text.parse::<Url>().ok();
        let url = url.filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if url.is_none() {
            let () = self.wrong(name, "a URL such as https://files.example.org");
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::read(lookup).map_err(|errors| errors.to_string())
    }

    const BUCKET: [(&str, &str); 3] = [
        ("S3_BUCKET", "pictures"),
        ("S3_ACCESS_KEY_ID", "id"),
        ("S3_SECRET_ACCESS_KEY", "hunter2"),
    ];

    #[test]
    fn a_bucket_is_known_by_its_name_and_key() {
        assert!(read(&[]).unwrap().media.s3.is_none());
        let config = read(&BUCKET).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let s3 = config.media.s3.unwrap();
        assert_eq!(
            s3.endpoint.url.as_str(),
            "https://s3.us-east-1.amazonaws.com/"
        );
        let own = [
            ("S3_ENDPOINT", "http://127.0.0.1:9000"),
            ("S3_PATH_STYLE", "true"),
            ("CDN_URL", "https://cdn.example.org/chat"),
        ];
        let media = read(&[&BUCKET[..], &own].concat()).unwrap().media;
        assert!(media.s3.unwrap().path_style);
        assert_eq!(
            media.cdn_url.unwrap().as_str(),
            "https://cdn.example.org/chat"
        );
    }

    #[test]
    fn half_a_bucket_is_none() {
        for (variables, name) in [
            (&BUCKET[..2], "S3_SECRET_ACCESS_KEY"),
            (&BUCKET[1..], "S3_BUCKET"),
            (
                &[&BUCKET[..], &[("S3_ENDPOINT", "s3.example.org")]].concat(),
                "S3_ENDPOINT",
            ),
            (
                &[&BUCKET[..], &[("S3_ENDPOINT", "https://a:hunter2@b")]].concat(),
                "S3_ENDPOINT",
            ),
            // A host can't have such a name in front.
            (
                &[&BUCKET[..], &[("S3_ENDPOINT", "http://127.0.0.1:9000")]].concat(),
                "S3_BUCKET",
            ),
            (&[("CDN_URL", "cdn.example.org")], "CDN_URL"),
            (&[("UPLOAD_MAX_MIB", "0")], "UPLOAD_MAX_MIB"),
        ] {
            let errors = read(variables).unwrap_err();
            assert!(errors.contains(name), "{errors}");
            assert!(!errors.contains("hunter2"), "{errors}");
        }
    }
}
