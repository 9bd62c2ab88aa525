//! A minimal HTTP client: one GET request, one response, one connection.

use std::io::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a GET request and returns the status code and the body. The timeout is `limit`.
pub async fn get(address: SocketAddr, path: &str, limit: Duration) -> std::io::Result<(u16, String)> {
    let text =
        tokio::time::timeout(limit, exchange(address, path)).await.unwrap_or_else(|late| Err(late.into()))?;
    let invalid = || Error::other(format!("the response to GET {path} is not HTTP: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    Ok((status, body.to_owned()))
}

/// Uses HTTP/1.0: the response is not chunked, and the server closes the connection after it.
async fn exchange(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}
