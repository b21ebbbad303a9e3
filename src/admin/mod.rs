//! What operators do with the owner's rights: organizations and their keys.

mod error;
mod organizations;

pub use error::AdminError;
pub use organizations::Administrator;
