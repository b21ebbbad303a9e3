//! `kindred serve`.

use clap::Args;

use super::demo;
use super::prepare::{Failure, prepared};
use crate::runtime::{Application, Mode, Settings, serve};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Load a demonstration organization (German and English), and print a key and three calls to paste
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let config = prepared(&self.settings)?;
        let application = Application::start(&config, Mode::Service).await?;
        let service = serve(application, &config).await?;
        tracing::info!(address = %service.address(), "serving");
        if self.demo {
            let told = tokio::select! {
                told = demo::load(service.application(), &config, service.address()) => told,
                () = told_to_stop() => Ok(()),
            };
            if let Err(error) = told {
                service.stop().await;
                return Err(error);
            }
        }
        service.run_until(told_to_stop()).await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Resolves at SIGTERM or Ctrl-C.
async fn told_to_stop() {
    let interrupted = async {
        // Without a handler there is no orderly way to stop: then only a kill remains.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = interrupted => {}
        () = terminated => {}
    }
}
