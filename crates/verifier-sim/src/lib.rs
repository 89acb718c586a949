//! Abstract interpretation of eBPF: what the kernel's verifier would say.
