//! A small HTTP server for scrapes: read-only, bounded in connections, time and memory.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::metrics::{self, Exporter};

/// Most bytes of a request's head; hyper accepts no smaller bound.
const HEAD_BYTES: usize = 8 * 1024;

/// Wait after a failed accept. Out of file descriptors, the next one would fail at once.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What clients may take of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at once, at least 1; others wait in the kernel's backlog. Default: 64.
    pub connections: usize,
    /// Time until the head of the request is there. Default: 5 s.
    pub head: Duration,
    /// Time until the response is taken, head included. Default: 10 s.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(5),
            connection: Duration::from_secs(10),
        }
    }
}

/// Why there is no socket to serve metrics on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket listens there.
    #[error(
        "can't serve metrics on {0}: the port is in use; another anycast-probe may run, or set `[metrics] listen` (--metrics) to another port or \"off\""
    )]
    InUse(SocketAddr),
    /// The address is not on this machine.
    #[error(
        "can't serve metrics on {0}: this machine has no such address; set `[metrics] listen` (--metrics) to one of its own, like \"127.0.0.1:9853\""
    )]
    NoSuchAddress(SocketAddr),
    /// A port below 1024, without the privilege.
    #[error("can't serve metrics on {0}: permission denied; set `[metrics] listen` (--metrics) to a port from 1024 on")]
    Denied(SocketAddr),
    /// Anything else.
    #[error(
        "can't serve metrics on {address}: {cause}; set `[metrics] listen` (--metrics) to another address or \"off\""
    )]
    Other {
        /// Where.
        address: SocketAddr,
        /// What the kernel said. It is part of the text, hence no `source`.
        cause: io::Error,
    },
}

/// Opens the socket, apart from [`serve`] so that a daemon can fail before it starts its work.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress(address),
        io::ErrorKind::PermissionDenied => BindError::Denied(address),
        _ => BindError::Other { address, cause },
    })
}

/// Serves `GET /metrics` until the future is dropped, which closes every connection.
///
/// A connection carries one request: it can't be held, and a scraper opens the next in microseconds.
pub async fn serve(listener: TcpListener, exporter: Arc<Exporter>, limits: Limits) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= limits.connections.max(1) {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, Arc::clone(&exporter), limits));
            }
            Err(error) => {
                tracing::warn!(%error, "metrics: no connection accepted");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, exporter: Arc<Exporter>, limits: Limits) {
    let service = service_fn(|request| {
        let response = respond(&request, &exporter);
        async { Ok::<_, Infallible>(response) }
    });
    let exchange = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(limits.connection, exchange).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "metrics: connection closed"),
        Err(_) => tracing::debug!("metrics: connection closed, its client is too slow"),
    }
}

/// The response to a request, whose body is never read.
fn respond(request: &Request<Incoming>, exporter: &Exporter) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/" | "/metrics") {
        return plain(StatusCode::NOT_FOUND, "not found: metrics are at /metrics\n");
    }
    // hyper leaves out the body of a response to HEAD.
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this server is read-only\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    if path == "/" {
        let here = concat!(
            "anycast-probe ",
            env!("CARGO_PKG_VERSION"),
            ": metrics are at /metrics\n"
        );
        return plain(StatusCode::OK, here);
    }
    match exporter.encode() {
        Ok(text) => typed(StatusCode::OK, metrics::CONTENT_TYPE, text.into()),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be encoded\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn typed(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
