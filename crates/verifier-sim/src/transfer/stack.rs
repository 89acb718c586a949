//! Loads and stores of stack: spills, fills, and bytes of unknown content.

use crate::bounds::Bounds;
use crate::era::Change;
use crate::explore::Walk;
use crate::rules::{Check, initialised_stack, spill_size, stack_bounds};
use crate::state::{Byte, Kind, RegState, Slot};
use crate::tnum::Tnum;
use ebpf_asm::{Operand, Reg};

/// Bytes of a frame.
pub(crate) const FRAME_BYTES: i64 = 512;

/// Slot and, from its upper end, byte of an offset from the top of the frame.
pub(crate) fn place(off: i64) -> (usize, usize) {
    let below = (-off - 1) as usize;
    (below / 8, below % 8)
}

/// Who uses stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StackUse {
    /// A load.
    Load,
    /// A store.
    Store,
    /// A helper.
    Helper,
}

impl Walk<'_> {
    /// Checks `size` bytes at `base + off` and makes room for them; returns the lowest and highest first byte.
    pub(crate) fn stack_range(&mut self, r: Reg, off: i64, size: i64, by: StackUse) -> Check<(i64, i64)> {
        let base = *self.st.reg(r);
        let era = self.env.era;
        let off = i64::from(base.off) + off;
        if base.val.as_const().is_none() && !era.has(Change::VariableStackOffset) {
            return self.unsure("stack at a variable offset");
        }
        let newer = era.has(Change::DeepUninitStack);
        let frame = self.st.frame(base.frame);
        let depth = if by == StackUse::Load && !newer { i64::from(frame.stack_bytes()) } else { FRAME_BYTES };
        let subprog = frame.subprog;
        let (min, max) = stack_bounds::check(&base, r, off, size, depth)?;
        if newer || by == StackUse::Store {
            self.grow_stack(base.frame, -min);
        } else {
            // Counted as used, but not known to be there.
            let used = &mut self.depths[subprog as usize];
            *used = (*used).max(-min as u32);
        }
        Ok((min, max))
    }

    pub(crate) fn grow_stack(&mut self, f: u8, bytes: i64) {
        let bytes = (bytes as u32).next_multiple_of(8);
        if self.st.frame(f).stack_bytes() >= bytes {
            return;
        }
        let frame = self.st.frame_mut(f);
        frame.grow(bytes);
        let depth = &mut self.depths[frame.subprog as usize];
        *depth = (*depth).max(bytes);
    }

    pub(crate) fn store_stack(&mut self, r: Reg, off: i64, size: u32, src: Option<Operand>) -> Check {
        let base = *self.st.reg(r);
        let (min, max) = self.stack_range(r, off, i64::from(size), StackUse::Store)?;
        self.end_slices_in(base.frame, min, max + i64::from(size));
        if min == max && base.val.as_const().is_some() {
            self.store_stack_fixed(base.frame, min, size, src)
        } else {
            self.store_stack_variable(base.frame, min, max + i64::from(size), src)
        }
    }

    /// What is written to a buffer that slices may lie in is no longer what they were taken for.
    fn end_slices_in(&mut self, f: u8, from: i64, to: i64) {
        self.st.update_regs(
            |r| {
                let (first, end) = (i64::from(r.range), i64::from(r.range) + i64::from(r.aux));
                r.kind == Kind::Mem && r.range < 0 && r.frame == f && first < to && from < end
            },
            |r| *r = RegState::UNKNOWN,
        );
    }

    fn store_stack_fixed(&mut self, f: u8, off: i64, size: u32, src: Option<Operand>) -> Check {
        let (spi, _) = place(off);
        self.end_dynptr_at(f, spi)?;
        let aligned = off % 8 == 0;
        let era = self.env.era;
        let spilled = match src {
            Some(Operand::Reg(r)) => {
                let value = *self.st.reg(r);
                if value.is_scalar() {
                    let whole = era.has(Change::WholeScalarSpills) || is_bounded(&value) && !value.is_null();
                    let tracked = aligned && whole && (size == 8 || era.has(Change::NarrowSpills));
                    if !tracked {
                        None
                    } else {
                        let fits = value.val.fits(size * 8);
                        if fits && era.has(Change::WholeScalarSpills) {
                            self.link_before_copy(r);
                        }
                        let mut value = *self.st.reg(r);
                        if !fits {
                            value.id = 0;
                        }
                        Some(value)
                    }
                } else if is_spillable(value.kind) {
                    spill_size::check_spill(&value, r, size)?;
                    if f != self.st.top && value.kind == Kind::Stack {
                        return Err(spill_size::escaping(r));
                    }
                    Some(value)
                } else {
                    None
                }
            }
            Some(Operand::Imm(imm))
                if aligned
                    && (imm != 0 || era.has(Change::WholeScalarSpills))
                    && (size == 8 || era.has(Change::NarrowSpills)) =>
            {
                Some(RegState::constant(imm as i64 as u64))
            }
            Some(Operand::Imm(_)) | None => None,
        };
        if let Some(value) = spilled {
            self.open_step().slot = Some((f, spi as u8));
            let slot = &mut self.st.frame_mut(f).stack[spi];
            if slot.is_iter() {
                slot.bytes = [Byte::Misc; 8];
            }
            slot.reg = value;
            slot.written |= size == 8;
            for i in 0..8 {
                if i >= 8 - size as usize {
                    slot.bytes[i] = Byte::Spill;
                } else if slot.bytes[i] == Byte::Spill
                    || slot.bytes[i] == Byte::Zero && !era.has(Change::WholeScalarSpills)
                {
                    // Older kernels forget zeroes beside a part that is spilled (`scrub_spilled_slot`).
                    slot.bytes[i] = Byte::Misc;
                }
            }
            return Ok(());
        }
        let zero = match src {
            Some(Operand::Reg(r)) => self.st.reg(r).is_null(),
            Some(Operand::Imm(imm)) => imm == 0,
            None => false,
        };
        if zero && let Some(Operand::Reg(r)) = src {
            self.mark_precise(r);
        }
        let slot = &mut self.st.frame_mut(f).stack[spi];
        if slot.is_iter() {
            slot.bytes = [Byte::Misc; 8];
        }
        slot.reg = RegState::NOT_INIT;
        slot.written |= size == 8;
        scrub(slot);
        for i in 0..i64::from(size) {
            let (_, byte) = place(off + i);
            slot.bytes[byte] = if zero { Byte::Zero } else { Byte::Misc };
        }
        Ok(())
    }

    fn store_stack_variable(&mut self, f: u8, min: i64, end: i64, src: Option<Operand>) -> Check {
        let zero = match src {
            Some(Operand::Reg(r)) => self.st.reg(r).is_null(),
            Some(Operand::Imm(imm)) => imm == 0,
            None => false,
        };
        let uninit_ok = self.env.era.has(Change::UninitStack);
        let mut relied_on_zero = false;
        for off in min..end {
            self.end_dynptr_at(f, place(off).0)?;
        }
        let slots = &self.st.frame(f).stack;
        if (min..end).any(|off| slots[place(off).0].is_iter()) {
            return self.unsure("a store at a variable offset that may hit an iterator");
        }
        let frame = self.st.frame_mut(f);
        for off in min..end {
            let (spi, byte) = place(off);
            let slot = &mut frame.stack[spi];
            if zero && slot.bytes[byte] == Byte::Spill && slot.is_scalar_spill() && slot.reg.is_null() {
                relied_on_zero = true;
                continue;
            }
            if slot.bytes[byte] == Byte::Invalid && !uninit_ok {
                return Err(initialised_stack::missing(None, off, end - min));
            }
            let keeps_zero = zero && slot.bytes[byte] == Byte::Zero;
            relied_on_zero |= keeps_zero;
            slot.reg = RegState::NOT_INIT;
            scrub(slot);
            slot.bytes[byte] = if keeps_zero { Byte::Zero } else { Byte::Misc };
        }
        if relied_on_zero && let Some(Operand::Reg(r)) = src {
            self.mark_precise(r);
        }
        Ok(())
    }

    /// The value loaded from `size` bytes of stack at `base + off`.
    pub(crate) fn load_stack(&mut self, r: Reg, off: i64, size: u32) -> Check<RegState> {
        let base = *self.st.reg(r);
        let (min, max) = self.stack_range(r, off, i64::from(size), StackUse::Load)?;
        if min == max && base.val.as_const().is_some() {
            return self.load_stack_fixed(base.frame, min, size);
        }
        self.check_initialised(base.frame, Some(r), min, max + i64::from(size), false)?;
        Ok(self.load_bytes(base.frame, min, max + i64::from(size)))
    }

    fn load_stack_fixed(&mut self, f: u8, off: i64, size: u32) -> Check<RegState> {
        let (spi, first) = place(off);
        let slot = self.st.frame(f).stack[spi];
        if !slot.is_spill() {
            self.check_initialised(f, None, off, off + i64::from(size), false)?;
            return Ok(self.load_bytes(f, off, off + i64::from(size)));
        }
        let spilled = slot.spill_size();
        if size == 8 && spilled == 8 {
            self.mark_slot_read(f, spi);
            self.open_step().slot = Some((f, spi as u8));
            return Ok(slot.reg);
        }
        spill_size::check_fill(&slot.reg, off, size)?;
        self.mark_slot_read(f, spi);
        let newer = self.env.era.has(Change::WholeScalarSpills);
        let within =
            if newer { size <= spilled } else { size == spilled && self.env.era.has(Change::NarrowSpills) };
        if within && off % 8 == 0 {
            self.open_step().slot = Some((f, spi as u8));
            let mut value = slot.reg;
            if newer && !value.val.fits(size * 8) {
                value.unlink();
            }
            return Ok(value);
        }
        let uninit_ok = self.env.era.has(Change::UninitStack);
        let (mut spills, mut zeros) = (0, 0);
        for i in 0..size as usize {
            match slot.bytes[first - i] {
                Byte::Spill => spills += 1,
                Byte::Zero if newer => zeros += 1,
                Byte::Misc => {}
                Byte::Invalid if uninit_ok => {}
                // Older kernels refuse zeros beside a spill as well.
                Byte::Invalid | Byte::Zero | Byte::Iter | Byte::Dynptr => {
                    return Err(initialised_stack::missing(None, off + i as i64, i64::from(size)));
                }
            }
        }
        if spills == size && slot.reg.val.is_zero() && newer {
            self.open_step().slot = Some((f, spi as u8));
            return Ok(RegState::constant(0));
        }
        Ok(if zeros == size { RegState::constant(0) } else { RegState::UNKNOWN })
    }

    /// What bytes that are no spill, or of several slots, hold together.
    fn load_bytes(&self, f: u8, min: i64, end: i64) -> RegState {
        let frame = self.st.frame(f);
        let zero = (min..end).all(|off| {
            let (spi, byte) = place(off);
            frame.stack[spi].bytes[byte] == Byte::Zero
        });
        if zero { RegState::constant(0) } else { RegState::UNKNOWN }
    }

    /// Bytes `min..end` were written. If a helper may change them (`clobber`), what is known of them is lost.
    pub(crate) fn check_initialised(
        &mut self,
        f: u8,
        r: Option<Reg>,
        min: i64,
        end: i64,
        clobber: bool,
    ) -> Check {
        let uninit_ok = self.env.era.has(Change::UninitStack);
        for off in min..end {
            let (spi, byte) = place(off);
            let Some(slot) = self.st.frame(f).stack.get(spi) else {
                return Err(initialised_stack::missing(r, off, end - min));
            };
            match slot.bytes[byte] {
                Byte::Invalid if !uninit_ok => return Err(initialised_stack::missing(r, off, end - min)),
                Byte::Misc => {}
                Byte::Iter => return Err(initialised_stack::object(r, off, "an iterator")),
                Byte::Dynptr => return Err(initialised_stack::object(r, off, "a dynptr")),
                Byte::Invalid | Byte::Zero => {
                    if clobber {
                        self.st.frame_mut(f).stack[spi].bytes[byte] = Byte::Misc;
                    }
                }
                Byte::Spill => {
                    if clobber {
                        let slot = &mut self.st.frame_mut(f).stack[spi];
                        slot.reg = RegState::UNKNOWN;
                        scrub(slot);
                    }
                }
            }
            self.mark_slot_read(f, spi);
        }
        Ok(())
    }
}

/// What was spilled here is no longer known, nor are zeros beside it.
fn scrub(slot: &mut Slot) {
    if !slot.is_spill() {
        return;
    }
    for b in &mut slot.bytes {
        if *b != Byte::Invalid {
            *b = Byte::Misc;
        }
    }
}

/// Whether anything is known of the number's range.
fn is_bounded(value: &RegState) -> bool {
    Bounds { bits: Tnum::UNKNOWN, ..value.val } != Bounds::UNKNOWN
}

fn is_spillable(kind: Kind) -> bool {
    match kind {
        Kind::NotInit | Kind::Scalar | Kind::TpBuffer => false,
        Kind::Ctx
        | Kind::Map
        | Kind::MapValue
        | Kind::MapKey
        | Kind::Stack
        | Kind::Packet
        | Kind::PacketMeta
        | Kind::PacketEnd
        | Kind::Mem
        | Kind::Buf
        | Kind::Btf
        | Kind::Func
        | Kind::Socket
        | Kind::SockCommon
        | Kind::TcpSock
        | Kind::XdpSock
        | Kind::Dynptr
        | Kind::FlowKeys => true,
    }
}
