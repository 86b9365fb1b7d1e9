//! RESP3, the wire format of Redis, read straight from the receive buffer: a published message costs no allocation before
//! it is known to be wanted. `redis::parse_redis_value` is the reference that a test compares with; it reads what is rare.
//!
//! A frame that arrives in pieces is scanned once, not anew for each piece.

use redis::Value;

/// The longest answer that is taken. What Tertulia asks for is far smaller; more is a broken or foreign server.
pub(crate) const MAX_FRAME: usize = 64 * 1024 * 1024;
/// Lines are lengths, numbers, status and error texts.
const MAX_LINE: usize = 64 * 1024;
const MAX_DEPTH: usize = 32;

/// The server doesn't speak RESP3, or sends more than is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed or too long answer")]
pub(crate) struct Malformed;

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Shard,
    Pattern,
}

/// One thing that a server sends.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame<'a> {
    Message {
        channel: &'a [u8],
        payload: &'a [u8],
    },
    PatternMessage {
        pattern: &'a [u8],
        channel: &'a [u8],
        payload: &'a [u8],
    },
    Subscribed {
        kind: Kind,
        name: &'a [u8],
    },
    Unsubscribed {
        kind: Kind,
        name: &'a [u8],
    },
    /// A push of a kind that nobody here asks for.
    OtherPush,
    /// The answer to the oldest command without one.
    Reply(Value),
}

/// Finds where a frame ends, over as many pieces as it takes.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    position: usize,
    /// How many values are still to come; 0 between frames.
    pending: usize,
}

impl Scanner {
    /// The length of the frame that `buffer` begins with; `None` while it isn't complete. Then the next call must bring the
    /// same bytes and more.
    pub(crate) fn scan(&mut self, buffer: &[u8]) -> Result<Option<usize>, Malformed> {
        if self.pending == 0 {
            *self = Self {
                position: 0,
                pending: 1,
            };
        }
        while self.pending > 0 {
            let rest = &buffer[self.position..];
            let Some(line) = line_length(rest)? else {
                return Ok(None);
            };
            let mut after = self.position + line + 2;
            let elements = match rest[0] {
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => 0,
                b'$' | b'!' | b'=' => {
                    if let Some(length) = length(&rest[1..line])? {
                        after += length + 2;
                    }
                    0
                }
                b'*' | b'~' | b'>' => length(&rest[1..line])?.unwrap_or(0),
                b'%' => 2 * length(&rest[1..line])?.unwrap_or(0),
                // Attributes stand before the value that they belong to.
                b'|' => 2 * length(&rest[1..line])?.unwrap_or(0) + 1,
                _ => return Err(Malformed),
            };
            if after > MAX_FRAME {
                return Err(Malformed);
            }
            if after > buffer.len() {
                return Ok(None);
            }
            self.position = after;
            self.pending = self.pending - 1 + elements;
        }
        Ok(Some(self.position))
    }
}

/// The length of the first line without its end; `None` while that is missing.
fn line_length(buffer: &[u8]) -> Result<Option<usize>, Malformed> {
    match buffer.iter().position(|&byte| byte == b'\n') {
        Some(end) if end >= 2 && buffer[end - 1] == b'\r' => Ok(Some(end - 1)),
        Some(_) => Err(Malformed),
        None if buffer.len() > MAX_LINE => Err(Malformed),
        None => Ok(None),
    }
}

/// A length or count; `None` for the null of RESP2, -1.
fn length(digits: &[u8]) -> Result<Option<usize>, Malformed> {
    match number(digits)? {
        -1 => Ok(None),
        length => match usize::try_from(length) {
            Ok(length) if length <= MAX_FRAME => Ok(Some(length)),
            _ => Err(Malformed),
        },
    }
}

fn number(digits: &[u8]) -> Result<i64, Malformed> {
    // Lengths have one to three digits, so this is worth a way of its own.
    if let [first, rest @ ..] = digits
        && digits.len() < 10
        && digits.iter().all(u8::is_ascii_digit)
    {
        return Ok(rest.iter().fold(i64::from(first - b'0'), |number, digit| {
            number * 10 + i64::from(digit - b'0')
        }));
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Malformed)
}

