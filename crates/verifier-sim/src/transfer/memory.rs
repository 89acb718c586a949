//! Loads and stores.

use crate::explore::{Flow, Walk};
use crate::rules::{
    self, Check, alignment, atomic_target, frame_pointer, memory_bounds, null_check, one_pointer_kind,
    packet_bounds, pointer_kind, writable_memory,
};
use crate::state::{Flags, Kind, RegState};
use bpf_facts::{MapFlags, MapType};
use ebpf_asm::{Operand, Reg, Size};

/// What is done with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read.
    Read,
    /// Written.
    Write,
}

/// Whether an access is ordered with others (load-acquire, store-release).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ordering {
    /// No.
    Plain,
    /// Yes: aligned, and on plain memory only.
    Atomic,
}

impl Walk<'_> {
    pub(crate) fn load(&mut self, size: Size, sext: bool, dst: Reg, base: Reg, off: i16) -> Check<Flow> {
        self.load_with(size, sext, dst, base, off, Ordering::Plain)
    }

    pub(crate) fn load_with(
        &mut self,
        size: Size,
        sext: bool,
        dst: Reg,
        base: Reg,
        off: i16,
        ordering: Ordering,
    ) -> Check<Flow> {
        let ptr = self.read(base)?;
        let atomic = ordering == Ordering::Atomic;
        if atomic {
            atomic_target::check(&ptr, base)?;
        }
        frame_pointer::check(dst)?;
        let mut value = self.load_value(size.bytes(), sext, base, i32::from(off), atomic)?;
        if value.is_scalar() && size != Size::Dw {
            if sext {
                // What the sign changes is another number than the one that lies there.
                if !value.val.fits(size.bytes() * 8 - 1) {
                    value.unlink();
                }
                value.val.sign_extend(size.bytes(), self.env.era);
            } else {
                value.val.truncate(size.bytes(), self.env.era);
            }
        }
        let (at, version) = (self.pc as usize, self.env.profile.version);
        one_pointer_kind::check_load(&mut self.ptr_uses[at], &ptr, base, !atomic, version)?;
        if value.is_scalar() {
            value.val.heal();
        }
        self.write(dst, value)?;
        Ok(Flow::Next)
    }

    pub(crate) fn store(&mut self, size: Size, base: Reg, off: i16, src: Operand) -> Check<Flow> {
        self.store_with(size, base, off, src, Ordering::Plain)
    }

    pub(crate) fn store_with(
        &mut self,
        size: Size,
        base: Reg,
        off: i16,
        src: Operand,
        ordering: Ordering,
    ) -> Check<Flow> {
        if let Operand::Reg(r) = src {
            self.read(r)?;
        }
        let ptr = self.read(base)?;
        let atomic = ordering == Ordering::Atomic;
        if atomic {
            atomic_target::check(&ptr, base)?;
        }
        self.store_value(size.bytes(), base, i32::from(off), Some(src), atomic)?;
        let at = self.pc as usize;
        one_pointer_kind::check(&mut self.ptr_uses[at], &ptr, base)?;
        Ok(Flow::Next)
    }

    /// The value of `size` bytes at `base + off`, before truncation.
    pub(crate) fn load_value(
        &mut self,
        size: u32,
        sext: bool,
        base: Reg,
        off: i32,
        strict: bool,
    ) -> Check<RegState> {
        let ptr = *self.st.reg(base);
        alignment::check(&ptr, base, off, size, strict)?;
        let at = i64::from(ptr.off) + i64::from(off);
        match ptr.kind {
            Kind::Stack => self.load_stack(base, i64::from(off), size),
            Kind::Ctx => self.load_context(&ptr, base, at, size, sext),
            Kind::Btf => self.load_object(&ptr, base, at, size),
            Kind::MapValue => {
                self.check_map_value(&ptr, base, at, size, false, Access::Read)?;
                let map = self.env.map(ptr.aux);
                let fixed = map.frozen && map.flags & MapFlags::RDONLY_PROG != 0 && map.ty == MapType::Array;
                if fixed && map.max_entries != 1 && ptr.val.as_const().is_some() {
                    return self.unsure("a read-only array of several elements is read");
                }
                Ok(self.known_map_content(&ptr, at, size, sext).unwrap_or(RegState::UNKNOWN))
            }
            Kind::Map => self.unsure("a field of struct bpf_map is read"),
            Kind::NotInit
            | Kind::Scalar
            | Kind::MapKey
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::PacketEnd
            | Kind::Mem
            | Kind::Buf
            | Kind::Func
            | Kind::TpBuffer
            | Kind::Socket
            | Kind::SockCommon
            | Kind::TcpSock
            | Kind::XdpSock
            | Kind::Dynptr
            | Kind::FlowKeys => {
                if !ptr.is_untrusted_mem() {
                    self.check_plain(&ptr, base, at, size, false, Access::Read)?;
                }
                Ok(RegState::UNKNOWN)
            }
        }
    }

    /// `src` (`None`: anything) goes to `size` bytes at `base + off`.
    pub(crate) fn store_value(
        &mut self,
        size: u32,
        base: Reg,
        off: i32,
        src: Option<Operand>,
        strict: bool,
    ) -> Check {
        let ptr = *self.st.reg(base);
        alignment::check(&ptr, base, off, size, strict)?;
        let at = i64::from(ptr.off) + i64::from(off);
        match ptr.kind {
            Kind::Stack => self.store_stack(base, i64::from(off), size, src),
            Kind::Ctx => self.store_context(&ptr, base, at, size),
            Kind::Btf => {
                null_check::check(&ptr, base, "writing")?;
                Err(writable_memory::read_only(&ptr, base))
            }
            Kind::Map => Err(writable_memory::read_only(&ptr, base)),
            Kind::MapValue => self.check_map_value(&ptr, base, at, size, false, Access::Write),
            Kind::NotInit
            | Kind::Scalar
            | Kind::MapKey
            | Kind::Packet
            | Kind::PacketMeta
            | Kind::PacketEnd
            | Kind::Mem
            | Kind::Buf
            | Kind::Func
            | Kind::TpBuffer
            | Kind::Socket
            | Kind::SockCommon
            | Kind::TcpSock
            | Kind::XdpSock
            | Kind::Dynptr
            | Kind::FlowKeys => self.check_plain(&ptr, base, at, size, false, Access::Write),
        }
    }

    pub(crate) fn check_map_value(
        &self,
        ptr: &RegState,
        r: Reg,
        at: i64,
        size: u32,
        zero_ok: bool,
        access: Access,
    ) -> Check {
        null_check::check(ptr, r, "accessing it")?;
        let map = self.env.map(ptr.aux);
        if access == Access::Write && map.flags & MapFlags::RDONLY_PROG != 0 {
            return Err(writable_memory::read_only(ptr, r));
        }
        if access == Access::Read && map.flags & crate::WRONLY_PROG != 0 {
            return Err(rules::Rule::WritableMemory
                .reject(&[r], format!("r{} holds {ptr}, which cannot be read", r.index())));
        }
        memory_bounds::check(ptr, r, at, size, map.value_size, zero_ok)?;
        for special in &map.special {
            let (lo, hi) = (i64::from(special.off), i64::from(special.off) + i64::from(special.size));
            if ptr.val.smin + at < hi && lo < ptr.val.umax as i64 + at + i64::from(size) {
                if matches!(special.kind, crate::SpecialKind::Kptr { .. }) {
                    return self.unsure("a kernel pointer in a map value is accessed");
                }
                return Err(rules::Rule::MemoryBounds.reject(
                    &[r],
                    format!(
                        "r{} holds {ptr}; bytes {lo} to {hi} hold a kernel structure and cannot be accessed",
                        r.index()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Content of a read-only map that cannot change any more.
    fn known_map_content(&self, ptr: &RegState, at: i64, size: u32, sext: bool) -> Option<RegState> {
        let map = self.env.map(ptr.aux);
        if map.ty != MapType::Array || map.flags & MapFlags::RDONLY_PROG == 0 {
            return None;
        }
        let data = map.data.as_ref().filter(|_| map.frozen)?;
        let start = usize::try_from(at.checked_add(ptr.val.as_const()? as i64)?).ok()?;
        // Only the first element's address is asked for, as in the kernel: the offset lies within its value.
        let bytes = data.get(start..start + size as usize)?;
        let mut raw = [0; 8];
        raw[..bytes.len()].copy_from_slice(bytes);
        let v = u64::from_le_bytes(raw);
        let shift = 64 - size * 8;
        Some(RegState::constant(if sext { ((v << shift) as i64 >> shift) as u64 } else { v }))
    }

    /// Memory that is neither stack, context, map value nor kernel object. `at` includes the fixed offset.
    pub(crate) fn check_plain(
        &mut self,
        ptr: &RegState,
        r: Reg,
        at: i64,
        size: u32,
        zero_ok: bool,
        access: Access,
    ) -> Check {
        if ptr.kind != Kind::Scalar {
            null_check::check(ptr, r, "accessing it")?;
        }
        let writing = access == Access::Write;
        if writing && ptr.flags.has(Flags::RDONLY) {
            return Err(writable_memory::read_only(ptr, r));
        }
        match ptr.kind {
            Kind::MapKey => {
                if writing {
                    return Err(writable_memory::read_only(ptr, r));
                }
                memory_bounds::check(ptr, r, at, size, self.env.map(ptr.aux).key_size, zero_ok)
            }
            Kind::Mem => memory_bounds::check(ptr, r, at, size, ptr.aux, zero_ok),
            Kind::Packet | Kind::PacketMeta => {
                if writing && !self.env.prog.may_write_packets() {
                    return Err(writable_memory::read_only(ptr, r));
                }
                packet_bounds::check(ptr, r, at, size, zero_ok)
            }
            Kind::Buf | Kind::TpBuffer => memory_bounds::check_buffer(ptr, r, at),
            Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock | Kind::FlowKeys => {
                self.unsure(format!("fields of {} are accessed", ptr.kind.name()))
            }
            Kind::NotInit
            | Kind::Scalar
            | Kind::PacketEnd
            | Kind::Func
            | Kind::Dynptr
            | Kind::Map
            | Kind::MapValue
            | Kind::Ctx
            | Kind::Stack
            | Kind::Btf => Err(pointer_kind::no_memory(ptr, r)),
        }
    }
}
