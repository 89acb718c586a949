//! Set-up, guests, kernels, benchmarks.
fn main() {}
