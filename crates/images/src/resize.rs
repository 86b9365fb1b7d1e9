//! Smaller copies of pixels.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, RgbImage, RgbaImage};

use crate::Refusal;

/// The size of a copy that fits into a box and has the same shape; never larger than the original, and nowhere empty.
pub fn fitting((width, height): (u32, u32), (most_width, most_height): (u32, u32)) -> (u32, u32) {
    if width <= most_width && height <= most_height {
        return (width, height);
    }
    let scale = |side: u32, part: u32, whole: u32| {
        let scaled = (u64::from(side) * u64::from(part) + u64::from(whole) / 2) / u64::from(whole);
        u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
    };
    // Which side limits is decided without rounding.
    let is_wide =
        u64::from(width) * u64::from(most_height) >= u64::from(height) * u64::from(most_width);
    match is_wide {
        true => (most_width, scale(height, most_width, width)),
        false => (scale(width, most_height, height), most_height),
    }
}

/// A copy of this size.
pub fn resize(
    picture: &DynamicImage,
    (width, height): (u32, u32),
) -> Result<DynamicImage, Refusal> {
    if (picture.width(), picture.height()) == (width, height) {
        return Ok(picture.clone());
    }
    let pixel = match picture.color().has_alpha() {
        true => PixelType::U8x4,
        false => PixelType::U8x3,
    };
    let failed = |_| Refusal::Malformed;
    let from = ImageRef::new(picture.width(), picture.height(), picture.as_bytes(), pixel)
        .map_err(failed)?;
    let mut to = Image::new(width, height, pixel);
    // Colours of what is transparent don't bleed into the rest: the library multiplies by alpha by itself.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new()
        .resize(&from, &mut to, &options)
        .map_err(|_| Refusal::Malformed)?;
    let bytes = to.into_vec();
    let picture = match pixel {
        PixelType::U8x4 => RgbaImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8),
        _ => RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
    };
    picture.ok_or(Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_shape_of_the_original() {
        assert_eq!(fitting((4_000, 3_000), (200, 200)), (200, 150));
        assert_eq!(fitting((3_000, 4_000), (200, 200)), (150, 200));
        assert_eq!(fitting((100, 50), (200, 200)), (100, 50));
        assert_eq!(fitting((16_384, 1), (200, 200)), (200, 1));
        assert_eq!(fitting((1, 16_384), (200, 200)), (1, 200));
        assert_eq!(fitting((1_000, 1_000), (400, 100)), (100, 100));
    }
}
