//! Pictures of every kind, good and bad.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that panics has failed"
)]

use std::io::Cursor;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{
    AnimationDecoder, Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage,
};
use proptest::prelude::*;

use super::animation::put_chunk;
use super::*;

/// Red on the left, blue on the right.
fn two_colors(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| match x < width / 2 {
        true => Rgb([220, 20, 20]),
        false => Rgb([20, 20, 220]),
    })
}

fn file(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    file(two_colors(width, height), ImageFormat::Jpeg)
}

fn decoded(encoded: &Encoded) -> DynamicImage {
    let picture = image::load_from_memory(&encoded.bytes).unwrap();
    assert_eq!(
        (picture.width(), picture.height()),
        (encoded.width, encoded.height)
    );
    picture
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// A JPEG with EXIF: an orientation, and a place on earth.
fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    exif.extend(b"\x01\x12\0\x03\0\0\0\x01");
    exif.extend([0, orientation, 0, 0]);
    exif.extend(b"\x88\x25\0\x04\0\0\0\x01\0\0\0\x26\0\0\0\0");
    exif.extend(b"\0\x01\0\x01\0\x02\0\0\0\x02N\0\0\0\0\0\0\0GPS 52.5N 13.4E");
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn a_photo_becomes_copies_in_each_size_and_type() {
    let processed = process(&jpeg(1_000, 500)).unwrap();
    let shown = processed.variants.iter().map(|variant| {
        decoded(variant);
        (variant.width, variant.height, variant.media_type)
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            (200, 100, MediaType::Webp),
            (200, 100, MediaType::Jpeg),
            (400, 200, MediaType::Webp),
            (400, 200, MediaType::Jpeg),
            (800, 400, MediaType::Webp),
            (800, 400, MediaType::Jpeg),
        ]
    );
    assert_eq!((processed.full.width, processed.full.height), (1_000, 500));
    assert_eq!(processed.full.media_type, MediaType::Jpeg);
    assert!(!processed.animated);
    assert!(
        processed.placeholder.len() > 20,
        "{}",
        processed.placeholder
    );
}

#[test]
fn a_small_picture_is_not_enlarged() {
    let processed = process(&file(two_colors(300, 30), ImageFormat::Png)).unwrap();
    let widths: Vec<_> = processed
        .variants
        .iter()
        .map(|variant| variant.width)
        .collect();
    assert_eq!(widths, [200, 200]);
    let tiny = process(&jpeg(2, 2)).unwrap();
    let sizes: Vec<_> = tiny
        .variants
        .iter()
        .map(|variant| (variant.width, variant.height))
        .collect();
    assert_eq!(sizes, [(2, 2), (2, 2)]);
    assert_eq!((tiny.full.width, tiny.full.height), (2, 2));
}

#[test]
fn orientation_is_applied_and_metadata_is_gone() {
    let upright = with_exif(&jpeg(400, 200), 6);
    assert!(holds(&upright, "GPS 52.5N"));
    let processed = process(&upright).unwrap();
    assert_eq!((processed.full.width, processed.full.height), (200, 400));
    for encoded in processed.variants.iter().chain([&processed.full]) {
        let picture = decoded(encoded).into_rgb8();
        // Turned to the right, what was left is above.
        let above = picture.get_pixel(picture.width() / 2, picture.height() / 8);
        let below = picture.get_pixel(picture.width() / 2, picture.height() * 7 / 8);
        assert!(above[0] > 150 && below[2] > 150, "{above:?} {below:?}");
        for text in ["GPS", "Exif", "13.4E"] {
            assert!(!holds(&encoded.bytes, text));
        }
    }
}

#[test]
fn what_is_transparent_stays_so_and_is_white_in_jpeg() {
    let picture = RgbaImage::from_fn(300, 300, |x, _| match x < 150 {
        true => Rgba([0, 0, 0, 0]),
        false => Rgba([20, 20, 220, 255]),
    });
    let processed = process(&file(picture, ImageFormat::Png)).unwrap();
    assert_eq!(processed.full.media_type, MediaType::Webp);
    let webp = decoded(&processed.variants[0]).into_rgba8();
    assert_eq!(
        (webp.get_pixel(20, 20)[3], webp.get_pixel(180, 20)[3]),
        (0, 255)
    );
    let jpeg = decoded(&processed.variants[1]).into_rgb8();
    assert!(jpeg.get_pixel(20, 20).0.iter().all(|color| *color > 250));
}

#[test]
fn sixteen_bits_and_shades_of_grey_are_pictures_too() {
    let deep = DynamicImage::ImageRgb8(two_colors(300, 300)).into_rgba16();
    let grey = DynamicImage::ImageRgb8(two_colors(300, 300)).into_luma8();
    for bytes in [file(deep, ImageFormat::Png), file(grey, ImageFormat::Jpeg)] {
        assert_eq!(process(&bytes).unwrap().full.width, 300);
    }
}

#[test]
fn what_is_no_picture_is_refused() {
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let zip = b"PK\x03\x04 and so on";
    for bytes in [&svg[..], &zip[..], b"", b"\xff\xd8", b"BM......", b"<html>"] {
        assert_eq!(process(bytes), Err(Refusal::NotAnImage), "{bytes:?}");
    }
}

#[test]
fn what_is_cut_off_is_refused() {
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
    ] {
        let whole = file(
            DynamicImage::ImageRgb8(two_colors(300, 300)).into_rgba8(),
            match format {
                ImageFormat::Jpeg => ImageFormat::Png,
                other => other,
            },
        );
        let whole = match format {
            ImageFormat::Jpeg => jpeg(300, 300),
            _ => whole,
        };
        assert!(process(&whole).is_ok(), "{format:?}");
        for length in [20, whole.len() / 2, whole.len() * 9 / 10] {
            let cut = process(&whole[..length]);
            assert_eq!(cut, Err(Refusal::Malformed), "{format:?} {length}");
        }
    }
    // The end of a thumbnail isn't the picture's.
    let whole = with_exif(&jpeg(300, 300), 1);
    let mut thumbnail = whole[..whole.len() / 2].to_vec();
    thumbnail.splice(30..32, [0xff, 0xd9]);
    assert_eq!(process(&thumbnail), Err(Refusal::Malformed));
}

