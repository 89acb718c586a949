//! Golden harness, generators, oracles.
