//! Loads from and stores to the program's context.

use super::memory::Access;
use crate::explore::Walk;
use crate::rules::{Check, context_access};
use crate::state::{Flags, Kind, RegState};
use bpf_facts::{CtxAccess, CtxField, CtxFieldKind, CtxLayout};
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
        let Some(layout) = self.env.ctx else {
            context_access::check_pointer(ptr, r)?;
            return self.load_typed_context(r, at, size, sext);
        };
        self.check_context_pointer(layout, ptr, r)?;
        let Some(field) = self.context_field(layout, r, at, size, Access::Read)? else {
            return Ok(RegState::UNKNOWN);
        };
        let (kind, flags) = match field.kind {
            CtxFieldKind::Scalar => return Ok(RegState::UNKNOWN),
            CtxFieldKind::Packet => (Kind::Packet, Flags::NONE),
            CtxFieldKind::PacketEnd => (Kind::PacketEnd, Flags::NONE),
            CtxFieldKind::PacketMeta => (Kind::PacketMeta, Flags::NONE),
            CtxFieldKind::FlowKeys => (Kind::FlowKeys, Flags::NONE),
            CtxFieldKind::Socket => (Kind::Socket, Flags::NONE),
            CtxFieldKind::SocketOrNull => (Kind::Socket, Flags::MAYBE_NULL),
            CtxFieldKind::SockCommonOrNull => (Kind::SockCommon, Flags::MAYBE_NULL),
            CtxFieldKind::TpBuffer => (Kind::TpBuffer, Flags::NONE),
        };
        if sext {
            return Err(context_access::refused(
                r,
                at,
                size,
                "hold a pointer, which cannot be sign-extended",
            ));
        }
        let id = if flags.has(Flags::MAYBE_NULL) { self.new_id() } else { 0 };
        Ok(RegState { id, ..RegState::pointer(kind, flags, 0) })
    }

    pub(crate) fn store_context(&mut self, ptr: &RegState, r: Reg, at: i64, size: u32) -> Check {
        let Some(layout) = self.env.ctx else {
            context_access::check_pointer(ptr, r)?;
            return Err(context_access::refused(r, at, size, "cannot be written"));
        };
        self.check_context_pointer(layout, ptr, r)?;
        match self.context_field(layout, r, at, size, Access::Write)? {
            Some(field) if layout.may_write(field, self.env.prog.attach_type) => Ok(()),
            None if layout.open => Ok(()),
            _ => Err(context_access::refused(r, at, size, "cannot be written")),
        }
    }

    fn check_context_pointer(&self, layout: &CtxLayout, ptr: &RegState, r: Reg) -> Check {
        if layout.open && !ptr.val.is_zero() {
            return self.unsure("a context that is accessed at a variable offset");
        }
        if layout.open {
            return Ok(());
        }
        context_access::check_pointer(ptr, r)
    }

    /// The field at `at`; `None` where the context is one plain block.
    fn context_field(
        &self,
        layout: &'static CtxLayout,
        r: Reg,
        at: i64,
        size: u32,
        access: Access,
    ) -> Check<Option<&'static CtxField>> {
        let aligned = layout.open || at % i64::from(size) == 0;
        let end = i64::from(layout.size_in(self.env.profile.version));
        let inside = at >= i64::from(layout.first) && at + i64::from(size) <= end && aligned;
        let below = layout.below && at < 0 && aligned && access == Access::Read;
        if below {
            return Ok(None);
        }
        if !inside {
            return Err(context_access::refused(r, at, size, "are outside of it, or not aligned"));
        }
        if layout.fields.is_empty() {
            return Ok(None);
        }
        let prog = self.env.prog;
        let field = layout.field_at(at as u32).filter(|f| {
            f.since <= self.env.profile.version
                && (f.attach.is_empty() || f.attach.contains(&prog.attach_type))
        });
        let Some(field) = field else {
            return Err(context_access::refused(r, at, size, "belong to no field that may be accessed"));
        };
        if fits(field, at as u32, size, access) {
            return Ok(Some(field));
        }
        Err(context_access::refused(
            r,
            at,
            size,
            &format!("are no part of `{}` that may be accessed", field.name),
        ))
    }
}

/// Whether `size` bytes at `at`, inside of the field, may be accessed.
fn fits(field: &CtxField, at: u32, size: u32, access: Access) -> bool {
    let off = (at - field.off) % field.len;
    let whole = off == 0 && size == field.len;
    let part = off + size <= field.len;
    let reading = access == Access::Read;
    match field.access {
        CtxAccess::Whole => whole,
        CtxAccess::Narrow => whole || reading && part,
        CtxAccess::NarrowFromStart => whole || reading && off == 0 && part,
        CtxAccess::NarrowTo2 => whole || reading && part && size >= 2,
        CtxAccess::NarrowOrWord => whole || reading && (part || at == field.off && size == 4),
        CtxAccess::NarrowOrPair => {
            whole
                || reading && part
                || size == 8 && (at - field.off).is_multiple_of(8) && at + size <= field.end()
        }
        CtxAccess::Any => at + size <= field.end(),
    }
}
