//! Generators that know what they generate.

pub mod script;
