//! Decoding a still picture, or the first frame of one that moves.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use crate::format::is_whole_jpeg;
use crate::{Format, Refusal};

/// Pixels of a picture: what the largest cameras of phones make.
const PIXELS_MAX: u64 = 50_000_000;

/// Pixels along a side.
const SIDE_MAX: u32 = 16_384;

/// Bytes of a decoded picture: four for each pixel.
const DECODED_MAX: u64 = 4 * PIXELS_MAX;

/// A decoded picture, as its camera held it.
pub struct Picture {
    /// In RGB, or in RGBA if some of it may be transparent; 8 bits each.
    pub pixels: DynamicImage,
    pub orientation: Orientation,
    /// The profile of its colours, if it has one.
    pub icc_profile: Option<Vec<u8>>,
}

/// Refuses a picture, or the canvas of one that moves, that has too many pixels.
pub fn check_size(width: u32, height: u32) -> Result<(), Refusal> {
    let pixels = u64::from(width) * u64::from(height);
    match width <= SIDE_MAX && height <= SIDE_MAX && pixels <= PIXELS_MAX {
        true if pixels > 0 => Ok(()),
        true => Err(Refusal::Malformed),
        false => Err(Refusal::TooLarge),
    }
}

impl Picture {
    pub fn decode(bytes: &[u8], format: Format) -> Result<Self, Refusal> {
        if format == Format::Jpeg && !is_whole_jpeg(bytes) {
            return Err(Refusal::Malformed);
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format.of_library());
        let mut limits = Limits::default();
        limits.max_alloc = Some(2 * DECODED_MAX);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(refusal)?;
        let (width, height) = decoder.dimensions();
        check_size(width, height)?;
        if decoder.total_bytes() > DECODED_MAX {
            return Err(Refusal::TooLarge);
        }
        // What can't be read of the metadata isn't missed.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let icc_profile = decoder.icc_profile().ok().flatten();
        let pixels = DynamicImage::from_decoder(decoder).map_err(refusal)?;
        let pixels = match pixels.color().has_alpha() {
            true => DynamicImage::ImageRgba8(pixels.into_rgba8()),
            false => DynamicImage::ImageRgb8(pixels.into_rgb8()),
        };
        Ok(Self {
            pixels,
            orientation,
            icc_profile,
        })
    }
}

fn refusal(error: image::ImageError) -> Refusal {
    match error {
        image::ImageError::Limits(_) => Refusal::TooLarge,
        _ => Refusal::Malformed,
    }
}
