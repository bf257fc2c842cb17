//! Blobs on their way into files: verified while they are written, resumed where they were cut.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use super::digest::Hasher;
use super::failure::Failure;
use super::manifest::Descriptor;
use super::registry::Repository;
use super::retry::{Problem, Tries};

/// What happens to a transfer.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many bytes are to come, besides those of before.
    Expected(u64),
    /// So many bytes came.
    Received(u64),
    /// So many bytes that came are thrown away.
    Lost(u64),
    /// A request failed and is made again after a pause.
    Waiting(&'a Failure, Duration),
    /// All came, and is unpacked now.
    Unpacking,
    /// It is there.
    Done,
}

/// A blob that is on its way.
struct Transfer<'a> {
    repository: &'a Repository<'a>,
    descriptor: &'a Descriptor,
    watch: &'a dyn Fn(Event<'_>),
    file: File,
    hasher: Hasher,
    written: u64,
    /// Whether what was written came in more than one piece.
    is_resumed: bool,
    /// How often all of it was thrown away because it was something else.
    mismatches: u32,
}

/// Downloads a blob into a file without a name, which is gone when it is closed. Not a byte more than `descriptor`
/// says is ever written.
///
/// # Errors
/// When it cannot be had, or is not what its digest says.
pub async fn download(
    repository: &Repository<'_>,
    descriptor: &Descriptor,
    watch: &dyn Fn(Event<'_>),
) -> Result<File, Failure> {
    let file = tempfile::tempfile().map_err(local)?;
    let mut transfer = Transfer {
        repository,
        descriptor,
        watch,
        file,
        hasher: descriptor.digest.hasher(),
        written: 0,
        is_resumed: false,
        mismatches: 0,
    };
    let mut tries = Tries::new(repository.time);
    let mut farthest = 0;
    loop {
        let problem = match transfer.run().await {
            Ok(()) => {
                transfer.file.seek(SeekFrom::Start(0)).map_err(local)?;
                return Ok(transfer.file);
            }
            Err(problem) => problem,
        };
        if transfer.written > farthest {
            farthest = transfer.written;
            tries.progressed();
        }
        let (failure, pause) = tries.failed(problem, Instant::now())?;
        watch(Event::Waiting(&failure, pause));
        tokio::time::sleep(pause).await;
    }
}

impl Transfer<'_> {
    /// Asks for what is missing, and writes it.
    async fn run(&mut self) -> Result<(), Problem> {
        let digest = self.descriptor.digest.as_str();
        let mut response = self.repository.blob(digest, self.written).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if self.written > 0 => {
                if range_start(&response) != Some(self.written) {
                    self.restart().map_err(local)?;
                    return Err(self.cut("answers with another range than it was asked for"));
                }
                self.is_resumed = true;
            }
            // It does not know ranges, and begins anew.
            StatusCode::OK => self.restart().map_err(local)?,
            StatusCode::RANGE_NOT_SATISFIABLE if self.written > 0 => {
                self.restart().map_err(local)?;
                return Err(self.cut("does not resume what it cut"));
            }
            status => {
                let what = format!("answers {status} for a blob");
                return Err(Failure::Refused {
                    host: self.host(),
                    what,
                }
                .into());
            }
        }
        let missing = self.descriptor.size - self.written;
        if response
            .content_length()
            .is_some_and(|length| length > missing)
        {
            return Err(self.mismatch("it is longer"));
        }
        let host = self.host();
        while let Some(chunk) = self
            .repository
            .clients()
            .chunk(&mut response, &host)
            .await?
        {
            self.write(&chunk)?;
        }
        if self.written < self.descriptor.size {
            // A server that says that this is all, and has no more when asked for it, is not asked for ever.
            if self.is_resumed || response.content_length().is_some() {
                return Err(self.mismatch("it is shorter"));
            }
            return Err(self.cut("cut a blob"));
        }
        if self.hasher.clone().finish() == self.descriptor.digest {
            return Ok(());
        }
        // Perhaps two pieces did not belong together.
        if self.is_resumed && self.mismatches == 0 {
            self.mismatches += 1;
            self.restart().map_err(local)?;
            return Err(self.cut("resumed with something else"));
        }
        Err(self.mismatch("its digest is another"))
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        let length = chunk.len() as u64;
        if length > self.descriptor.size - self.written {
            return Err(self.mismatch("it is longer"));
        }
        self.hasher.update(chunk);
        // The page cache takes it: this does not wait for a disk.
        self.file.write_all(chunk).map_err(local)?;
        self.written += length;
        (self.watch)(Event::Received(length));
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        if self.written == 0 {
            return Ok(());
        }
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        (self.watch)(Event::Lost(self.written));
        self.hasher = self.descriptor.digest.hasher();
        self.written = 0;
        self.is_resumed = false;
        Ok(())
    }

    fn host(&self) -> String {
        self.repository.host.clone()
    }

    fn cut(&self, problem: &str) -> Problem {
        super::clients::again(&self.repository.host, problem.to_owned())
    }

    fn mismatch(&self, how: &'static str) -> Problem {
        Failure::Mismatch {
            host: self.host(),
            what: self.descriptor.digest.to_string(),
            how,
        }
        .into()
    }
}

/// The first byte of `bytes first-last/size`.
fn range_start(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn local(error: std::io::Error) -> Failure {
    Failure::Temporary(std::env::temp_dir(), error)
}
