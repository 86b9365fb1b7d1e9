//! Pixels as files.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, RgbImage};
use serde::{Deserialize, Serialize};

use crate::Refusal;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaType {
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
    /// GIF.
    Gif,
}

impl MediaType {
    /// As the header `Content-Type` has it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
        }
    }

    /// What the names of such files end in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Gif => "gif",
        }
    }
}

/// A picture as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What it is.
    pub media_type: MediaType,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// The file.
    pub bytes: Vec<u8>,
}

/// A picture as a file of this type, in a quality from 1 to 100. What is transparent is white in a JPEG.
pub fn encode(
    picture: &DynamicImage,
    media_type: MediaType,
    quality: u8,
) -> Result<Encoded, Refusal> {
    let (width, height) = (picture.width(), picture.height());
    let bytes = match (media_type, picture) {
        (MediaType::Webp, DynamicImage::ImageRgba8(pixels)) => {
            webp::Encoder::from_rgba(pixels, width, height)
                .encode(quality.into())
                .to_vec()
        }
        (MediaType::Webp, DynamicImage::ImageRgb8(pixels)) => {
            webp::Encoder::from_rgb(pixels, width, height)
                .encode(quality.into())
                .to_vec()
        }
        (MediaType::Jpeg, DynamicImage::ImageRgb8(pixels)) => jpeg(pixels, quality)?,
        (MediaType::Jpeg, DynamicImage::ImageRgba8(pixels)) => {
            let on_white = |color: u8, alpha: u8| {
                let (color, alpha) = (u16::from(color), u16::from(alpha));
                ((color * alpha + 255 * (255 - alpha)) / 255) as u8
            };
            let opaque = RgbImage::from_fn(width, height, |x, y| {
                let [r, g, b, a] = pixels.get_pixel(x, y).0;
                image::Rgb([r, g, b].map(|color| on_white(color, a)))
            });
            jpeg(&opaque, quality)?
        }
        _ => return Err(Refusal::Malformed),
    };
    Ok(Encoded {
        media_type,
        width,
        height,
        bytes,
    })
}

fn jpeg(pixels: &RgbImage, quality: u8) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode(
            pixels.as_raw(),
            pixels.width(),
            pixels.height(),
            ExtendedColorType::Rgb8,
        )
        .map_err(|_| Refusal::Malformed)?;
    Ok(bytes)
}
