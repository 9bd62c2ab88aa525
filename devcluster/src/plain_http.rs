//! The shortest HTTP client there is: one GET, one answer, one connection.

use std::io::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body of the answer to a GET; fails after `limit`.
pub async fn get(address: SocketAddr, path: &str, limit: Duration) -> std::io::Result<(u16, String)> {
    let text =
        tokio::time::timeout(limit, exchange(address, path)).await.unwrap_or_else(|late| Err(late.into()))?;
    let invalid = || Error::other(format!("the answer to {path} is no HTTP: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    Ok((status, body.to_owned()))
}

/// HTTP/1.0: the answer is neither chunked nor followed by another, so it ends with the connection.
async fn exchange(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