#[test]
fn bombs_are_refused_before_they_are_decoded() {
    // Headers alone, of what would take gigabytes.
    let mut png = file(two_colors(10, 10), ImageFormat::Png);
    png[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let checksum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(process(&png), Err(Refusal::TooLarge));
    let mut wide = jpeg(10, 10);
    let frame = wide
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    wide[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(process(&wide), Err(Refusal::TooLarge));
    let mut gif = file(
        DynamicImage::ImageRgb8(two_colors(10, 10)).into_rgba8(),
        ImageFormat::Gif,
    );
    gif[6..10].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    assert_eq!(process(&gif), Err(Refusal::TooLarge));
}

/// The checksum of a chunk of a PNG.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| match crc & 1 {
        0 => crc >> 1,
        _ => crc >> 1 ^ 0xedb8_8320,
    };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), step);
    !bytes.iter().fold(!0, byte)
}

#[test]
fn nothing_of_a_file_that_is_two_things_at_once_is_left() {
    const SCRIPT: &str = "<script>alert(1)</script>";
    let comment = |jpeg: &[u8]| {
        let length = (SCRIPT.len() as u16 + 2).to_be_bytes();
        [
            &jpeg[..2],
            &[0xff, 0xfe],
            &length,
            SCRIPT.as_bytes(),
            &jpeg[2..],
        ]
        .concat()
    };
    let behind = |bytes: Vec<u8>| [&bytes[..], SCRIPT.as_bytes()].concat();
    let jpeg = jpeg(300, 200);
    for bytes in [
        comment(&jpeg),
        behind(jpeg),
        behind(file(two_colors(300, 200), ImageFormat::Png)),
        behind(moving_gif(3)),
        behind(moving_webp(3)),
    ] {
        assert!(holds(&bytes, SCRIPT));
        let processed = process(&bytes).unwrap();
        for encoded in processed.variants.iter().chain([&processed.full]) {
            assert!(!holds(&encoded.bytes, "script"));
        }
    }
}

fn frames(count: u8) -> Vec<Frame> {
    let frame = |index: u8| {
        let picture = RgbaImage::from_pixel(64, 32, Rgba([index * 50, 0, 0, 255]));
        Frame::from_parts(picture, 0, 0, Delay::from_numer_denom_ms(100, 1))
    };
    (0..count).map(frame).collect()
}

fn moving_gif(count: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.set_repeat(Repeat::Infinite).unwrap();
    encoder.encode_frames(frames(count)).unwrap();
    drop(encoder);
    bytes
}

