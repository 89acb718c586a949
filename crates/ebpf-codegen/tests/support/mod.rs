//! Random functions, and two machines to run them on: one for the IR, one for bytecode. They share no arithmetic
//! with the compiler.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod bytecode;
pub mod eval;
pub mod generate;
pub mod memory;
