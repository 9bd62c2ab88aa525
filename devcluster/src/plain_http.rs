//! A minimal HTTP client: one request, one response, one connection.

use std::io::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends a GET request and returns the status code and the body. The timeout is `limit`.
pub async fn get(address: SocketAddr, path: &str, limit: Duration) -> std::io::Result<(u16, String)> {
    send(address, format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"), limit).await
}

/// Sends a POST request with a JSON body; otherwise as [`get`].
pub async fn post(
    address: SocketAddr,
    path: &str,
    json: &str,
    limit: Duration,
) -> std::io::Result<(u16, String)> {
    let length = json.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n");
    send(address, format!("{head}Content-Length: {length}\r\n\r\n{json}"), limit).await
}

async fn send(address: SocketAddr, request: String, limit: Duration) -> std::io::Result<(u16, String)> {
    let sent = tokio::time::timeout(limit, exchange(address, &request));
    let text = sent.await.unwrap_or_else(|late| Err(late.into()))?;
    let line = request.lines().next().unwrap_or_default();
    let invalid = || Error::other(format!("the response to {line} is not HTTP: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
    Ok((status, body.to_owned()))
}

/// Uses HTTP/1.0: the response is not chunked, and the server closes the connection after it.
async fn exchange(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}
