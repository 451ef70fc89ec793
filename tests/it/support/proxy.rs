//! A proxy before the S3 server that counts requests and does to them what networks and services do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::http_server::content_length;

/// What becomes of a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Both arrive.
    Pass,
    /// The request takes effect, the connection ends without an answer.
    Lost,
    /// The request takes effect, the answer says 500.
    Failed,
    /// One bit of the request's body is another when it arrives.
    Flipped,
    /// The connection ends before the request arrives anywhere.
    Dropped,
    /// The request goes nowhere and is answered with this status.
    Refused(u16),
    /// As `Refused(503)`, and the answer says to come back after a second.
    Busy,
    /// The request goes nowhere and nothing comes back until the client hangs up.
    Silent,
    /// The request is read a little at a time: 64 KiB each so many milliseconds.
    Crawling(u64),
    /// The answer comes a little at a time: 64 KiB each so many milliseconds.
    Trickling(u64),
    /// The connection ends after so many thousandths of the answer's body.
    Cut(usize),
    /// One bit of the answer's body is another when it arrives.
    Garbled,
    /// The request goes nowhere and is answered with 200 and this.
    Says(&'static str),
}

/// Passes requests on to the server, one a connection.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy; `fate` gets the method and path of each request.
    pub(crate) fn start(fate: impl Fn(&str, &str) -> Fate + Send + Sync + 'static) -> Self {
        let server = super::s3::address();
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        // A large buffer would hide from the client how slowly it is read from.
        socket2::SockRef::from(&listener).set_recv_buffer_size(PIECE).expect("a small buffer");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (fate, log) = (Arc::new(fate), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (fate, log) = (Arc::clone(&fate), Arc::clone(&log));
                std::thread::spawn(move || drop(pass(&stream, server, &*fate, &log)));
            }
        });
        Self { address, seen }
    }

    /// Requests so far as `METHOD path`, and forgets them.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().expect("no panic"))
    }
}

const PIECE: usize = 64 << 10;

fn pass(
    mut client: &TcpStream,
    server: SocketAddr,
    fate: &dyn Fn(&str, &str) -> Fate,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(4096, client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split([' ', '\r']);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    log.lock().expect("no panic").push(format!("{method} {path}"));
    let fate = fate(method, path);
    let mut body = vec![0; content_length(&head)];
    for piece in body.chunks_mut(PIECE) {
        if let Fate::Crawling(wait) = fate {
            std::thread::sleep(Duration::from_millis(wait));
        }
        reader.read_exact(piece)?;
    }
    let status = |status: u16, more: &str| {
        format!("HTTP/1.1 {status} Told So\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n")
            .into_bytes()
    };
    let mut ask = |flipped: bool| {
        if flipped {
            flip(&mut body);
        }
        let mut upstream = TcpStream::connect(server)?;
        upstream.write_all(format!("{}\r\nconnection: close\r\n\r\n", head.trim_end()).as_bytes())?;
        upstream.write_all(&body)?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).map(|_| answer)
    };
    let answer = match fate {
        Fate::Dropped => return Ok(()),
        Fate::Silent => return reader.read(&mut [0]).map(drop),
        Fate::Refused(number) => status(number, ""),
        Fate::Busy => status(503, "retry-after: 1\r\n"),
        Fate::Says(text) => {
            let length = text.len();
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}")
                .into_bytes()
        }
        Fate::Lost => return ask(false).map(drop),
        Fate::Failed => ask(false).map(|_| status(500, ""))?,
        Fate::Flipped => ask(true)?,
        Fate::Pass | Fate::Crawling(_) | Fate::Trickling(_) => ask(false)?,
        Fate::Cut(share) => {
            let mut answer = ask(false)?;
            let start = body_start(&answer);
            answer.truncate(start + (answer.len() - start) * share / 1000);
            answer
        }
        Fate::Garbled => {
            let mut answer = ask(false)?;
            let start = body_start(&answer);
            flip(&mut answer[start..]);
            answer
        }
    };
    for piece in answer.chunks(PIECE) {
        if let Fate::Trickling(wait) = fate {
            std::thread::sleep(Duration::from_millis(wait));
        }
        client.write_all(piece)?;
    }
    Ok(())
}

fn body_start(answer: &[u8]) -> usize {
    answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |end| end + 4)
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
}
