//! As much of HTTP/2 (RFC 9113) as a client needs that sends what no library would.

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACKNOWLEDGED: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame that the server sent.
pub(crate) struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// What a client sends first: the preface, and empty settings.
pub(crate) fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(framed(SETTINGS, 0, 0, &[]));
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

impl Frame {
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
