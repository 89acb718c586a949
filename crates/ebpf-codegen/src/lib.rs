//! SSA IR, passes, selection, register allocation, emission of eBPF.
