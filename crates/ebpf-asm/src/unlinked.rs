//! Slots of programs that are not linked yet. Their maps, functions and addresses are still numbers of a file, so they
//! cannot be decoded as what they will be; whoever links them reads and fills in these fields.
//!
//! Source: RFC 9669, section 5.4, and `include/uapi/linux/bpf.h`.

/// The opcode of a load of 64 bits, which takes two slots.
pub const LOAD_IMM64: u8 = 0x18;
/// The opcode of a call.
pub const CALL: u8 = 0x85;

/// `src` of a load of two slots: a map.
pub const MAP_FD: u8 = 1;
/// `src` of a load of two slots: an address in a map's value; the second slot has the offset.
pub const MAP_VALUE: u8 = 2;
/// `src` of a load of two slots: the address of a kernel variable.
pub const BTF_VAR: u8 = 3;
/// `src` of a load of two slots: the address of a function of the program.
pub const FUNC: u8 = 4;

/// `src` of a call: a function of the program.
pub const CALL_LOCAL: u8 = 1;
/// `src` of a call: a function of the kernel.
pub const CALL_KFUNC: u8 = 2;

/// The `src` field of a slot.
pub fn src(slot: &[u8; 8]) -> u8 {
    slot[1] >> 4
}

/// The `imm` field of a slot.
pub fn imm(slot: &[u8; 8]) -> i32 {
    i32::from_le_bytes([slot[4], slot[5], slot[6], slot[7]])
}

/// Sets the `src` field, of which only the low four bits count.
pub fn set_src(slot: &mut [u8; 8], src: u8) {
    slot[1] = slot[1] & 0x0f | src << 4;
}

/// Sets the `imm` field.
pub fn set_imm(slot: &mut [u8; 8], imm: i32) {
    slot[4..].copy_from_slice(&imm.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Callee, Imm64, Insn, InsnIdx, MapRef, Program, Reg, encode};

    /// The fields are those that the encoder writes.
    #[test]
    fn fields_are_where_the_encoder_puts_them() {
        let wide = |imm| Insn::LoadImm64 { dst: Reg::R1, imm };
        let exit = InsnIdx(6);
        let insns = vec![
            wide(Imm64::MapFd(MapRef(0))),
            wide(Imm64::MapValue(MapRef(0), 8)),
            wide(Imm64::BtfVar { btf_id: 7, btf_fd: 0 }),
            wide(Imm64::Func(exit)),
            Insn::Call(Callee::Local(exit)),
            Insn::Call(Callee::Kfunc { btf_id: 9, module: 0 }),
            Insn::Exit,
        ];
        let slots = encode(&Program { insns, locs: Vec::new() }, &|_| 5).expect("well-formed");
        let expected = [
            (0, LOAD_IMM64, MAP_FD, 5),
            (2, LOAD_IMM64, MAP_VALUE, 5),
            (3, 0, 0, 8),
            (4, LOAD_IMM64, BTF_VAR, 7),
            (6, LOAD_IMM64, FUNC, 3),
            (8, CALL, CALL_LOCAL, 1),
            (9, CALL, CALL_KFUNC, 9),
        ];
        for (at, opcode, from, number) in expected {
            let slot: [u8; 8] = slots[at];
            assert_eq!((slot[0], src(&slot), imm(&slot)), (opcode, from, number), "slot {at}");
        }
    }

    #[test]
    fn setting_a_field_leaves_the_others_alone() {
        let mut slot = [LOAD_IMM64, 0x03, 1, 2, 0, 0, 0, 0];
        set_src(&mut slot, MAP_VALUE);
        set_imm(&mut slot, -2);
        assert_eq!(slot, [LOAD_IMM64, 0x23, 1, 2, 0xfe, 0xff, 0xff, 0xff]);
    }
}
