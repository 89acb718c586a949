//! Loads an object, runs the event loop, prints maps and events.

mod names;
pub mod render;
mod value;

pub use names::{FilePlace, Names, Symbol};
pub use value::{Members, Value, compare};
