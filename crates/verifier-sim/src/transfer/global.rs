//! Global functions: verified on their own, for any arguments that their types allow.

use super::memory::Access;
use super::stack::StackUse;
use crate::explore::{Flow, Walk};
use crate::rules::{Check, Rule, context_access, name, packet_bounds};
use crate::state::{Flags, Frame, Kind, RegState};
use bpf_facts::{HelperId, ProgType, V, helper};
use ebpf_asm::{Callee, Imm64, Insn, Reg};
use hark_btf::{Btf, Kind as BtfKind, Type, TypeId};

/// What a global function takes in an argument register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GlobalArg {
    /// A number.
    Scalar,
    /// The program's context.
    Ctx,
    /// Memory of so many bytes, or NULL if allowed.
    Mem { size: u32, nullable: bool },
    /// A dynptr.
    Dynptr,
    /// A kernel object that is known to be valid, or NULL if allowed.
    Object { ty: u32, nullable: bool },
}

/// Most arguments in registers.
const MAX_ARGS: usize = 5;
/// First kernel in which global functions take memory.
const MEMORY_SINCE: V = V(5, 12);
/// First kernel that looks at tags of arguments.
const TAGS_SINCE: V = V(6, 8);
/// First kernel that knows that a function may change the packet.
const PACKET_CHANGES_SINCE: V = V(6, 12);

impl<'a> Walk<'a> {
    /// A call of global function `subprog`.
    pub(crate) fn call_global(&mut self, subprog: u32) -> Check<Flow> {
        let args = self.global_args(subprog)?;
        if self.st.lock.is_some() {
            return Err(Rule::Lock.reject(&[], "global functions cannot be called while a lock is held"));
        }
        for (i, arg) in args.iter().enumerate() {
            let r = Reg::new(i as u8 + 1).expect("at most five arguments");
            self.check_global_arg(*arg, r)?;
        }
        if self.env.profile.version >= PACKET_CHANGES_SINCE && self.changes_packets(subprog) {
            self.forget_packets();
        }
        self.called_global[subprog as usize] = true;
        self.clobber_caller_saved();
        *self.st.reg_mut(Reg::R0) = RegState::UNKNOWN;
        Ok(Flow::Next)
    }

    fn check_global_arg(&mut self, arg: GlobalArg, r: Reg) -> Check {
        let value = self.read(r)?;
        let refuse = |why: &str| {
            Err(Rule::Argument
                .reject(&[r], format!("{} holds {value}; the global function takes {why}", name(r))))
        };
        match arg {
            GlobalArg::Scalar if value.is_scalar() => Ok(()),
            GlobalArg::Scalar => refuse("a number"),
            GlobalArg::Ctx if value.kind == Kind::Ctx => context_access::check_pointer(&value, r),
            GlobalArg::Ctx => refuse("the context"),
            GlobalArg::Dynptr => self.dynptr(r, false).map(|_| ()),
            GlobalArg::Object { nullable: true, .. } if value.is_null() => Ok(()),
            GlobalArg::Object { ty, nullable } => self.check_global_object(&value, r, ty, nullable),
            GlobalArg::Mem { nullable, .. } if value.is_null() => {
                if nullable || self.env.profile.version < TAGS_SINCE {
                    Ok(())
                } else {
                    self.unsure("NULL for memory that must be there")
                }
            }
            GlobalArg::Mem { size, nullable } => {
                if value.may_be_null() && !nullable {
                    return refuse("memory that is not NULL");
                }
                self.check_global_memory(&value, r, size)
            }
        }
    }

    pub(crate) fn check_global_memory(&mut self, value: &RegState, r: Reg, size: u32) -> Check {
        let value = &RegState { flags: value.flags.without(Flags::MAYBE_NULL), ..*value };
        let at = i64::from(value.off);
        match value.kind {
            Kind::Stack => {
                let (min, max) = self.stack_range(r, 0, i64::from(size), StackUse::Helper)?;
                self.check_initialised(value.frame, Some(r), min, max + i64::from(size), true)
            }
            Kind::Packet | Kind::PacketMeta => {
                packet_bounds::check(value, r, at, size, true)?;
                if self.env.prog.may_write_packets() {
                    return Ok(());
                }
                Err(crate::rules::writable_memory::read_only(value, r))
            }
            Kind::MapValue => {
                self.check_map_value(value, r, at, size, true, Access::Read)?;
                self.check_map_value(value, r, at, size, true, Access::Write)
            }
            Kind::MapKey | Kind::Mem | Kind::Buf => self.check_plain(value, r, at, size, true, Access::Write),
            Kind::Ctx => self.unsure("the context is given to a global function as memory"),
            _ => Err(Rule::Argument
                .reject(&[r], format!("{} holds {value}; the global function takes memory", name(r)))),
        }
    }

