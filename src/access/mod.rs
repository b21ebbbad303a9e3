//! Who is calling: API keys.

mod error;
mod gate;
mod key;

pub use error::AccessError;
pub use gate::Gate;
pub use key::{NewKey, issue, list, revoke};
