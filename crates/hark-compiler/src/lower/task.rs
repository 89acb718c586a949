//! Members of the current task, by plain loads where the kernel vouches for the pointer.
//!
//! Only chains that begin with the current task itself are followed so: `curtask.real_parent.pid`. A pointer that went
//! through a variable or a map is a number again. Pointers that are wanted as numbers are read like those of any other
//! struct, because the verifier would go on to treat them as pointers.

use super::{Lower, Mem};
use crate::builtins::is_current_task;
use crate::ctypes::StructRef;
use crate::typed::{Expr, ExprKind};
use crate::types::Type;
use bpf_facts::{Feature, HelperId};
use ebpf_asm::Size;
use ebpf_codegen::ir::{BinOp, InstData, UnOp, Value};

impl Lower<'_> {
    /// A pointer to the current task that the verifier knows as such.
    pub(crate) fn current_task(&mut self) -> Option<Value> {
        let profile = &self.target.profile;
        if !profile.has(Feature::CurrentTaskBtf)
            || profile.helper(HelperId::GET_CURRENT_TASK_BTF, self.unit.context.prog).is_err()
        {
            return None;
        }
        // The verifier knows its own task_struct only.
        let Some(StructRef::Btf { .. }) = self.types.struct_named("task_struct", false) else { return None };
        Some(self.b.call(HelperId::GET_CURRENT_TASK_BTF, &[]))
    }

    /// A text in a member of the current task.
    pub(crate) fn current_task_member(&mut self, name: &str) -> Option<Mem> {
        let of = self.types.struct_named("task_struct", false)?;
        let field = self.types.field(&of, name)?;
        let task = self.current_task()?;
        Some(Mem::at(task).plus(field.offset))
    }

    /// Id of the current thread's user (`uid`) or group (`gid`), as the initial namespace numbers it. The kernel's own
    /// number is that one: only the helper has to look it up in the table of the namespace.
    pub(crate) fn current_id(&mut self, name: &str) -> Value {
        if let Some(id) = self.credential(name) {
            return id;
        }
        let both = self.b.call(HelperId::GET_CURRENT_UID_GID, &[]);
        match name {
            "gid" => self.b.binary_imm(BinOp::Lshr, both, 32),
            _ => self.b.unary(UnOp::Zext(Size::W), both),
        }
    }

    /// A number in the credentials of the current task.
    fn credential(&mut self, name: &str) -> Option<Value> {
        let offset = |cx: &Self, of: &str, name: &str| {
            let of = cx.types.struct_named(of, false)?;
            Some(cx.types.field(&of, name)?.offset as i32)
        };
        let (to, off) = (offset(self, "task_struct", "cred")?, offset(self, "cred", name)?);
        let task = self.current_task()?;
        let ptr = self.b.value(InstData::LoadPtr { ptr: task, off: to });
        Some(self.b.load(Size::W, ptr, off))
    }

    /// The value of a pointer that comes from the current task by members that are never NULL, as the verifier knows
    /// it.
    pub(super) fn task_pointer(&mut self, ptr: &Expr) -> Option<Value> {
        let Type::Ptr(to, _) = &ptr.ty else { return None };
        let Type::Struct(StructRef::Btf { name, .. }) = &**to else { return None };
        match &ptr.kind {
            ExprKind::Call(call) if is_current_task(call) => self.current_task(),
            ExprKind::Convert(inner) if &**name == "task_struct" => match &inner.kind {
                ExprKind::Call(call) if is_current_task(call) => self.current_task(),
                _ => None,
            },
            ExprKind::Field { base, offset, bits: None } => {
                let ExprKind::Deref(outer) = &base.kind else { return None };
                let Type::Struct(of) = &base.ty else { return None };
                let name = self.types.field_at(of, *offset)?;
                if bpf_facts::member_may_be_null(of.tag(), &name) {
                    return None;
                }
                let outer = self.task_pointer(outer)?;
                Some(self.b.value(InstData::LoadPtr { ptr: outer, off: *offset as i32 }))
            }
            _ => None,
        }
    }
}
