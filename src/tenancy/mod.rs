//! Who is calling, and what they may do: values, no I/O.

mod caller;

pub use caller::{Caller, Denied, Role, Subject};