    /// What global function `subprog` takes, by its type.
    pub(crate) fn global_args(&self, subprog: u32) -> Check<Vec<GlobalArg>> {
        let env = self.env;
        let at = env.cfg.subprogs[subprog as usize];
        let func = env.prog.funcs.iter().find(|f| f.at.0 == at);
        let (Some(func), Some(btf)) = (func, env.prog.prog_btf) else {
            return self.unsure("a global function without type information");
        };
        let broken = || self.unsure::<Vec<GlobalArg>>("a global function of a broken type");
        let Some(ty) = btf.type_by_id(TypeId(func.type_id)).filter(|ty| ty.kind() == BtfKind::Func) else {
            return broken();
        };
        let proto =
            ty.target().and_then(|id| btf.type_by_id(id)).filter(|ty| ty.kind() == BtfKind::FuncProto);
        let Some(proto) = proto else { return broken() };
        let refuse =
            |why: &str| Err(Rule::Argument.reject(&[], format!("global function {} {why}", ty.name())));
        if proto.vlen() as usize > MAX_ARGS {
            return refuse("takes more than 5 arguments");
        }
        let number =
            |id: TypeId| btf.resolve(id).is_some_and(|ty| ty.kind() == BtfKind::Int || ty.kind().is_enum());
        if !number(proto.target().unwrap_or(TypeId::VOID)) {
            return refuse("does not return a number");
        }
        let tags = tags(btf, &ty);
        let mut args = Vec::new();
        for (i, param) in proto.params().enumerate() {
            let tag = tags.iter().filter(|(n, _)| *n == i as u32).map(|(_, tag)| *tag).collect::<Vec<_>>();
            if !tag.is_empty() && env.profile.version < TAGS_SINCE {
                return self.unsure("tags of arguments, which the kernel does not know");
            }
            let Some(arg) = btf.resolve(param.ty) else { return broken() };
            if arg.kind() != BtfKind::Ptr {
                if !tag.is_empty() {
                    return refuse("has a tag for a pointer on an argument that is none");
                }
                if number(param.ty) {
                    args.push(GlobalArg::Scalar);
                    continue;
                }
                return refuse("takes an argument that is no number and no pointer");
            }
            let target = arg.target().unwrap_or(TypeId::VOID);
            if tag.is_empty() && self.is_context(btf, target) || tag == ["ctx"] {
                args.push(GlobalArg::Ctx);
                continue;
            }
            if btf.resolve(target).is_some_and(|ty| ty.name() == "bpf_dynptr") {
                if !tag.is_empty() {
                    return self.unsure("tags of a dynptr");
                }
                args.push(GlobalArg::Dynptr);
                continue;
            }
            if tag.contains(&"trusted") && tag.iter().all(|tag| ["trusted", "nullable"].contains(tag)) {
                let Some(ty) = self.kernel_type_of(btf, target) else {
                    return self.unsure("a trusted argument of a type that the kernel does not have");
                };
                args.push(GlobalArg::Object { ty, nullable: tag.contains(&"nullable") });
                continue;
            }
            let nullable = match tag.as_slice() {
                [] => true,
                ["nonnull"] => false,
                _ => return self.unsure("tags of a global function's arguments"),
            };
            if env.profile.version < MEMORY_SINCE {
                return refuse("takes a pointer that is not the context");
            }
            match btf.size_of(target).and_then(|n| u32::try_from(n).ok()) {
                Some(size) => args.push(GlobalArg::Mem { size, nullable }),
                None => return refuse("takes a pointer to something without a size"),
            }
        }
        Ok(args)
    }

    /// The kernel's structure of the name of the program's type `id`.
    fn kernel_type_of(&self, btf: &Btf, id: TypeId) -> Option<u32> {
        let of = btf.resolve(id).filter(|ty| ty.kind() == BtfKind::Struct)?;
        let name = of.name().split("___").next().unwrap_or("");
        self.struct_id(name)
    }

