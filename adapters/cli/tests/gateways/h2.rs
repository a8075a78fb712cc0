//! As much of HTTP/2 (RFC 9113) as a client needs that sends what no library would.

use crate::client::Answer;
use crate::hpack;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACKNOWLEDGED: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 32;
/// The setting for the size of the dynamic table of HPACK, which is to be 0.
const NO_TABLE: [u8; 6] = [0, 1, 0, 0, 0, 0];

/// A frame that the server sent.
pub(crate) struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// What a client sends first: the preface, and its settings.
pub(crate) fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(framed(SETTINGS, 0, 0, &NO_TABLE));
    bytes
}

/// A request without a body. A pseudo-header in `lines` comes in addition to the usual one if
/// it is `:method` or `:path`, and instead of it otherwise.
pub(crate) fn request(stream: u32, method: &str, target: &str, lines: &[String]) -> Vec<u8> {
    let mut fields = vec![(":method", method), (":path", target)];
    let own: Vec<(&str, &str)> = lines.iter().map(|line| split(line)).collect();
    for (name, value) in [(":scheme", "http"), (":authority", "a.example")] {
        if !own.iter().any(|(own, _)| *own == name) {
            fields.push((name, value));
        }
    }
    // Pseudo-headers come first.
    fields.extend(own.iter().filter(|(name, _)| name.starts_with(':')));
    fields.extend(own.iter().filter(|(name, _)| !name.starts_with(':')));
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal field with a new name, which is not indexed.
        block.push(0);
        for text in [name, value] {
            let bytes = crate::shapes::latin1(text);
            length(&mut block, bytes.len());
            block.extend(bytes);
        }
    }
    framed(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// The name may begin with a colon, and then ends at the second one.
fn split(line: &str) -> (&str, &str) {
    line.split_once(": ").expect("a header line")
}

/// A whole number with a prefix of seven bits (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        block.push(value as u8);
        return;
    }
    block.push(127);
    value -= 127;
    while value >= 128 {
        block.push((value % 128) as u8 | 128);
        value /= 128;
    }
    block.push(value as u8);
}

fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The first frame of some bytes, and its length with the frame's head.
pub(crate) fn frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let head = bytes.get(..9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let frame = Frame {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5] & 127, head[6], head[7], head[8]]),
        payload: bytes.get(9..9 + length)?.to_vec(),
    };
    Some((frame, 9 + length))
}

/// What has come of the answer on one stream.
#[derive(Default)]
pub(crate) struct Answering {
    stream: u32,
    block: Vec<u8>,
    status: Option<u16>,
    head: String,
    body: Vec<u8>,
}

impl Answering {
    pub(crate) fn on(stream: u32) -> Self {
        Self {
            stream,
            ..Self::default()
        }
    }

    /// Takes the next frame. Returns the answer if it has ended: with the status
    /// [`CUT`](crate::client::CUT) if the server gave the stream or the connection up.
    pub(crate) fn take(&mut self, frame: &Frame) -> Option<Answer> {
        if frame.stream == self.stream && [HEADERS, CONTINUATION].contains(&frame.kind) {
            self.block.extend(frame.content());
            if frame.flags & END_HEADERS != 0 {
                self.read_block();
            }
        }
        if frame.stream == self.stream && frame.kind == DATA {
            self.body.extend(frame.content());
        }
        if !frame.ends(self.stream) {
            return None;
        }
        let is_whole = frame.kind <= HEADERS;
        let status = self.status.filter(|_| is_whole);
        Some(Answer {
            status: status.unwrap_or(crate::client::CUT),
            head: core::mem::take(&mut self.head),
            body: String::from_utf8_lossy(&self.body).into_owned(),
        })
    }

    /// The head of the answer, of an announcement before it, or of its trailers.
    fn read_block(&mut self) {
        let block = core::mem::take(&mut self.block);
        let fields = hpack::fields(&block).expect("a block of headers");
        for (name, value) in fields {
            if name == ":status" {
                self.head = String::new();
                self.status = value.parse().ok();
            }
            self.head += &format!("{name}: {value}\r\n");
        }
    }
}

impl Frame {
    /// The payload without padding and priority.
    fn content(&self) -> &[u8] {
        let mut content = &self.payload[..];
        if self.flags & PADDED != 0 {
            let (length, rest) = content.split_first().expect("a length");
            content = &rest[..rest.len() - usize::from(*length)];
        }
        let has_priority = self.kind == HEADERS && self.flags & WITH_PRIORITY != 0;
        &content[if has_priority { 5 } else { 0 }..]
    }

    /// Whether nothing more comes on this stream.
    pub(crate) fn ends(&self, stream: u32) -> bool {
        let is_last = self.kind <= HEADERS && self.flags & END_STREAM != 0;
        let is_this = self.stream == stream && (is_last || self.kind == RESET);
        is_this || self.kind == GOAWAY
    }

    /// What a client must answer.
    pub(crate) fn reply(&self) -> Option<Vec<u8>> {
        let is_request = self.flags & ACKNOWLEDGED == 0;
        match self.kind {
            SETTINGS if is_request => Some(framed(SETTINGS, ACKNOWLEDGED, 0, &[])),
            PING if is_request => Some(framed(PING, ACKNOWLEDGED, 0, &self.payload)),
            _ => None,
        }
    }
}
