//! Colours as screens show them: without its profile, a picture is taken for sRGB.

use image::DynamicImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// The picture in sRGB. A profile that can't be read, or isn't one of RGB, changes nothing: colours that are a little off are
/// better than none.
pub fn to_srgb(picture: DynamicImage, icc_profile: Option<&[u8]>) -> DynamicImage {
    let Some(profile) = icc_profile.and_then(|profile| ColorProfile::new_from_slice(profile).ok())
    else {
        return picture;
    };
    if profile.color_space != DataColorSpace::Rgb {
        return picture;
    }
    let layout = match picture.color().has_alpha() {
        true => Layout::Rgba,
        false => Layout::Rgb,
    };
    let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    let Ok(transform) = profile.create_transform_8bit(layout, &srgb, layout, options) else {
        return picture;
    };
    let mut converted = picture.clone();
    let done = match (&picture, &mut converted) {
        (DynamicImage::ImageRgb8(from), DynamicImage::ImageRgb8(to)) => {
            transform.transform(from.as_raw(), to)
        }
        (DynamicImage::ImageRgba8(from), DynamicImage::ImageRgba8(to)) => {
            transform.transform(from.as_raw(), to)
        }
        _ => return picture,
    };
    match done {
        Ok(()) => converted,
        Err(_) => picture,
    }
}
