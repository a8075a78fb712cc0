//! A client that sends any bytes, and reads what comes back.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::h2;
use crate::shapes::{Shape, Words};

/// The longest wait for the answer to a shape. Only a gateway that waits for more gets there,
/// and what is judged is what reached the service.
const SHAPE: Duration = Duration::from_secs(5);

/// The longest wait for any other answer. Traefik waits 30 seconds for a silent keystile.
const PATIENCE: Duration = Duration::from_secs(120);

/// The status of an answer that the server did not finish: it gave up the stream or the
/// connection of HTTP/2.
pub(crate) const CUT: u16 = 0;

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The values of a header, by its name in lower case.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

/// Sends a shape, and whatever follows it. Returns the first answer.
pub(crate) fn send(server: SocketAddr, shape: &Shape, words: &Words, id: &str) -> Option<Answer> {
    let mut connection = Connection::open(server, SHAPE)?;
    if shape.h2 {
        let (method, target) = shape.line();
        let lines = shape.lines(words, id);
        connection.write(&h2::preface());
        connection.write(&h2::request(1, method, target, &lines));
        return connection.read_frames(1);
    }
    let lines = [
        format!("x-shape: {id}"),
        "x-keystile-owner: forged".to_owned(),
    ];
    let tunnel = [
        h2::preface(),
        h2::request(3, "GET", "/admin/secret", &lines),
    ];
    let mut bytes = shape.bytes(words, id);
    if shape.at_once {
        bytes.extend(tunnel.concat());
    }
    connection.write(&bytes);
    let first = connection.answer(shape.request.starts_with("HEAD "));
    if shape.tunnel {
        connection.write(&tunnel.concat());
    }
    if shape.tunnel || shape.at_once {
        connection.read_frames(3);
    }
    if shape.pipelined.is_some() {
        while connection.answer(false).is_some() {}
    }
    first
}

/// The answer to a request line without its version, and header lines.
pub(crate) fn ask(server: SocketAddr, request: &str, lines: &[&str]) -> Answer {
    asked(server, request, lines, PATIENCE).expect("an answer")
}

/// As [`ask`], or `None` if there is no answer within this time.
pub(crate) fn asked(
    server: SocketAddr,
    request: &str,
    lines: &[&str],
    patience: Duration,
) -> Option<Answer> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let text = format!("{request} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
    let mut connection = Connection::open(server, patience)?;
    connection.write(text.as_bytes());
    connection.answer(request.starts_with("HEAD "))
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Whether the server has closed it.
    ended: bool,
}

impl Connection {
    fn open(server: SocketAddr, patience: Duration) -> Option<Self> {
        let stream = TcpStream::connect(server).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        stream.set_write_timeout(Some(patience)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            stream,
            buffer: Vec::new(),
            ended: false,
        })
    }

    /// Sends what the server is still willing to take.
    fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn read(&mut self) -> Option<()> {
        let mut bytes = [0; 16_384];
        let read = self.stream.read(&mut bytes);
        // A server that closes with bytes of ours unread resets the connection.
        self.ended = match &read {
            Ok(count) => *count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        let count = read.ok().filter(|count| *count > 0)?;
        self.buffer.extend(&bytes[..count]);
        Some(())
    }

    fn answer(&mut self, is_head: bool) -> Option<Answer> {
        loop {
            let answer = self.one_answer(is_head)?;
            // A 100 announces the answer.
            if answer.status != 100 {
                return Some(answer);
            }
        }
    }

    fn one_answer(&mut self, is_head: bool) -> Option<Answer> {
        let end = loop {
            match find(&self.buffer, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.read()?,
            }
        };
        let rest = self.buffer.split_off(end);
        let head = core::mem::replace(&mut self.buffer, rest);
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let has_none = is_head || matches!(status, 100..200 | 204 | 304);
        let bytes = if has_none {
            Vec::new()
        } else if answer.values("transfer-encoding") == ["chunked"] {
            self.chunks()?
        } else {
            match answer.values("content-length").first() {
                Some(length) => self.take(length.parse().ok()?)?,
                // Then the end of the connection ends it.
                None if answer.values("connection") == ["close"] => {
                    while self.read().is_some() {}
                    core::mem::take(&mut self.buffer)
                }
                None => return None,
            }
        };
        answer.body = String::from_utf8_lossy(&bytes).into_owned();
        Some(answer)
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.read()?;
        }
        let rest = self.buffer.split_off(length);
        Some(core::mem::replace(&mut self.buffer, rest))
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let end = loop {
                match find(&self.buffer, b"\r\n") {
                    Some(at) => break at,
                    None => self.read()?,
                }
            };
            let line = self.take(end + 2)?;
            let size = String::from_utf8_lossy(&line).trim().to_owned();
            let size = usize::from_str_radix(&size, 16).ok()?;
            whole.extend(self.take(size)?);
            self.take(2)?;
            if size == 0 {
                return Some(whole);
            }
        }
    }

    /// Reads frames of HTTP/2 until this stream, or the connection, has ended. `None` if the
    /// server speaks HTTP/1.1, or is silent.
    fn read_frames(&mut self, stream: u32) -> Option<Answer> {
        let mut answer = h2::Answering::on(stream);
        loop {
            while let Some((frame, length)) = h2::frame(&self.buffer) {
                if let Some(answer) = answer.take(&frame) {
                    return Some(answer);
                }
                if let Some(reply) = frame.reply() {
                    self.write(&reply);
                }
                self.buffer.drain(..length);
            }
            // An answer in HTTP/1.1 is not one to the tunnel.
            if self.buffer.starts_with(b"HTTP/1.") {
                while self.read().is_some() {}
                return None;
            }
            if self.read().is_none() {
                let (head, body) = (String::new(), String::new());
                let status = CUT;
                return self.ended.then_some(Answer { status, head, body });
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
