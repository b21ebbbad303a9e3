//! The only place that builds things: configuration, wiring, start and shutdown.

mod application;
mod checkup;
mod config;
mod databases;
mod embedders;
mod error;
mod service;
mod settings;
mod write_threads;

pub use application::{Application, Mode};
pub use checkup::{Checkup, CheckupError, Which};
pub use config::{Config, DatabaseChoice, EmbedderChoice};
pub use databases::{Databases, Urls, owner_url, postgres_programs};
pub use error::StartError;
pub use service::{Service, serve};
pub use settings::Settings;
