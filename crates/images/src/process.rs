//! From a file that somebody sent to those that are shown.

use base64::{Engine, prelude::BASE64_STANDARD};
use image::DynamicImage;
use image::metadata::Orientation;
use serde::{Deserialize, Serialize};

use crate::encode::encode;
use crate::picture::Picture;
use crate::resize::{fitting, resize};
use crate::{Encoded, Format, MediaType, Refusal, animation, colors};

/// Pixels along the longer side of the largest copy.
const FULL: u32 = 2_560;

/// Pixels along the longer side of each smaller copy.
const VARIANTS: [u32; 3] = [200, 400, 800];

/// The quality of the largest copy, from which others are made later.
const FULL_QUALITY: u8 = 88;

/// That of the smaller ones.
const VARIANT_QUALITY: u8 = 80;

/// Pixels along the longer side of what the placeholder is made from, which is its library's bound.
const PLACEHOLDER: u32 = 100;

/// What is shown of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processed {
    /// The largest copy, which moves if the picture does.
    pub full: Encoded,
    /// Whether it moves.
    pub animated: bool,
    /// Smaller copies, the smallest first, each as WebP and as JPEG. Sizes that are larger than the picture are left out, but for
    /// the first. Of a picture that moves, they are still.
    pub variants: Vec<Encoded>,
    /// Its ThumbHash, in Base64.
    pub placeholder: String,
}

/// A copy in another size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resized {
    /// Pixels, at most.
    pub width: u32,
    /// Pixels, at most.
    pub height: u32,
    /// From 1 to 100.
    pub quality: u8,
}

/// What is shown of a picture.
///
/// # Errors
/// If it isn't one, is damaged, or is too large.
pub fn process(bytes: &[u8]) -> Result<Processed, Refusal> {
    let format = Format::of(bytes)?;
    let moving = animation::moving(bytes, format)?;
    let whole = still(bytes, format)?;
    let size = (whole.width(), whole.height());
    let longer = size.0.max(size.1);
    let mut variants = Vec::new();
    // Each from the one before it, which is several times faster and looks the same.
    let mut larger = whole.clone();
    for (index, side) in VARIANTS.into_iter().enumerate().rev() {
        if longer < side && index > 0 {
            continue;
        }
        larger = resize(&larger, fitting(size, (side, side)))?;
        for media_type in [MediaType::Jpeg, MediaType::Webp] {
            variants.push(encode(&larger, media_type, VARIANT_QUALITY)?);
        }
    }
    variants.reverse();
    let small = resize(&larger, fitting(size, (PLACEHOLDER, PLACEHOLDER)))?.into_rgba8();
    let placeholder = thumbhash::rgba_to_thumb_hash(
        small.width() as usize,
        small.height() as usize,
        small.as_raw(),
    );
    let media_type = match format {
        Format::Jpeg => MediaType::Jpeg,
        // Drawings and screenshots have sharp edges, and may be transparent.
        Format::Png | Format::Gif | Format::Webp => MediaType::Webp,
    };
    Ok(Processed {
        animated: moving.is_some(),
        full: match moving {
            Some(moving) => moving,
            None => encode(&whole, media_type, FULL_QUALITY)?,
        },
        variants,
        placeholder: BASE64_STANDARD.encode(placeholder),
    })
}

/// A copy of a picture that [`process`] has made, of its own type; of one that moves, a still one as WebP.
///
/// # Errors
/// As [`process`].
pub fn resized(bytes: &[u8], wanted: Resized) -> Result<Encoded, Refusal> {
    let format = Format::of(bytes)?;
    let whole = still(bytes, format)?;
    let size = fitting(
        (whole.width(), whole.height()),
        (wanted.width, wanted.height),
    );
    let media_type = match format {
        Format::Jpeg => MediaType::Jpeg,
        Format::Png | Format::Gif | Format::Webp => MediaType::Webp,
    };
    encode(
        &resize(&whole, size)?,
        media_type,
        wanted.quality.clamp(1, 100),
    )
}

/// A picture as it is to be seen: not larger than the largest copy, upright, and in the colours of screens.
fn still(bytes: &[u8], format: Format) -> Result<DynamicImage, Refusal> {
    let Picture {
        pixels,
        orientation,
        icc_profile,
    } = Picture::decode(bytes, format)?;
    let size = fitting((pixels.width(), pixels.height()), (FULL, FULL));
    let smaller = match size == (pixels.width(), pixels.height()) {
        true => pixels,
        false => resize(&pixels, size)?,
    };
    let mut picture = colors::to_srgb(smaller, icc_profile.as_deref());
    if orientation != Orientation::NoTransforms {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}
