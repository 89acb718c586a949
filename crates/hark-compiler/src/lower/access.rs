//! Reading places: members, elements, what pointers point to, arguments of typed probes.

use super::mem::{is_signed, scalar_size};
use super::{Lower, Mem, Val};
use crate::ctypes::Bits;
use crate::typed::{Expr, ExprKind};
use crate::types::{ArgPlace, Space, Type};
use bpf_facts::HelperId;
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, Cond, InstData, Type as IrType, UnOp, Value};
use hark_object::Loss;

/// A place that is not read yet.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// In memory that only helpers can read: an address and bytes behind it.
    Remote(Value, i64, Space),
    /// In the program's own memory, or an object that BTF vouches for.
    Near(Mem, Space),
}

impl Place {
    fn plus(self, bytes: u32) -> Place {
        match self {
            Place::Remote(addr, off, space) => Place::Remote(addr, off + i64::from(bytes), space),
            Place::Near(mem, space) => Place::Near(mem.plus(bytes), space),
        }
    }
}

impl Lower<'_> {
    /// The place of a member, element or dereferenced pointer; any other expression is evaluated into memory.
    pub(crate) fn place(&mut self, e: &Expr) -> Place {
        match &e.kind {
            ExprKind::Deref(ptr) => {
                let space = match &ptr.ty {
                    Type::Ptr(_, space) => *space,
                    _ => Space::Kernel,
                };
                // `*(p + 8)`: the constant becomes an offset.
                if let ExprKind::PtrAdd(base, n, size) = &ptr.kind
                    && let Some(n) = n.as_int()
                    && let Some(off) = n.checked_mul(i64::from(*size)).and_then(|n| i32::try_from(n).ok())
                {
                    let base = self.scalar(base);
                    return self.pointed(base, off, space);
                }
                let address = self.scalar(ptr);
                self.pointed(address, 0, space)
            }
            // What is wanted as a number must not be a pointer to the verifier.
            ExprKind::Field { base, offset, .. }
                if let ExprKind::Deref(ptr) = &base.kind
                    && !matches!(e.ty, Type::Ptr(..) | Type::Struct(_) | Type::Array(..)) =>
            {
                match self.task_pointer(ptr) {
                    Some(task) => Place::Near(Mem::at(task).plus(*offset), Space::Trusted),
                    None => self.place(base).plus(*offset),
                }
            }
            ExprKind::Field { base, offset, .. } => self.place(base).plus(*offset),
            ExprKind::Index { base, index, size, bound } => {
                let base = self.place(base);
                if let Some(n) = index.as_int() {
                    return base.plus((n as u32).wrapping_mul(*size));
                }
                self.element(base, index, *size, *bound, e)
            }
            ExprKind::Member(base, index) => {
                let offset = base.ty.ty(self.types).member_offsets()[*index as usize];
                Place::Near(self.mem(base).plus(offset), Space::Own)
            }
            ExprKind::Arg(ArgPlace::Context(offset)) => {
                Place::Near(Mem::at(self.ctx()).plus(*offset), Space::Own)
            }
            _ => Place::Near(self.mem(e), Space::Own),
        }
    }

    fn pointed(&mut self, address: Value, off: i32, space: Space) -> Place {
        match space {
            Space::Kernel | Space::User | Space::Any => Place::Remote(address, i64::from(off), space),
            Space::Trusted | Space::Own => Place::Near(Mem { off, ..Mem::at(address) }, space),
        }
    }

    /// The place of an element at a run-time index. Outside the bound there are zeroes, with a warning.
    fn element(&mut self, base: Place, index: &Expr, size: u32, bound: Option<u32>, e: &Expr) -> Place {
        let n = self.scalar(index);
        let base = match base {
            // The verifier takes no variable offsets into kernel objects: read them as foreign memory.
            Place::Near(mem, Space::Trusted) => Place::Remote(self.address(mem), 0, Space::Kernel),
            Place::Near(mem, space) => {
                Place::Near(self.walkable(mem, bound.unwrap_or(1).saturating_mul(size)), space)
            }
            remote @ Place::Remote(..) => remote,
        };
        let Some(bound) = bound else { return self.step(base, n, size) };
        let ir_type = match base {
            Place::Remote(addr, ..) => self.b.func().values[addr].ty,
            Place::Near(..) => IrType::Ptr,
        };
        let var = self.b.declare_var(ir_type);
        let inside = self.b.create_block();
        let outside = self.b.create_cold_block();
        let next = self.b.create_block();
        let limit = self.b.iconst(i64::from(bound));
        self.b.branch(Cond::Ult, n, limit, inside, outside);
        self.b.seal_and_switch(outside);
        self.runtime_warning("array index out of bounds: the result is 0", e.span);
        let nothing = match ir_type {
            IrType::Ptr => {
                let zeroes = self.new_bytes(size);
                self.zero(zeroes, size);
                zeroes.ptr
            }
            // What is read there is zero.
            _ => self.b.iconst(0),
        };
        self.b.def_var(var, nothing);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(inside);
        let (address, found) = match self.step(base, n, size) {
            Place::Remote(addr, off, space) => {
                (self.remote_address(addr, off), Place::Remote(addr, 0, space))
            }
            Place::Near(mem, space) => {
                let align = mem.alignment();
                (self.address(mem), Place::Near(Mem { off: 0, align, ..mem }, space))
            }
        };
        self.b.def_var(var, address);
        self.b.jump(next, &[]);
        self.b.seal_and_switch(next);
        let at = self.b.use_var(var);
        match found {
            Place::Remote(_, off, space) => Place::Remote(at, off, space),
            Place::Near(mem, space) => Place::Near(Mem { ptr: at, ..mem }, space),
        }
    }

    /// The place so many elements further on.
    fn step(&mut self, base: Place, n: Value, size: u32) -> Place {
        let offset = self.b.binary_imm(BinOp::Mul, n, i64::from(size));
        match base {
            Place::Remote(addr, off, space) if self.is_ptr(addr) => {
                Place::Remote(self.b.ptr_add(addr, offset), off, space)
            }
            Place::Remote(addr, off, space) => {
                Place::Remote(self.b.binary(BinOp::Add, addr, offset), off, space)
            }
            Place::Near(mem, space) => {
                let ptr = self.b.ptr_add(mem.ptr, offset);
                let align = if size.is_multiple_of(8) { mem.align } else { 1 };
                Place::Near(Mem { ptr, align, ..mem }, space)
            }
        }
    }

    /// Reads a scalar from a place.
    pub(crate) fn read_scalar(&mut self, place: Place, ty: &Type, bits: Option<Bits>) -> Value {
        let size = match bits {
            Some(bits) => Size::from_bytes(u32::from(bits.load)).unwrap_or(Size::Dw),
            None => scalar_size(ty),
        };
        let signed = bits.is_none() && is_signed(ty);
        let word = match place {
            Place::Near(mem, _) if super::is_pointer_value(ty) => match self.object_at(mem) {
                Some(object) => object,
                None => self.b.value(InstData::LoadPtr { ptr: mem.ptr, off: mem.off }),
            },
            Place::Near(mem, _) => self.b.load_ext(size, signed, mem.ptr, mem.off),
            Place::Remote(addr, off, space) => {
                let buf = self.new_bytes(8);
                self.read_remote(buf, size.bytes(), addr, off, space);
                self.b.load_ext(size, signed, buf.ptr, buf.off)
            }
        };
        match bits {
            None => word,
            Some(bits) => {
                // Shift the field to the top, then down again. Without its sign, as bpftrace has it.
                let up = 64 - i64::from(bits.shift) - i64::from(bits.width);
                let top = self.b.binary_imm(BinOp::Shl, word, up);
                self.b.binary_imm(BinOp::Lshr, top, 64 - i64::from(bits.width))
            }
        }
    }

    /// The object that an iterator's context holds at this place.
    fn object_at(&self, mem: Mem) -> Option<Value> {
        let is_there =
            |(offset, _): &&(u32, Value)| mem.ptr == self.ctx && i64::from(*offset) == i64::from(mem.off);
        self.objects.iter().find(is_there).map(|(_, object)| *object)
    }

    /// Reads `len` bytes of foreign memory. What cannot be read is zero.
    pub(crate) fn read_remote(&mut self, dst: Mem, len: u32, addr: Value, off: i64, space: Space) {
        let len = self.b.iconst(i64::from(len));
        self.read_remote_len(dst, len, addr, off, space);
    }

    /// As [`Lower::read_remote`], with a length that the verifier can bound.
    pub(crate) fn read_remote_len(&mut self, dst: Mem, len: Value, addr: Value, off: i64, space: Space) {
        let helper = space.read_helper();
        let src = self.remote_address(addr, off);
        let ptr = self.address(dst);
        let result = self.b.call(helper, &[ptr, len, src]);
        if self.options.warn_failed_reads {
            self.report_if_failed(result, Loss::FailedRead, helper);
        }
    }

    fn remote_address(&mut self, addr: Value, off: i64) -> Value {
        if off == 0 {
            return addr;
        }
        if self.b.func().values[addr].ty == ebpf_codegen::ir::Type::Ptr {
            return self.b.ptr_off(addr, off as i32);
        }
        self.b.binary_imm(BinOp::Add, addr, off)
    }

    /// Reads text of foreign memory into `cap` bytes (and one more that becomes 0). Returns what the helper
    /// returned: the length with terminator, or a negative error, in which case the text is empty.
    pub(crate) fn read_text(&mut self, dst: Mem, cap: u32, addr: Value, off: i64, space: Space) -> Value {
        self.read_text_of(dst, cap, cap + 1, addr, off, space)
    }

    /// As [`Lower::read_text`], but what does not fit `cap` with its terminator is left out without a mark.
    pub(crate) fn read_text_within(
        &mut self,
        dst: Mem,
        cap: u32,
        addr: Value,
        off: i64,
        space: Space,
    ) -> Value {
        self.read_text_of(dst, cap, cap, addr, off, space)
    }

    fn read_text_of(&mut self, dst: Mem, cap: u32, read: u32, addr: Value, off: i64, space: Space) -> Value {
        let helper = space.read_text_helper();
        if dst.loose {
            let zero = self.b.iconst(0);
            self.b.store(Size::B, zero, dst.ptr, dst.off);
        } else {
            self.zero(dst, cap);
        }
        let src = self.remote_address(addr, off);
        let (ptr, len) = (self.address(dst), self.b.iconst(i64::from(read)));
        let result = self.b.call(helper, &[ptr, len, src]);
        if self.options.warn_failed_reads {
            self.report_if_failed(result, Loss::FailedRead, helper);
        }
        result
    }

    /// Reads a value that is no scalar from a place into memory.
    pub(crate) fn read_memory(&mut self, place: Place, ty: &Type, dst: Option<Mem>) -> Mem {
        match (place, ty) {
            (Place::Near(mem, Space::Own), _) => match dst {
                None => mem,
                Some(dst) => {
                    let len = ty.ty(self.types).layout().size;
                    self.copy(dst, mem, len);
                    dst
                }
            },
            (Place::Near(mem, _), _) => {
                let address = self.address(mem);
                self.read_memory(Place::Remote(address, 0, Space::Kernel), ty, dst)
            }
            // What ends without a terminator was not cut: the array ends there.
            (Place::Remote(addr, off, space), Type::Str { cap }) => {
                let dst = self.dst(dst, ty);
                self.read_text_within(dst, *cap, addr, off, space);
                dst
            }
            (Place::Remote(addr, off, space), _) => {
                let dst = self.dst(dst, ty);
                let len = ty.ty(self.types).layout().size;
                self.read_remote(dst, len, addr, off, space);
                dst
            }
        }
    }

    /// An argument of a typed probe.
    pub(super) fn typed_arg(&mut self, place: &ArgPlace, ty: &Type, dst: Option<Mem>) -> Val {
        let ctx = self.ctx();
        match place {
            ArgPlace::Context(offset) => {
                let place = Place::Near(Mem::at(ctx).plus(*offset), Space::Own);
                if ty.is_scalar() {
                    return Val::Scalar(self.read_scalar(place, ty, None));
                }
                Val::Mem(self.read_memory(place, ty, dst))
            }
            ArgPlace::DataLoc(offset) => {
                // Low half: offset of the data from the record; the record is the context.
                let word = self.b.load(Size::H, ctx, *offset as i32);
                Val::Scalar(self.b.ptr_add(ctx, word))
            }
            ArgPlace::Register { offset, trusted } => {
                if *trusted && super::is_pointer_value(ty) {
                    return Val::Scalar(self.b.value(InstData::LoadPtr { ptr: ctx, off: *offset as i32 }));
                }
                let word = self.b.load(Size::Dw, ctx, *offset as i32);
                let size = scalar_size(ty);
                if size == Size::Dw {
                    return Val::Scalar(word);
                }
                let op = if is_signed(ty) { UnOp::Sext(size) } else { UnOp::Zext(size) };
                Val::Scalar(self.b.unary(op, word))
            }
        }
    }
}

impl Space {
    /// The helper that reads bytes.
    fn read_helper(self) -> HelperId {
        match self {
            Space::User => HelperId::PROBE_READ_USER,
            Space::Any => HelperId::PROBE_READ,
            Space::Kernel | Space::Trusted | Space::Own => HelperId::PROBE_READ_KERNEL,
        }
    }

    /// The helper that reads text.
    pub(crate) fn read_text_helper(self) -> HelperId {
        match self {
            Space::User => HelperId::PROBE_READ_USER_STR,
            Space::Any => HelperId::PROBE_READ_STR,
            Space::Kernel | Space::Trusted | Space::Own => HelperId::PROBE_READ_KERNEL_STR,
        }
    }
}
