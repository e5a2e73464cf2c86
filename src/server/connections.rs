//! Connections: how many, how patient with each, and encrypted or not.
//!
//! Its own file because it is all that happens before a request is one: slow senders of heads and too many connections
//! are met here, and nobody behind sees them.

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

/// How often durations are put into their buckets.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// A certificate and its key.
#[derive(Clone)]
pub struct Tls(RustlsConfig);

impl Tls {
    /// Reads them from files in PEM.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the file and what is wrong with it.
    pub fn load(certificate: &Path, key: &Path) -> Result<Tls> {
        let wrong = |path: &Path, wrong: &dyn std::fmt::Display| {
            Error::Invalid(format!(
                "{}: {wrong}; wanted a certificate and its private key in PEM",
                path.display()
            ))
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|error| wrong(certificate, &error))?;
        if chain.is_empty() {
            return Err(wrong(certificate, &"there is no certificate in it"));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(certificate, &error))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| wrong(key, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(RustlsConfig::from_config(Arc::new(config))))
    }
}

/// Serves until `shutdown` ends, then lets running requests finish for as long as `grace`.
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
    let tidying = tokio::spawn(async move {
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            metrics.tidy();
        }
    });
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum_server::from_tcp(listener)?.handle(handle);
    let most = options.max_connections.min(Semaphore::MAX_PERMITS);
    let few = Few { here: Arc::new(Semaphore::new(most)), inner: NoDelayAcceptor::new() };
    let served = match tls {
        Some(Tls(config)) => {
            let tls = RustlsAcceptor::new(config).handshake_timeout(options.header_timeout).acceptor(few);
            patient(server.acceptor(tls), &options).serve(service).await
        }
        None => patient(server.acceptor(few), &options).serve(service).await,
    };
    stopping.abort();
    tidying.abort();
    served
}

/// Only HTTP/1: another version would be told by what a connection says first, and one that says nothing would be
/// waited for for ever.
fn patient<A>(server: Server<SocketAddr, A>, options: &ServerOptions) -> Server<SocketAddr, A> {
    let mut server = server.http1_only();
    let builder = server.http_builder();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_headers(MAX_HEADERS);
    server
}

/// Most header fields of a request.
const MAX_HEADERS: usize = 64;

/// Takes so many connections, and closes others at once.
#[derive(Clone)]
struct Few {
    here: Arc<Semaphore>,
    inner: NoDelayAcceptor,
}

type Accepted<S> = Pin<Box<dyn Future<Output = io::Result<(TcpStream, Held<S>)>> + Send>>;

impl<S: Send + 'static> Accept<TcpStream, S> for Few {
    type Stream = TcpStream;
    type Service = Held<S>;
    type Future = Accepted<S>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let permit = Arc::clone(&self.here).try_acquire_owned();
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let permit = permit.map_err(|_| io::Error::other("too many connections (--max-connections)"))?;
            let (stream, inner) = accepted.await?;
            Ok((stream, Held { inner, _permit: Arc::new(permit) }))
        })
    }
}

/// What answers on a connection, for as long as that lasts.
#[derive(Clone)]
struct Held<S> {
    inner: S,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Held<S> {
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
