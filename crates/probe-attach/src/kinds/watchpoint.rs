//! `watchpoint`: the debug registers.

use crate::error::AttachError;
use crate::point::{AttachPoint, Place};
use hark_object::ProbeSpec;

const READ: u32 = 1;
const WRITE: u32 = 2;
const EXECUTE: u32 = 4;

pub(crate) fn expand(
    spec: &ProbeSpec,
    addr: u64,
    len: u64,
    mode: &str,
) -> Result<Vec<AttachPoint>, AttachError> {
    if !matches!(len, 1 | 2 | 4 | 8) {
        return Err(AttachError::invalid(spec, "the length must be 1, 2, 4 or 8 bytes"));
    }
    let mut access = 0;
    for letter in mode.chars() {
        let bit = match letter {
            'r' => READ,
            'w' => WRITE,
            'x' => EXECUTE,
            _ => return Err(AttachError::invalid(spec, "the mode is made of the letters r, w and x")),
        };
        if access & bit != 0 {
            return Err(AttachError::invalid(spec, format!("the mode names {letter} twice")));
        }
        access |= bit;
    }
    // What the debug registers of x86-64 can do.
    if !matches!(access, WRITE | 3 | EXECUTE) {
        return Err(AttachError::invalid(spec, "the mode must be w, rw or x"));
    }
    Ok(vec![AttachPoint::new(spec, Place::Watchpoint { addr, len, access })])
}
