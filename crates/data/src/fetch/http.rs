//! Downloads files over HTTP into part files that survive an interruption.
//!
//! A part file is continued with a Range request, which the server may refuse; whatever comes out is judged by the
//! pinned digest alone, and a part that proves wrong is removed. `ureq` because it blocks, which is all a fetch needs:
//! a client with its own runtime would double the dependencies. The system's certificates are used, so networks with
//! their own authority work.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use ureq::Agent;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};

use super::land::part_name;
use super::source::SourceErrorKind;
use super::{Delivery, FetchEvent, FetchOptions};
use crate::dataset::PinnedFile;
use crate::folder::{Spelling, read_pinned};

/// How often one file is asked for before its source is given up.
const MAX_REQUESTS: usize = 6;

/// What gzip may add to content that it cannot compress, and more.
const PACKING_BYTES: u64 = 64 * 1024;

/// Gets each of `wanted` from the source called (name, base address, spelling).
pub(super) fn deliver(
    (source_name, base, spelling): (&str, &str, Spelling),
    wanted: &[PinnedFile],
    options: &FetchOptions,
    delivery: &mut Delivery<'_, '_>,
) -> Result<(), SourceErrorKind> {
    let agent = agent(base, options);
    for pin in wanted {
        let url = format!("{base}{}", spelling.of(pin.name));
        let part = delivery.folder.join(part_name(pin.name, source_name));
        let download = Download {
            agent: &agent,
            url: &url,
            part: &part,
            limit_bytes: pin.bytes + PACKING_BYTES,
        };
        let content = download.run(pin, delivery)?;
        delivery.take(pin, &content)?;
    }
    Ok(())
}

fn agent(base: &str, options: &FetchOptions) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    let mut config = Agent::config_builder();
    if base.starts_with("http://127.0.0.1:") {
        // This machine is not reached through a proxy, whatever the environment says of the world outside.
        config = config.proxy(None);
    }
    config
        // A redirect must not leave the encrypted path.
        .https_only(base.starts_with("https://"))
        .http_status_as_error(false)
        .timeout_resolve(Some(options.connect_timeout))
        .timeout_connect(Some(options.connect_timeout))
        .timeout_recv_response(Some(options.silence_timeout))
        .timeout_per_read(Some(options.silence_timeout))
        .user_agent(concat!("undertone/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .new_agent()
}

struct Download<'a> {
    agent: &'a Agent,
    url: &'a str,
    part: &'a Path,
    limit_bytes: u64,
}

/// How one request ended, if the next one may do better.
enum Outcome {
    Complete,
    /// The connection broke; the part has what came before.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The server does not continue this part.
    Restart,
}