    fn check_global_object(&mut self, value: &RegState, r: Reg, ty: u32, nullable: bool) -> Check {
        let Some(btf) = self.env.prog.btf else {
            return self.unsure("the kernel's types are not known");
        };
        let flags = if nullable { value.flags.without(Flags::MAYBE_NULL) } else { value.flags };
        let trusted = flags == Flags::TRUSTED || value.ref_id != 0 && flags == Flags::NONE;
        let off = u32::try_from(value.off).ok().filter(|_| value.val.is_zero());
        let of = |off| crate::fields::nested_at(btf, TypeId(value.aux), off, TypeId(ty), false);
        if value.kind == Kind::Btf && trusted && off.is_some_and(of) {
            return Ok(());
        }
        if value.kind == Kind::Btf && flags.any(Flags::RCU.with(Flags::TRUSTED)) || value.flags == Flags::NONE
        {
            return self.unsure("an object given to a global function");
        }
        Err(Rule::Argument.reject(
            &[r],
            format!("{} holds {value}; the global function takes a trusted kernel object", name(r)),
        ))
    }

    /// Whether `id` is the type that the kernel takes for this program type's context.
    fn is_context(&self, btf: &Btf, id: TypeId) -> bool {
        let ty = self.env.prog.ty;
        if ty == ProgType::Kprobe {
            let mut at = btf.type_by_id(id);
            while let Some(t) = at.filter(|t| t.kind().is_qualifier()) {
                at = t.target().and_then(|id| btf.type_by_id(id));
            }
            if at.is_some_and(|t| t.kind() == BtfKind::Typedef && t.name() == "bpf_user_pt_regs_t") {
                return true;
            }
        }
        let Some(target) = btf.resolve(id).filter(|t| t.kind().is_composite()) else { return false };
        let Some(layout) = self.env.ctx else { return false };
        let of_kernel = match layout.name {
            "__sk_buff" => "sk_buff",
            "xdp_md" => "xdp_buff",
            other => other,
        };
        target.name() == layout.name || target.name() == of_kernel
    }

    /// Whether a function, or one that it calls, may change packet data.
    fn changes_packets(&self, subprog: u32) -> bool {
        let mut seen = vec![false; self.env.cfg.subprogs.len()];
        let mut todo = vec![subprog];
        while let Some(next) = todo.pop() {
            if std::mem::replace(&mut seen[next as usize], true) {
                continue;
            }
            let (first, end) = self.env.cfg.range_of(next);
            for insn in &self.env.p.insns[first as usize..end as usize] {
                match insn {
                    Insn::Call(Callee::Helper(id))
                        if helper(HelperId(*id)).is_some_and(|def| def.flags.clobbers_packet) =>
                    {
                        return true;
                    }
                    Insn::Call(Callee::Local(to)) | Insn::LoadImm64 { imm: Imm64::Func(to), .. } => {
                        todo.extend(self.env.cfg.subprog_at(to.0));
                    }
                    _ => {}
                }
            }
        }
        false
    }

    /// The frame in which global function `subprog` is verified.
    pub(crate) fn global_frame(&mut self, subprog: u32) -> Check<Frame> {
        let args = self.global_args(subprog)?;
        let mut frame = Frame::new(0, u32::MAX, subprog);
        for (i, arg) in args.iter().enumerate() {
            frame.regs[i + 1] = match *arg {
                GlobalArg::Scalar => RegState::UNKNOWN,
                GlobalArg::Ctx => RegState::pointer(Kind::Ctx, Flags::NONE, 0),
                GlobalArg::Dynptr => Self::given_dynptr(self.new_id()),
                GlobalArg::Object { ty, nullable } => {
                    let flags = Flags::TRUSTED;
                    let flags = if nullable { flags.with(Flags::MAYBE_NULL) } else { flags };
                    RegState { id: self.new_id(), ..RegState::pointer(Kind::Btf, flags, ty) }
                }
                GlobalArg::Mem { size, nullable } => {
                    let flags = if nullable { Flags::MAYBE_NULL } else { Flags::NONE };
                    RegState { id: self.new_id(), ..RegState::pointer(Kind::Mem, flags, size) }
                }
            };
        }
        Ok(frame)
    }

    /// Verifies every global function that was called, and those that they call.
    pub(crate) fn run_globals(&mut self) -> Check {
        let mut done = vec![false; self.called_global.len()];
        while let Some(next) = (0..done.len()).find(|&i| self.called_global[i] && !done[i]) {
            done[next] = true;
            let frame = self.global_frame(next as u32)?;
            self.run(self.env.cfg.subprogs[next], frame)?;
        }
        Ok(())
    }
}

/// The tags (`arg:TAG`) of a function's arguments.
fn tags<'b>(btf: &'b Btf, func: &Type<'b>) -> Vec<(u32, &'b str)> {
    btf.types_of(BtfKind::DeclTag)
        .filter(|tag| tag.target() == Some(func.id()))
        .filter_map(|tag| Some((tag.component()?, tag.name().strip_prefix("arg:")?)))
        .collect()
}
