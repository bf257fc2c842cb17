//! Compression, found by what the bytes begin with: media types and names are not always right.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

/// The largest window of zstd that is held in memory, as a power of two: 8 MiB, which readers must take and which
/// writers keep to unless they are told `--ultra` or `--long`.
const ZSTD_WINDOW: u32 = 23;

/// What `reader` holds, decompressed if it is compressed with gzip or zstd.
///
/// # Errors
/// When the first bytes cannot be read.
pub fn decompress<'a>(mut reader: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    match reader.fill_buf()? {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(reader))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Ok(Box::new(decoder))
        }
        _ => Ok(Box::new(reader)),
    }
}
