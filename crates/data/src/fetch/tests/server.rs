//! A small HTTP server on this machine whose every answer is a function of the request and its number.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// From which byte on, if not all.
    pub(crate) range_start: Option<u64>,
}

pub(crate) struct Server {
    /// Its address, with a final slash.
    pub(crate) base: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers request number `n`, from 0, with the bytes `respond(n, request)`, and closes the connection.
    ///
    /// The thread lives as long as the test binary; its port is free again when that ends.
    pub(crate) fn start(respond: impl Fn(usize, &Request) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a local port is free");
        let address = listener.local_addr().expect("a bound port has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a local connection can be taken");
                let request = read_request(&stream);
                let n = {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push(request.clone());
                    log.len() - 1
                };
                // A client that has seen enough hangs up, which is its right.
                let _ = stream.write_all(&respond(n, &request));
            }
        });
        Self {
            base: format!("http://{address}/"),
            requests,
        }
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|r| r.path).collect()
    }

    pub(crate) fn range_starts(&self) -> Vec<Option<u64>> {
        self.requests().into_iter().map(|r| r.range_start).collect()
    }

    fn requests(&self) -> Vec<Request> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn read_request(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let range_start = lines
        .filter_map(|line| {
            let line = line.to_ascii_lowercase();
            let start = line.strip_prefix("range: bytes=")?.strip_suffix('-')?;
            start.parse().ok()
        })
        .last();
    Request { path, range_start }
}

/// All of `body`.
pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The rest of `body` from byte `start` on.
pub(crate) fn partial(body: &[u8], start: usize) -> Vec<u8> {
    let rest = &body[start..];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {start}-{}/{}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len() - 1,
        body.len(),
        rest.len()
    );
    [head.as_bytes(), rest].concat()
}

/// What an honest server answers to `request`.
pub(crate) fn ranged(body: &[u8], request: &Request) -> Vec<u8> {
    match request.range_start {
        Some(start) => partial(body, start as usize),
        None => ok(body),
    }
}

pub(crate) fn not_found() -> Vec<u8> {
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
}