/// Reads one frame, which a [`Scanner`] found complete.
pub(crate) fn decode(frame: &[u8]) -> Result<Frame<'_>, Malformed> {
    let mut reader = Reader { rest: frame };
    if frame.first() == Some(&b'>') {
        reader.push()
    } else {
        reader.value(0).map(Frame::Reply)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn push(&mut self) -> Result<Frame<'a>, Malformed> {
        let (_, count) = self.line()?;
        let elements = length(count)?.unwrap_or(0);
        let kind = self.text()?;
        Ok(match (kind, elements) {
            (b"smessage", 3) => Frame::Message {
                channel: self.text()?,
                payload: self.text()?,
            },
            (b"pmessage", 4) => Frame::PatternMessage {
                pattern: self.text()?,
                channel: self.text()?,
                payload: self.text()?,
            },
            (b"ssubscribe", 3) => Frame::Subscribed {
                kind: Kind::Shard,
                name: self.text()?,
            },
            (b"psubscribe", 3) => Frame::Subscribed {
                kind: Kind::Pattern,
                name: self.text()?,
            },
            (b"sunsubscribe", 3) => Frame::Unsubscribed {
                kind: Kind::Shard,
                name: self.text()?,
            },
            (b"punsubscribe", 3) => Frame::Unsubscribed {
                kind: Kind::Pattern,
                name: self.text()?,
            },
            _ => Frame::OtherPush,
        })
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let whole = self.rest;
        let (kind, line) = self.line()?;
        Ok(match kind {
            b':' => Value::Int(number(line)?),
            b'+' if line == b"OK" => Value::Okay,
            b'+' => {
                Value::SimpleString(std::str::from_utf8(line).map_err(|_| Malformed)?.to_owned())
            }
            b'_' => Value::Nil,
            b'$' => match length(line)? {
                Some(length) => Value::BulkString(self.take(length)?.to_vec()),
                None => Value::Nil,
            },
            b'*' => match length(line)? {
                Some(count) => Value::Array(self.values(count, depth)?),
                None => Value::Nil,
            },
            b'~' => match length(line)? {
                Some(count) => Value::Set(self.values(count, depth)?),
                None => Value::Nil,
            },
            b'%' => {
                let count = length(line)?.unwrap_or(0);
                let mut pairs = Vec::with_capacity(count.min(self.rest.len()));
                for _ in 0..count {
                    pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
                }
                Value::Map(pairs)
            }
            b'!' | b'=' => {
                self.take(length(line)?.ok_or(Malformed)?)?;
                by_the_library(&whole[..whole.len() - self.rest.len()])?
            }
            b'-' | b'#' | b',' | b'(' => by_the_library(&whole[..whole.len() - self.rest.len()])?,
            // What an attribute says of a value is nothing that we ask for.
            b'|' => {
                for _ in 0..2 * length(line)?.unwrap_or(0) {
                    self.value(depth + 1)?;
                }
                self.value(depth + 1)?
            }
            _ => return Err(Malformed),
        })
    }

    fn values(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, Malformed> {
        let mut values = Vec::with_capacity(count.min(self.rest.len()));
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    /// A text of either form.
    fn text(&mut self) -> Result<&'a [u8], Malformed> {
        match self.line()? {
            (b'$', line) => self.take(length(line)?.ok_or(Malformed)?),
            (b'+', line) => Ok(line),
            _ => Err(Malformed),
        }
    }

    /// The next line: its first byte and the others.
    fn line(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let end = line_length(self.rest)?.ok_or(Malformed)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 2..];
        Ok((line[0], &line[1..]))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        match self.rest.split_at_checked(length) {
            Some((taken, [b'\r', b'\n', rest @ ..])) => {
                self.rest = rest;
                Ok(taken)
            }
            _ => Err(Malformed),
        }
    }
}

fn by_the_library(bytes: &[u8]) -> Result<Value, Malformed> {
    redis::parse_redis_value(bytes).map_err(|_| Malformed)
}

/// Appends a command.
pub(crate) fn encode(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.push(b'*');
    push_number(out, parts.len());
    out.extend_from_slice(b"\r\n");
    for part in parts {
        out.push(b'$');
        push_number(out, part.len());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

fn push_number(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests;
