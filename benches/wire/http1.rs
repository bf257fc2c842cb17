//! HTTP/1.1 as far as a load needs it: one request at a time, and answers with a length or in chunks.

use std::borrow::Cow;
use std::io::{Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The head that an API server sends.
pub fn head(length: usize) -> Vec<u8> {
    format!(
        "POST /mutate?timeout=5s HTTP/1.1\r\nHost: agentteam-webhook.agentteam-system.svc:443\r\n\
         User-Agent: kube-apiserver-admission\r\nContent-Length: {length}\r\nAccept: application/json, */*\r\n\
         Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    .into_bytes()
}

/// Sends `request` and gives the status and the body of the answer.
pub async fn exchange<'b>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    buffer: &'b mut Vec<u8>,
) -> (u16, Cow<'b, [u8]>) {
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    buffer.clear();
    while answer(buffer).is_none() {
        assert!(
            stream.read_buf(buffer).await.unwrap() > 0,
            "the connection was closed"
        );
    }
    answer(buffer).unwrap()
}

/// The same, waiting for it.
pub fn exchange_blocking<'b>(
    stream: &mut (impl Read + Write),
    request: &[u8],
    buffer: &'b mut Vec<u8>,
) -> (u16, Cow<'b, [u8]>) {
    stream.write_all(request).unwrap();
    stream.flush().unwrap();
    buffer.clear();
    let mut chunk = [0; 16 << 10];
    while answer(buffer).is_none() {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the connection was closed");
        buffer.extend_from_slice(&chunk[..read]);
    }
    answer(buffer).unwrap()
}

/// The status and the body, when all of it is there.
fn answer(bytes: &[u8]) -> Option<(u16, Cow<'_, [u8]>)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let status = head[9..12].parse().unwrap();
    let body = &bytes[end + 4..];
    let field = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    match field("content-length") {
        Some(length) => {
            let length: usize = length.parse().unwrap();
            (body.len() == length).then_some((status, Cow::Borrowed(body)))
        }
        None => {
            assert_eq!(field("transfer-encoding"), Some("chunked"), "{head}");
            chunks(body).map(|body| (status, Cow::Owned(body)))
        }
    }
}

/// The chunks of a body, when the last of them is there.
fn chunks(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let length =
            usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        let chunk = bytes.get(line + 2..line + 2 + length)?;
        body.extend_from_slice(chunk);
        bytes = bytes.get(line + 4 + length..)?;
        if length == 0 {
            return Some(body);
        }
    }
}
