//! Bytes, instructions and text.

use super::Finding;
use ebpf_asm::{MapRef, decode, encode, parse};

/// Decodes bytes, encodes and prints what came out, and reads both back.
///
/// # Errors
/// If one of the ways does not lead back.
pub fn assembler(bytes: &[u8]) -> Finding {
    let (slots, _) = bytes.as_chunks::<8>();
    // As text, whatever it says.
    let _ = parse(&String::from_utf8_lossy(bytes));
    let Ok(program) = decode(slots) else { return Ok(()) };
    let again = match encode(&program, &|MapRef(fd)| fd.cast_signed()) {
        Ok(slots) => slots,
        Err(error) => return Err(format!("cannot be encoded: {error:?}\n{program}")),
    };
    // Of two encodings of a jump the short one is written, so instructions are compared, not bytes.
    match decode(&again) {
        Ok(back) if back.insns == program.insns => {}
        other => return Err(format!("encoded and decoded it is {other:?}\n{program}")),
    }
    let text = program.to_string();
    match parse(&text) {
        Ok(back) if back.insns == program.insns => Ok(()),
        other => Err(format!("printed and parsed it is {other:?}\n{text}\n{program:?}")),
    }
}
