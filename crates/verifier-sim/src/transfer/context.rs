//! Loads from and stores to the program's context.

use crate::explore::Walk;
use crate::rules::{Check, context_access};
use crate::state::{Flags, Kind, RegState};
use bpf_facts::{CtxField, CtxFieldKind, ProgType};
use ebpf_asm::Reg;

impl Walk<'_> {
    /// `size` bytes at `at`, the pointer's own offset included.
    pub(crate) fn load_context(
        &mut self,
        ptr: &RegState,
        r: Reg,
        at: i64,
        size: u32,
        sext: bool,
    ) -> Check<RegState> {
        context_access::check_pointer(ptr, r)?;
        if self.env.prog.ty == ProgType::Tracing {
            return self.load_typed_context(r, at, size);
        }
        let field = self.context_field(r, at, size)?;
        let Some(field) = field else { return Ok(RegState::UNKNOWN) };
        let whole = at == i64::from(field.off) && size == field.len;
        if !whole && (!field.narrow || size > field.len) {
            return Err(context_access::refused(
                r,
                at,
                size,
                &format!("are a part of `{}`, which is read as a whole", field.name),
            ));
        }
        let kind = match field.kind {
            CtxFieldKind::Scalar => return Ok(RegState::UNKNOWN),
            CtxFieldKind::Packet => Kind::Packet,
            CtxFieldKind::PacketEnd => Kind::PacketEnd,
            CtxFieldKind::PacketMeta => Kind::PacketMeta,
        };
        if sext {
            return Err(context_access::refused(
                r,
                at,
                size,
                "hold a pointer, which cannot be sign-extended",
            ));
        }
        Ok(RegState::pointer(kind, Flags::NONE, 0))
    }

    pub(crate) fn check_context_write(&self, r: Reg, at: i64, size: u32) -> Check {
        if self.env.prog.ty == ProgType::Tracing {
            return Err(context_access::refused(r, at, size, "cannot be written"));
        }
        match self.context_field(r, at, size)? {
            Some(field) if field.write && (size == field.len || field.narrow) => Ok(()),
            _ => Err(context_access::refused(r, at, size, "cannot be written")),
        }
    }

    /// The field at `at`; `None` where the context is one plain block.
    fn context_field(&self, r: Reg, at: i64, size: u32) -> Check<Option<&'static CtxField>> {
        let Some(layout) = self.env.ctx else {
            return self.unsure(format!("the context of programs of type {:?}", self.env.prog.ty));
        };
        let inside = at >= 0 && at + i64::from(size) <= i64::from(layout.size) && at % i64::from(size) == 0;
        if !inside {
            return Err(context_access::refused(r, at, size, "are outside of it, or not aligned"));
        }
        if layout.fields.is_empty() {
            return Ok(None);
        }
        let field = layout.fields.iter().find(|f| {
            let (lo, hi) = (i64::from(f.off), i64::from(f.off) + i64::from(f.len));
            at >= lo && at + i64::from(size) <= hi
        });
        match field {
            Some(field) => Ok(Some(field)),
            None => Err(context_access::refused(r, at, size, "belong to no field that may be accessed")),
        }
    }
}
