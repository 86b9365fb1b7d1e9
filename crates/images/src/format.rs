//! What a file is, by its first bytes: neither its name nor what its sender says counts.

use image::ImageFormat;

use crate::Refusal;

/// A kind of pictures that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// PNG, of which one that moves is shown still.
    Png,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
}

impl Format {
    /// The kind of a file.
    ///
    /// # Errors
    /// `NotAnImage`.
    pub fn of(bytes: &[u8]) -> Result<Self, Refusal> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                ..,
            ] => Ok(Self::Webp),
            _ => Err(Refusal::NotAnImage),
        }
    }

    pub(crate) fn of_library(self) -> ImageFormat {
        match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Png => ImageFormat::Png,
            Self::Gif => ImageFormat::Gif,
            Self::Webp => ImageFormat::WebP,
        }
    }
}

/// Whether a JPEG goes on to its end. A decoder that is lenient with what cameras write would show what is missing in grey.
pub(crate) fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    // The segments before the picture, among which are thumbnails with ends of their own.
    loop {
        match rest {
            // Marks may be padded.
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0xda, ..] => break,
            [0xff, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                match rest.get(2 + length..) {
                    Some(next) => rest = next,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    // A 0xff among the picture's own bytes is followed by 0.
    rest.windows(2).any(|pair| pair == [0xff, 0xd9])
}
