//! Pictures that move, made anew from their frames, without comments, metadata, and what follows their end.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, Encoder, MemoryLimit};
use image_webp::WebPDecoder;

use crate::picture::check_size;
use crate::{Encoded, Format, MediaType, Refusal};

/// Frames.
const FRAMES_MAX: u64 = 2_000;

/// Pixels of all frames together.
const PIXELS_MAX: u64 = 400_000_000;

/// Counts frames against both bounds.
#[derive(Default)]
struct Frames {
    frames: u64,
    pixels: u64,
}

impl Frames {
    fn count(&mut self, (width, height): (u32, u32)) -> Result<(), Refusal> {
        self.frames += 1;
        self.pixels += u64::from(width) * u64::from(height);
        match self.frames > FRAMES_MAX || self.pixels > PIXELS_MAX {
            true => Err(Refusal::TooLarge),
            false => Ok(()),
        }
    }
}

/// The picture as a file that moves; `None` if it is still.
pub fn moving(bytes: &[u8], format: Format) -> Result<Option<Encoded>, Refusal> {
    match format {
        Format::Gif => gif(bytes),
        Format::Webp => webp(bytes),
        Format::Jpeg | Format::Png => Ok(None),
    }
}

fn gif(bytes: &[u8]) -> Result<Option<Encoded>, Refusal> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(
        (256 << 20).try_into().map_err(|_| Refusal::TooLarge)?,
    ));
    options.check_frame_consistency(true);
    let malformed = |_: gif::DecodingError| Refusal::Malformed;
    let unwritten = |_: gif::EncodingError| Refusal::Malformed;
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(malformed)?;
    let (width, height) = (decoder.width(), decoder.height());
    check_size(width.into(), height.into())?;
    let palette = decoder.global_palette().unwrap_or_default().to_vec();
    let mut encoder = Encoder::new(Vec::new(), width, height, &palette).map_err(unwritten)?;
    let mut frames = Frames::default();
    while let Some(frame) = decoder.read_next_frame().map_err(malformed)? {
        frames.count((frame.width.into(), frame.height.into()))?;
        let frame = frame.clone();
        if frames.frames == 1 {
            // It stands before the first frame.
            encoder.set_repeat(decoder.repeat()).map_err(unwritten)?;
        }
        encoder.write_frame(&frame).map_err(unwritten)?;
    }
    if frames.frames < 2 {
        return match frames.frames {
            0 => Err(Refusal::Malformed),
            _ => Ok(None),
        };
    }
    Ok(Some(Encoded {
        media_type: MediaType::Gif,
        width: width.into(),
        height: height.into(),
        bytes: encoder.into_inner().map_err(|_| Refusal::Malformed)?,
    }))
}

/// Chunks of a WebP that moves which are kept: the canvas, how it repeats, and its frames.
const KEPT: [&[u8; 4]; 3] = [b"VP8X", b"ANIM", b"ANMF"];

/// In the flags of the canvas: some of it is transparent, and it moves. The others speak of what isn't kept.
const FLAGS: u8 = 0b0001_0010;

fn webp(bytes: &[u8]) -> Result<Option<Encoded>, Refusal> {
    let malformed = |_| Refusal::Malformed;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(malformed)?;
    if !decoder.is_animated() {
        return Ok(None);
    }
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    // Each frame is drawn on the whole canvas, so it costs that much.
    let mut frames = Frames::default();
    for _ in 0..decoder.num_frames() {
        frames.count((width, height))?;
    }
    let size = decoder.output_buffer_size().ok_or(Refusal::TooLarge)?;
    let mut canvas = vec![0; size];
    for _ in 0..decoder.num_frames() {
        decoder.read_frame(&mut canvas).map_err(malformed)?;
    }
    Ok(Some(Encoded {
        media_type: MediaType::Webp,
        width,
        height,
        bytes: frames_alone(bytes)?,
    }))
}

/// The same file with nothing but its canvas and frames, and of those nothing but pictures.
fn frames_alone(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    /// In the header of a frame: its place, size, duration and flags.
    const FRAME_HEAD: usize = 16;
    let body = bytes.get(12..).ok_or(Refusal::Malformed)?;
    let mut kept = b"WEBP".to_vec();
    for (name, content) in chunks(body)? {
        if !KEPT.contains(&name) {
            continue;
        }
        let mut content = content.to_vec();
        match (name, content.first_mut()) {
            (b"VP8X", Some(flags)) => *flags &= FLAGS,
            (b"ANMF", Some(_)) => {
                let (head, pictures) = content
                    .split_at_checked(FRAME_HEAD)
                    .ok_or(Refusal::Malformed)?;
                let mut frame = head.to_vec();
                for (name, picture) in chunks(pictures)? {
                    if matches!(name, b"ALPH" | b"VP8 " | b"VP8L") {
                        put_chunk(&mut frame, name, picture);
                    }
                }
                content = frame;
            }
            _ => {}
        }
        put_chunk(&mut kept, name, &content);
    }
    let length = u32::try_from(kept.len()).map_err(|_| Refusal::TooLarge)?;
    Ok([&b"RIFF"[..], &length.to_le_bytes(), &kept].concat())
}

type Chunk<'a> = (&'a [u8; 4], &'a [u8]);

/// The chunks of a list; what is left over at its end isn't one.
fn chunks(mut list: &[u8]) -> Result<Vec<Chunk<'_>>, Refusal> {
    let mut found = Vec::new();
    while let Some((name, rest)) = list.split_first_chunk::<4>() {
        let Some((length, rest)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let length = u32::from_le_bytes(*length) as usize;
        let Some((content, rest)) = rest.split_at_checked(length) else {
            break;
        };
        if found.len() as u64 > 4 * FRAMES_MAX {
            return Err(Refusal::TooLarge);
        }
        found.push((name, content));
        list = rest.get(length % 2..).unwrap_or_default();
    }
    Ok(found)
}

pub(crate) fn put_chunk(to: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(&(content.len() as u32).to_le_bytes());
    to.extend_from_slice(content);
    if content.len() % 2 == 1 {
        to.push(0);
    }
}
