//! What a photo of twelve megapixels takes: `cargo run --release -p images --example photo`. Prints the CPU time of one and the
//! most memory that the process ever had.

use std::io::Cursor;
use std::time::Duration;

use image::{ImageFormat, Rgb, RgbImage};

const ROUNDS: u32 = 5;

fn main() {
    let photo = photo(4_000, 3_000);
    println!("a JPEG of 4000 × 3000, {} KB", photo.len() / 1_024);
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = core_time();
        match images::process(&photo) {
            Ok(processed) => {
                let took = core_time() - began;
                times.push(took);
                let sizes = processed.variants.iter().map(|variant| variant.bytes.len());
                println!(
                    "{took:?}: full {} KB, variants {:?} bytes",
                    processed.full.bytes.len() / 1_024,
                    sizes.collect::<Vec<_>>()
                );
            }
            Err(refusal) => println!("refused: {refusal}"),
        }
    }
    times.sort_unstable();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    println!("median {:?} of one core; {peak}", times[times.len() / 2]);
}

/// What this thread has had of a core, which is the only one of this program.
fn core_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// Something with edges, gradients and noise.
fn photo(width: u32, height: u32) -> Vec<u8> {
    let mut state = 1_u32;
    let picture = RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 28) as u8;
        let light = (x * 200 / width) as u8;
        let edge = if (x / 97 + y / 61) % 2 == 0 { 40 } else { 0 };
        Rgb([light + noise, edge + noise, (y * 200 / height) as u8])
    });
    let mut bytes = Cursor::new(Vec::new());
    match picture.write_to(&mut bytes, ImageFormat::Jpeg) {
        Ok(()) => bytes.into_inner(),
        Err(error) => panic!("no photo: {error}"),
    }
}
