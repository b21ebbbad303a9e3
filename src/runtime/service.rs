//! A running service: its ports, and its orderly end.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Application, Config, StartError};
use crate::grpc::Server;
use crate::telemetry;

/// A running service.
pub struct Service {
    application: Application,
    address: SocketAddr,
    drain: Duration,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    metrics: Option<JoinHandle<()>>,
}

/// Serves an application.
///
/// # Errors
/// Where an address is taken or may not be used; the application is ended then.
pub async fn serve(application: Application, config: &Config) -> Result<Service, StartError> {
    let ports = match Ports::open(config).await {
        Ok(ports) => ports,
        Err(error) => {
            application.stop(config.drain).await;
            return Err(error);
        }
    };
    let (tasks, stop) = application.serving();
    let server = Server::new(application.services.clone(), config.grpc.clone(), stop);
    let server = tasks.spawn(server.serve(ports.grpc));
    let metrics = ports.metrics.map(|export| tasks.spawn(export));
    Ok(Service { application, address: ports.address, drain: config.drain, server, metrics })
}

struct Ports {
    grpc: TcpListener,
    address: SocketAddr,
    metrics: Option<telemetry::MetricsExport>,
}

impl Ports {
    async fn open(config: &Config) -> Result<Self, StartError> {
        let refused = |cause| StartError::Listen {
            what: "gRPC",
            address: config.listen,
            cause,
            setting: "--listen (KINDRED_LISTEN)",
        };
        let grpc = TcpListener::bind(config.listen).await.map_err(refused)?;
        let address = grpc.local_addr().map_err(refused)?;
        let metrics = match config.metrics_listen {
            Some(listen) => telemetry::start_metrics(listen).map_err(StartError::Metrics)?,
            None => None,
        };
        Ok(Self { grpc, address, metrics })
    }
}

impl Service {
    /// Where gRPC is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is served.
    pub fn application(&self) -> &Application {
        &self.application
    }

    /// Waits until `told` resolves, the server fails, or the private Postgres is given up; then ends everything.
    pub async fn run_until(mut self, told: impl Future<Output = ()>) -> Result<(), StartError> {
        let failure = tokio::select! {
            () = told => None,
            error = self.application.postgres_failed() => Some(StartError::Postgres(error)),
            ended = &mut self.server => match ended {
                Ok(Err(error)) => Some(StartError::Transport(error)),
                _ => None,
            },
        };
        if !self.stop().await {
            tracing::warn!("some calls or tasks had not ended when the time for draining was over");
        }
        failure.map_or(Ok(()), Err)
    }

    /// Ends everything in order; tells whether everything had ended in time.
    pub async fn stop(self) -> bool {
        if let Some(metrics) = &self.metrics {
            metrics.abort();
        }
        self.application.stop(self.drain).await
    }
}
