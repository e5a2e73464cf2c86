//! Serves connections from a listening socket, with the connection limit, the header timeout and TLS. All of these
//! apply before a request reaches a route.

use super::options::ServerOptions;
use super::{App, router};
use crate::error::{Error, Result};
use axum::extract::Request;
use axum_server::accept::{Accept, NoDelayAcceptor};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

/// Interval at which recorded durations are moved into the histograms' buckets.
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A TLS certificate and its private key.
#[derive(Clone)]
pub struct Tls(RustlsConfig);

impl Tls {
    /// Reads a certificate chain and its private key from PEM files.
    ///
    /// # Errors
    /// Returns [`Error::Invalid`], which names the file, if a file cannot be read or is not valid.
    pub fn load(certificate: &Path, key: &Path) -> Result<Tls> {
        let invalid = |path: &Path, reason: &dyn std::fmt::Display| {
            Error::Invalid(format!(
                "{}: {reason}; --tls-cert must be a certificate and --tls-key the private key of that certificate, \
                 both in PEM format",
                path.display()
            ))
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|error| invalid(certificate, &error))?;
        if chain.is_empty() {
            return Err(invalid(certificate, &"the file has no certificate"));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| invalid(key, &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(certificate, &error))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| invalid(key, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(RustlsConfig::from_config(Arc::new(config))))
    }
}

/// Serves requests until `shutdown` completes, then waits up to `grace` for running requests to finish.
pub async fn serve(
    listener: TcpListener,
    app: App,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let options = app.options().clone();
    let handle = Handle::new();
    let stop = handle.clone();
    let stopping = tokio::spawn(async move {
        shutdown.await;
        stop.graceful_shutdown(Some(grace));
    });
    let metrics = Arc::clone(app.metrics());
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP_INTERVAL).await;
            metrics.run_upkeep();
        }
    });
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum_server::from_tcp(listener)?.handle(handle);
    let max = options.max_connections.min(Semaphore::MAX_PERMITS);
    let acceptor = LimitedAcceptor { permits: Arc::new(Semaphore::new(max)), inner: NoDelayAcceptor::new() };
    let served = match tls {
        Some(Tls(config)) => {
            let tls =
                RustlsAcceptor::new(config).handshake_timeout(options.header_timeout).acceptor(acceptor);
            http1_only(server.acceptor(tls), &options).serve(service).await
        }
        None => http1_only(server.acceptor(acceptor), &options).serve(service).await,
    };
    stopping.abort();
    upkeep.abort();
    served
}

/// Restricts a server to HTTP/1, with a timeout for the headers and a limit on their number. If other HTTP versions
/// were allowed too, hyper would wait without a timeout for the first bytes of a connection to detect the version.
fn http1_only<A>(server: Server<SocketAddr, A>, options: &ServerOptions) -> Server<SocketAddr, A> {
    let mut server = server.http1_only();
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(MAX_HEADERS);
    server
}

/// Maximum number of header fields in a request.
const MAX_HEADERS: usize = 64;

/// Accepts connections while permits are left, and closes further connections at once.
#[derive(Clone)]
struct LimitedAcceptor {
    permits: Arc<Semaphore>,
    inner: NoDelayAcceptor,
}

type AcceptFuture<S> = Pin<Box<dyn Future<Output = io::Result<(TcpStream, LimitedService<S>)>> + Send>>;

impl<S: Send + 'static> Accept<TcpStream, S> for LimitedAcceptor {
    type Stream = TcpStream;
    type Service = LimitedService<S>;
    type Future = AcceptFuture<S>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let permit = permit.map_err(|_| io::Error::other("too many connections (--max-connections)"))?;
            let (stream, inner) = accepted.await?;
            Ok((stream, LimitedService { inner, _permit: Arc::new(permit) }))
        })
    }
}

/// The service of one connection; holds the connection's permit until it is dropped.
#[derive(Clone)]
struct LimitedService<S> {
    inner: S,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for LimitedService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.inner.call(request)
    }
}
