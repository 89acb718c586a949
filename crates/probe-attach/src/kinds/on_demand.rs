//! `begin`, `end`, `self:signal`, `test`, `bench`: programs that we run ourselves.

use crate::error::AttachError;
use crate::point::{AttachPoint, Place};
use bpf_syscall::{Kernel, ProgFd, TestRun};
use hark_object::ProbeSpec;

pub(crate) fn expand(spec: &ProbeSpec) -> Vec<AttachPoint> {
    vec![AttachPoint::new(spec, Place::OnDemand)]
}

/// Runs a program once, in this process, and returns what it returned. It must be of a type that can be run so: a
/// raw tracepoint.
///
/// # Errors
/// If the kernel refuses: raw tracepoints can be run since 5.10.
pub fn run_once(kernel: &dyn Kernel, prog: &ProgFd, name: &str) -> Result<u32, AttachError> {
    kernel
        .prog_test_run(prog, &TestRun::default())
        .map(|result| result.retval)
        .map_err(|source| AttachError::kernel(name, source))
}
