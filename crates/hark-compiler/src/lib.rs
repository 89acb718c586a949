//! The language: names, types, builtins, probes, lowering to IR.
