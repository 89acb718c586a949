//! How hark is tested: case files, the golden harness, the runner of cases on a real kernel.
//!
//! A test is data: one case is one file that holds the input, where it makes sense, and what must come out
//! ([`case`]). Golden cases look at what the compiler makes of the input ([`golden`]); run cases start the `hark`
//! binary on a kernel and look at what it prints ([`run`]); comparing cases start bpftrace besides ([`compare`]).

pub mod agree;
pub mod case;
pub mod compare;
pub mod conformance;
pub mod corpus;
pub mod generate;
pub mod golden;
pub mod languages;
pub mod mutate;
pub mod oracle;
pub mod pattern;
pub mod reference;
pub mod run;
pub mod scripts;
pub mod value;
