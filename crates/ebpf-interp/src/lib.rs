//! An interpreter for eBPF and a simulated kernel for tests.