impl Download<'_> {
    /// Returns the pinned content, from a part left behind if there is one that leads to it.
    fn run(
        &self,
        pin: &PinnedFile,
        delivery: &mut Delivery<'_, '_>,
    ) -> Result<Vec<u8>, SourceErrorKind> {
        let continued = self.part_bytes()? > 0;
        match self.attempt(pin, delivery) {
            // The part may stem from a damaged transfer or an older file, so its failure is not yet the server's.
            Err(SourceErrorKind::Content(_) | SourceErrorKind::TooLong { .. }) if continued => {
                self.attempt(pin, delivery)
            }
            result => result,
        }
    }

    /// Completes the part and returns its content; removes it if it is wrong or used up.
    fn attempt(
        &self,
        pin: &PinnedFile,
        delivery: &mut Delivery<'_, '_>,
    ) -> Result<Vec<u8>, SourceErrorKind> {
        let result = self.fill_part(delivery).and_then(|()| {
            let file = File::open(self.part).map_err(|source| self.disk(source))?;
            Ok(read_pinned(file, Path::new(self.url), pin)?)
        });
        if let Err(SourceErrorKind::Content(_) | SourceErrorKind::TooLong { .. }) = result {
            fs::remove_file(self.part).map_err(|source| self.disk(source))?;
        }
        result
    }

    fn fill_part(&self, delivery: &mut Delivery<'_, '_>) -> Result<(), SourceErrorKind> {
        let mut reason: Option<Box<dyn std::error::Error + Send + Sync>> = None;
        for _ in 0..MAX_REQUESTS {
            let before = self.part_bytes()?;
            match self.request(before, delivery)? {
                Outcome::Complete => return Ok(()),
                Outcome::Restart => self.create_part().map(drop)?,
                Outcome::Broken(error) => {
                    reason = Some(error);
                    // Asking again pays only if asking has paid.
                    if self.part_bytes()? <= before {
                        break;
                    }
                }
            }
        }
        Err(SourceErrorKind::Transport {
            url: self.url.to_owned(),
            source: reason.unwrap_or_else(|| "the server keeps refusing to continue".into()),
        })
    }

    fn request(
        &self,
        have_bytes: u64,
        delivery: &mut Delivery<'_, '_>,
    ) -> Result<Outcome, SourceErrorKind> {
        let mut request = self.agent.get(self.url);
        if have_bytes > 0 {
            request = request.header(header::RANGE, format!("bytes={have_bytes}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Outcome::Broken(Box::new(error))),
        };
        match response.status() {
            StatusCode::OK => {
                self.create_part()?;
                self.receive(response, 0, delivery)
            }
            StatusCode::PARTIAL_CONTENT if continues_at(&response, have_bytes) => {
                self.receive(response, have_bytes, delivery)
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have_bytes > 0 => {
                Ok(Outcome::Restart)
            }
            status => Err(SourceErrorKind::Status {
                url: self.url.to_owned(),
                status: status.as_u16(),
            }),
        }
    }

    /// Appends the body of `response` to the part, which has `have_bytes` bytes.
    fn receive(
        &self,
        mut response: Response<ureq::Body>,
        have_bytes: u64,
        delivery: &mut Delivery<'_, '_>,
    ) -> Result<Outcome, SourceErrorKind> {
        delivery.event(FetchEvent::Download {
            url: self.url,
            resumed_bytes: have_bytes,
        });
        let total_bytes = response
            .body()
            .content_length()
            .map(|rest| rest.saturating_add(have_bytes));
        let mut part = File::options()
            .append(true)
            .open(self.part)
            .map_err(|source| self.disk(source))?;
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 64 * 1024];
        let mut bytes = have_bytes;
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Outcome::Broken(Box::new(error))),
            };
            bytes += n as u64;
            if bytes > self.limit_bytes {
                return Err(SourceErrorKind::TooLong {
                    url: self.url.to_owned(),
                    limit_bytes: self.limit_bytes,
                });
            }
            part.write_all(&buffer[..n])
                .map_err(|source| self.disk(source))?;
            delivery.event(FetchEvent::Progress {
                url: self.url,
                bytes,
                total_bytes,
            });
        }
        match total_bytes {
            Some(total) if bytes < total => Ok(Outcome::Broken(
                format!("the connection ended after {bytes} of {total} bytes").into(),
            )),
            _ => Ok(Outcome::Complete),
        }
    }

    fn part_bytes(&self) -> Result<u64, SourceErrorKind> {
        match fs::metadata(self.part) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(self.disk(error)),
        }
    }

    fn create_part(&self) -> Result<File, SourceErrorKind> {
        File::create(self.part).map_err(|source| self.disk(source))
    }

    fn disk(&self, source: io::Error) -> SourceErrorKind {
        SourceErrorKind::Disk {
            path: self.part.to_path_buf(),
            source,
        }
    }
}

/// Whether the body of a partial response starts at byte `at`, going by its `Content-Range: bytes AT-...`.
fn continues_at(response: &Response<ureq::Body>, at: u64) -> bool {
    let range = response
        .headers()
        .get(header::CONTENT_RANGE)
        .and_then(|range| range.to_str().ok());
    range
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split_once('-'))
        .is_some_and(|(start, _)| start.parse() == Ok(at))
}
