//! The same work for another process: what it is asked for in front of the file, and the files behind what became of it. Both
//! sides bound what they read.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::{Encoded, MediaType, Processed, Refusal, Resized, process, resized};

/// Bytes of a file that is processed.
pub const INPUT_MAX: usize = 32 << 20;

/// Bytes of an answer, all files together.
pub const OUTPUT_MAX: usize = 64 << 20;

/// Bytes of what stands before the files.
const HEAD_MAX: usize = 64 << 10;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// All that is shown of a picture.
    Process,
    /// One copy.
    Resize(Resized),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// All that is shown of a picture.
    Processed(Processed),
    /// One copy.
    Resized(Encoded),
}

#[derive(Serialize, Deserialize)]
enum Head {
    Refused(Refusal),
    Resized(FileHead),
    Processed {
        full: FileHead,
        animated: bool,
        variants: Vec<FileHead>,
        placeholder: String,
    },
}

#[derive(Serialize, Deserialize)]
struct FileHead {
    media_type: MediaType,
    width: u32,
    height: u32,
    length: usize,
}

impl FileHead {
    fn of(encoded: &Encoded) -> Self {
        Self {
            media_type: encoded.media_type,
            width: encoded.width,
            height: encoded.height,
            length: encoded.bytes.len(),
        }
    }
}

/// A request, to be written to the other process.
///
/// # Errors
/// Never for what a task holds.
pub fn request(task: Task) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write_head(&mut bytes, &task)?;
    Ok(bytes)
}

/// Reads a request and the file behind it, and writes what became of it.
///
/// # Errors
/// If they can't be read or written.
pub fn answer(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let task: Task = read_head(&mut input)?;
    let mut file = Vec::new();
    input.take(INPUT_MAX as u64 + 1).read_to_end(&mut file)?;
    let done = match (task, file.len() > INPUT_MAX) {
        (_, true) => Err(Refusal::TooLarge),
        (Task::Process, _) => process(&file).map(Done::Processed),
        (Task::Resize(wanted), _) => resized(&file, wanted).map(Done::Resized),
    };
    drop(file);
    let files: Vec<&Encoded> = match &done {
        Err(refusal) => {
            write_head(&mut output, &Head::Refused(*refusal))?;
            Vec::new()
        }
        Ok(Done::Resized(encoded)) => {
            write_head(&mut output, &Head::Resized(FileHead::of(encoded)))?;
            vec![encoded]
        }
        Ok(Done::Processed(processed)) => {
            let head = Head::Processed {
                full: FileHead::of(&processed.full),
                animated: processed.animated,
                variants: processed.variants.iter().map(FileHead::of).collect(),
                placeholder: processed.placeholder.clone(),
            };
            write_head(&mut output, &head)?;
            std::iter::once(&processed.full)
                .chain(&processed.variants)
                .collect()
        }
    };
    for file in files {
        output.write_all(&file.bytes)?;
    }
    output.flush()
}

/// What the other process has written.
///
/// # Errors
/// If it isn't an answer, or is cut off.
pub fn read_answer(mut input: &[u8]) -> io::Result<Result<Done, Refusal>> {
    let head: Head = read_head(&mut input)?;
    let mut file = |head: FileHead| {
        let (bytes, rest) = input
            .split_at_checked(head.length)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        input = rest;
        Ok::<_, io::Error>(Encoded {
            media_type: head.media_type,
            width: head.width,
            height: head.height,
            bytes: bytes.to_vec(),
        })
    };
    Ok(match head {
        Head::Refused(refusal) => Err(refusal),
        Head::Resized(head) => Ok(Done::Resized(file(head)?)),
        Head::Processed {
            full,
            animated,
            variants,
            placeholder,
        } => Ok(Done::Processed(Processed {
            full: file(full)?,
            animated,
            variants: variants.into_iter().map(file).collect::<io::Result<_>>()?,
            placeholder,
        })),
    })
}

fn write_head(output: &mut impl Write, head: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec(head)?;
    output.write_all(&(text.len() as u32).to_le_bytes())?;
    output.write_all(&text)
}

fn read_head<T: for<'a> Deserialize<'a>>(input: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > HEAD_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length];
    input.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
