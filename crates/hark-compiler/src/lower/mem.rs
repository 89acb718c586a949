//! Memory that programs read and write directly.

use super::Lower;
use crate::types::Type;
use bpf_facts::HelperId;
use ebpf_asm::Size;
use ebpf_codegen::ir::{InstData, Value};
use hark_object::Ty;

/// A place in the program's own memory: a slot, a map value, a record, the context.
#[derive(Clone, Copy, Debug)]
pub struct Mem {
    /// Base.
    pub ptr: Value,
    /// Bytes behind it.
    pub off: i32,
    /// What the base is a multiple of: 8, or 1 if unknown.
    pub align: u32,
    /// Bytes behind the end of a text do not matter here (records of events); elsewhere they are zero.
    pub loose: bool,
}

impl Mem {
    /// The place at the start of a pointer that is a multiple of 8.
    pub fn at(ptr: Value) -> Self {
        Self { ptr, off: 0, align: 8, loose: false }
    }

    /// So many bytes further on.
    pub fn plus(self, bytes: u32) -> Self {
        Self { off: self.off + bytes as i32, ..self }
    }

    /// What the place itself is known to be a multiple of.
    pub(super) fn alignment(self) -> u32 {
        let from_offset = if self.off == 0 { 8 } else { 1 << self.off.trailing_zeros().min(3) };
        self.align.min(from_offset)
    }
}

/// What an expression came to.
#[derive(Clone, Copy, Debug)]
pub enum Val {
    /// One word.
    Scalar(Value),
    /// A value in memory, in the layout of its type.
    Mem(Mem),
    /// Nothing.
    None,
}

impl Val {
    /// The word of a scalar. The checker lets nothing else through where one is needed.
    #[track_caller]
    pub fn scalar(self) -> Value {
        match self {
            Val::Scalar(value) => value,
            Val::Mem(_) | Val::None => unreachable!("the checker lets only scalars through here"),
        }
    }
}

/// The access size of a scalar type.
pub(crate) fn scalar_size(ty: &Type) -> Size {
    let bytes = match ty {
        Type::Int { bytes, .. } | Type::Literal(bytes) => u32::from(*bytes),
        Type::Bool => 1,
        Type::Enum(e) => u32::from(e.bytes),
        _ => 8,
    };
    Size::from_bytes(bytes).unwrap_or(Size::Dw)
}

/// Whether a scalar type extends by its sign.
pub(crate) fn is_signed(ty: &Type) -> bool {
    ty.int_shape().is_some_and(|(_, signed)| signed)
}

impl Lower<'_> {
    /// New memory for a value of a type, with a byte to spare for the terminator of a text.
    pub(crate) fn new_mem(&mut self, ty: &Ty) -> Mem {
        self.new_bytes(ty.layout().size + 1)
    }

    /// New memory of so many bytes.
    pub(crate) fn new_bytes(&mut self, size: u32) -> Mem {
        let slot = self.b.slot(size);
        Mem::at(self.b.slot_addr(slot))
    }

    /// `dst`, or new memory for a value of the type.
    pub(crate) fn dst(&mut self, dst: Option<Mem>, ty: &Type) -> Mem {
        match dst {
            Some(mem) => mem,
            None => {
                let ty = ty.ty(self.types);
                self.new_mem(&ty)
            }
        }
    }

    /// The address of a place.
    pub(crate) fn address(&mut self, mem: Mem) -> Value {
        self.b.ptr_off(mem.ptr, mem.off)
    }

    /// Loads a scalar of a type.
    pub(crate) fn load(&mut self, mem: Mem, ty: &Type) -> Value {
        self.b.load_ext(scalar_size(ty), is_signed(ty), mem.ptr, mem.off)
    }

    /// Loads a scalar of a type that may be a pointer in the verifier's sense.
    pub(crate) fn load_any(&mut self, mem: Mem, ty: &Type) -> Value {
        if super::is_pointer_value(ty) {
            return self.b.value(InstData::LoadPtr { ptr: mem.ptr, off: mem.off });
        }
        self.load(mem, ty)
    }

    /// Stores a scalar of a type.
    pub(crate) fn store(&mut self, value: Value, mem: Mem, ty: &Type) {
        let value = self.as_number(value);
        self.b.store(scalar_size(ty), value, mem.ptr, mem.off);
    }

    /// The number that a pointer is, so that it can go anywhere and be computed with: to the verifier a pointer stays
    /// one in registers and on the stack, but what a helper copies is a number.
    pub(crate) fn as_number(&mut self, value: Value) -> Value {
        if !self.is_ptr(value) {
            return value;
        }
        let (here, there) = (self.new_bytes(8), self.new_bytes(8));
        self.b.store(Size::Dw, value, here.ptr, here.off);
        let len = self.b.iconst(8);
        self.b.call(HelperId::PROBE_READ_KERNEL, &[there.ptr, len, here.ptr]);
        self.b.load(Size::Dw, there.ptr, there.off)
    }

    /// Stores a word.
    pub(crate) fn store_word(&mut self, value: Value, mem: Mem) {
        self.b.store(Size::Dw, value, mem.ptr, mem.off);
    }

    /// Zeroes bytes.
    pub(crate) fn zero(&mut self, mem: Mem, len: u32) {
        self.b.mem_zero(mem.ptr, mem.off, len);
    }

    /// Copies bytes.
    pub(crate) fn copy(&mut self, dst: Mem, src: Mem, len: u32) {
        let align = dst.alignment().min(src.alignment());
        self.b.mem_copy((dst.ptr, dst.off), (src.ptr, src.off), len, align);
    }

    /// Writes constant bytes, and zeroes up to `room` bytes unless the place is loose.
    pub(crate) fn write_bytes(&mut self, dst: Mem, bytes: &[u8], room: u32) {
        let aligned = dst.alignment();
        let total = if dst.loose { (bytes.len() as u32 + 1).min(room) } else { room };
        let mut at = 0u32;
        let stored = (bytes.len() as u32).min(total);
        while at < stored {
            // Small stores at the end; the largest that alignment and room allow elsewhere.
            let size = [8u32, 4, 2, 1]
                .into_iter()
                .find(|n| *n <= aligned && at.is_multiple_of(*n) && at + n <= total)
                .unwrap_or(1);
            let mut word = [0u8; 8];
            for (i, byte) in word.iter_mut().enumerate().take(size as usize) {
                *byte = bytes.get(at as usize + i).copied().unwrap_or(0);
            }
            let value = self.b.iconst(i64::from_le_bytes(word));
            let size_class = Size::from_bytes(size).unwrap_or(Size::B);
            self.b.store(size_class, value, dst.ptr, dst.off + at as i32);
            at += size;
        }
        if at < total {
            self.zero(dst.plus(at), total - at);
        }
    }
}
