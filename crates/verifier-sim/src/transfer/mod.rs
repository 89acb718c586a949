//! What each instruction does to what is known. What it must not do is in `rules`.

mod alu;
mod arithmetic;
mod atomic;
mod branch;
mod call;
mod context;
mod dynptr;
mod global;
mod helper;
mod iterator;
mod jump;
mod kfunc;
mod load;
mod memory;
mod object;
mod pointer;
mod stack;

pub(crate) use iterator::iter_next_calls;
pub(crate) use memory::Ordering;
pub(crate) use object::UNTRUSTED_SINCE;