/// One with metadata, and with a chunk that nobody knows in a frame.
fn moving_webp(count: u8) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    put_chunk(
        &mut body,
        b"VP8X",
        &[0b0000_1110, 0, 0, 0, 63, 0, 0, 31, 0, 0],
    );
    put_chunk(&mut body, b"ANIM", &[0; 6]);
    for frame in frames(count) {
        let picture = file(frame.into_buffer(), ImageFormat::WebP);
        let mut content = [[0; 3], [0; 3], [63, 0, 0], [31, 0, 0], [100, 0, 0]].concat();
        content.push(0);
        content.extend_from_slice(&picture[12..]);
        put_chunk(&mut content, b"JUNK", b"GPS");
        put_chunk(&mut body, b"ANMF", &content);
    }
    put_chunk(&mut body, b"EXIF", b"GPS 52.5N");
    put_chunk(&mut body, b"XMP ", b"<x:GPS/>");
    let length = (body.len() as u32).to_le_bytes();
    [&b"RIFF"[..], &length, &body].concat()
}

#[test]
fn what_moves_goes_on_moving() {
    for (bytes, media_type) in [
        (moving_gif(4), MediaType::Gif),
        (moving_webp(4), MediaType::Webp),
    ] {
        let processed = process(&bytes).unwrap();
        assert!(processed.animated);
        assert_eq!(processed.full.media_type, media_type);
        assert!(!holds(&processed.full.bytes, "GPS"));
        let whole = Cursor::new(&processed.full.bytes);
        let colors = |frames: image::Frames<'_>| -> Vec<u8> {
            let frames = frames.collect_frames().unwrap();
            frames
                .iter()
                .map(|frame| frame.buffer().get_pixel(5, 5)[0])
                .collect()
        };
        let shown = match media_type {
            MediaType::Gif => {
                assert!(holds(&processed.full.bytes, "NETSCAPE2.0"));
                colors(
                    image::codecs::gif::GifDecoder::new(whole)
                        .unwrap()
                        .into_frames(),
                )
            }
            _ => colors(
                image::codecs::webp::WebPDecoder::new(whole)
                    .unwrap()
                    .into_frames(),
            ),
        };
        // A palette has its own idea of a colour.
        let as_sent = |(shown, sent): (&u8, u8)| shown.abs_diff(sent) <= 1;
        assert_eq!(shown.len(), 4);
        assert!(
            shown.iter().zip([0, 50, 100, 150]).all(as_sent),
            "{shown:?}"
        );
        for variant in &processed.variants {
            decoded(variant);
        }
        let wanted = Resized {
            width: 32,
            height: 32,
            quality: 80,
        };
        assert_eq!(
            resized(&processed.full.bytes, wanted).unwrap().media_type,
            MediaType::Webp
        );
    }
    // One frame doesn't move.
    let still = process(&moving_gif(1)).unwrap();
    assert!(!still.animated);
    assert_eq!(still.full.media_type, MediaType::Webp);
}

#[test]
fn a_copy_in_another_size_is_made_of_the_largest() {
    let full = process(&jpeg(1_000, 500)).unwrap().full;
    let copy = |width, height| {
        let resized = resized(
            &full.bytes,
            Resized {
                width,
                height,
                quality: 70,
            },
        )
        .unwrap();
        decoded(&resized);
        (resized.width, resized.height)
    };
    assert_eq!(copy(300, 300), (300, 150));
    assert_eq!(copy(3_000, 3_000), (1_000, 500));
}

#[test]
fn another_process_is_asked_and_answers() {
    let ask = |task, file: &[u8]| {
        let mut request = exchange::request(task).unwrap();
        request.extend_from_slice(file);
        let mut answer = Vec::new();
        exchange::answer(&*request, &mut answer).unwrap();
        answer
    };
    let jpeg = jpeg(300, 200);
    let answer = ask(exchange::Task::Process, &jpeg);
    let wanted = exchange::Done::Processed(process(&jpeg).unwrap());
    assert_eq!(exchange::read_answer(&answer).unwrap(), Ok(wanted));
    assert!(exchange::read_answer(&answer[..answer.len() - 1]).is_err());
    let task = exchange::Task::Resize(Resized {
        width: 50,
        height: 50,
        quality: 70,
    });
    let Ok(exchange::Done::Resized(copy)) = exchange::read_answer(&ask(task, &jpeg)).unwrap()
    else {
        panic!("no copy")
    };
    assert_eq!((copy.width, copy.height), (50, 33));
    let refused = exchange::read_answer(&ask(exchange::Task::Process, b"text")).unwrap();
    assert_eq!(refused, Err(Refusal::NotAnImage));
    assert!(exchange::read_answer(b"\xff\xff\xff\xff").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_sent_is_answered(
        kind in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = match kind {
            0 => with_exif(&jpeg(40, 30), 3),
            1 => file(two_colors(40, 30), ImageFormat::Png),
            2 => moving_gif(3),
            _ => moving_webp(3),
        };
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(processed) = process(&bytes) {
            prop_assert!(processed.full.width > 0);
        }
    }
}
