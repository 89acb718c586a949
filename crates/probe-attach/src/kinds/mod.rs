//! One file per kind of place: how it is named, and how a program gets there.

pub(crate) mod counter;
pub(crate) mod kprobe;
pub(crate) mod on_demand;
pub(crate) mod raw_tracepoint;
pub(crate) mod timer;
pub(crate) mod tracepoint;
pub(crate) mod typed;
pub(crate) mod uprobe;
pub(crate) mod usdt;
pub(crate) mod watchpoint;
