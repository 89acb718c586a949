//! Calls of helper functions.

use super::dynptr::{Dynptr, DynptrKind};
use super::memory::Access;
use super::stack::{StackUse, place};
use crate::era::Change;
use crate::explore::{Flow, Walk};
use crate::rules::{
    Check, Rule, argument, argument_length, context_access, format_string, helper_allowed, initialised_stack,
    lock, map_helper, packet_bounds, reference, tail_call,
};
use crate::state::{Byte, Flags, Frame, Kind, Ref, RegState};
use bpf_facts::{Arg, AttachType, DynptrArg, HelperDef, HelperId, MapType, MemAccess, Ret, V};
use ebpf_asm::{Operand, Reg};

/// Largest negative error number.
const MAX_ERRNO: i64 = 4095;

/// First kernel that walks on in the caller after a tail call of a subprogram.
const TAIL_CALLS_RETURN_SINCE: V = V(6, 18);

/// What the arguments of a call were found to be.
#[derive(Default)]
struct Call {
    map: Option<(u32, u32)>,
    /// Key, if it is a constant and the map an array.
    key: Option<u64>,
    subprog: Option<u32>,
    mem_size: u32,
    /// Largest length given.
    max_len: i64,
    /// Stack that the helper fills: register and bytes.
    fills: Option<(Reg, u32)>,
    /// Reference given.
    ref_id: u32,
    releases: bool,
    btf_id: u32,
    dynptr: Option<Dynptr>,
}

fn arg_reg(i: usize) -> Reg {
    Reg::new(i as u8 + 1).expect("helpers have five arguments")
}

impl Walk<'_> {
    pub(crate) fn call_helper(&mut self, id: u32) -> Check<Flow> {
        let def = helper_allowed::check(self.env, id)?;
        let everywhere = def.id == HelperId::D_PATH && self.env.prog.attach_type == AttachType::TraceIter;
        if def.flags.by_target && !everywhere {
            self.doubt(format!("helper {} is allowed at certain places only", def.name));
        }
        let args = self.env.profile.helper_args(def, self.env.prog.ty);
        let mut call = Call::default();
        for (i, arg) in args.iter().enumerate() {
            if *arg == Arg::None {
                break;
            }
            self.check_arg(def, &args, i, &mut call)?;
        }
        if let Some((index, _)) = call.map {
            map_helper::check(self.env, def, index)?;
        }
        if let Some((r, size)) = call.fills {
            for i in 0..size {
                self.store_value(1, r, i as i32, None::<Operand>, false)?;
            }
        }
        if let (true, Some(dynptr)) = (call.releases, call.dynptr) {
            self.release_dynptr(dynptr)?;
        } else if call.releases && call.ref_id != 0 {
            self.release(call.ref_id)?;
        }
        let called = self.check_special(def, &call)?;
        let stays = def.id == HelperId::TAIL_CALL && self.env.profile.version >= TAIL_CALLS_RETURN_SINCE;
        if def.flags.clobbers_packet && !stays {
            self.forget_packets();
        }
        self.clobber_caller_saved();
        let result = self.result(def, &call)?;
        *self.st.reg_mut(Reg::R0) = result;
        if stays && self.st.top > 0 {
            return self.tail_call_in_subprogram();
        }
        if let Some((frame, entry)) = called {
            self.st.push_frame(frame);
            return Ok(Flow::To(entry));
        }
        Ok(Flow::Next)
    }

    /// To the caller, a tail call that is made is a return; one that is not made goes on here.
    fn tail_call_in_subprogram(&mut self) -> Check<Flow> {
        if self.st.cur().callback.is_some() {
            return self.unsure("a tail call in a callback");
        }
        tail_call::check_subprogram(self.env, self.st.cur().subprog)?;
        self.fork(self.pc + 1)?;
        self.forget_packets();
        *self.st.reg_mut(Reg::R0) = RegState::UNKNOWN;
        self.leave()
    }

    /// What the argument is for the map given before: a set is not asked for its next value, but for a certain one.
    fn argument_of(&self, def: &HelperDef, arg: Arg, call: &Call) -> Arg {
        let is_set = |(map, _): (u32, u32)| self.env.map(map).ty == MapType::BloomFilter;
        if def.id == HelperId::MAP_PEEK_ELEM && call.map.is_some_and(is_set) && arg == Arg::UninitMapValue {
            return Arg::MapValue;
        }
        arg
    }

    fn check_arg(&mut self, def: &HelperDef, args: &[Arg; 5], i: usize, call: &mut Call) -> Check {
        let r = arg_reg(i);
        let value = self.read(r)?;
        let arg = self.argument_of(def, args[i], call);
        if arg == Arg::Anything {
            return Ok(());
        }
        if value.kind.is_packet() && !(def.flags.packet_mem && self.env.prog.may_read_packets()) {
            return Err(argument::wrong(def, &value, r, "anything but packet data"));
        }
        if let Arg::Dynptr(wants) = arg {
            return self.check_dynptr(wants, &value, r, call);
        }
        let null = value.is_null() && arg.nullable();
        if !null {
            self.check_kind(def, arg, &value, r)?;
        }
        if arg.releases() {
            reference::check_releasable(&value, r)?;
            call.releases = true;
        }
        if value.ref_id != 0 {
            if call.ref_id != 0 {
                return self.unsure("a call is given two references");
            }
            call.ref_id = value.ref_id;
        }
        match arg {
            Arg::None
            | Arg::Anything
            | Arg::Scalar
            | Arg::Ctx
            | Arg::CtxOrNull
            | Arg::AllocMem
            | Arg::StackOrNull => Ok(()),
            Arg::ConstMapPtr => {
                call.map = Some((value.aux, value.uid));
                Ok(())
            }
            Arg::MapKey => {
                let size = self.map_of(def, call, r)?.0;
                self.check_mem(def, &value, r, size, MemAccess::Read, false, call)?;
                call.key = self.constant_key(&value, size, call);
                Ok(())
            }
            Arg::MapValue => {
                let size = self.map_of(def, call, r)?.1;
                self.check_mem(def, &value, r, size, MemAccess::Read, false, call)
            }
            Arg::MapValueOrNull => {
                if null {
                    return Ok(());
                }
                let size = self.map_of(def, call, r)?.1;
                self.check_mem(def, &value, r, size, MemAccess::Read, false, call)
            }
            Arg::UninitMapValue => {
                let size = self.map_of(def, call, r)?.1;
                self.check_mem(def, &value, r, size, MemAccess::Write, false, call)
            }
            // Checked with the length that follows.
            Arg::Mem(_) | Arg::MemOrNull(_) => Ok(()),
            Arg::FixedMem(access, size) => self.check_mem(def, &value, r, size, access, false, call),
            Arg::IntPtr(size) => {
                self.check_mem(def, &value, r, size, MemAccess::Write, false, call)?;
                crate::rules::alignment::check(&value, r, 0, size, true)
            }
            Arg::Len | Arg::LenOrZero => self.check_len(def, args, i, call),
            Arg::ConstAllocSize => {
                let Some(size) = value.as_const() else {
                    return Err(argument::wrong(def, &value, r, "a known constant"));
                };
                call.mem_size = size as u32;
                self.mark_precise(r);
                Ok(())
            }
            Arg::Func => {
                call.subprog = Some(value.aux);
                Ok(())
            }
            Arg::ConstStr => self.check_const_str(def, &value, r),
            Arg::BtfPtr(name) | Arg::BtfPtrOrNull(name) => {
                if null {
                    Ok(())
                } else {
                    self.check_object_arg(def, &value, r, name)
                }
            }
            Arg::PercpuBtfPtr => {
                call.btf_id = value.aux;
                Ok(())
            }
            Arg::SockCommonBtf | Arg::SockCommonBtfOrNull if null => Ok(()),
            Arg::SockCommonBtf | Arg::SockCommonBtfOrNull if value.ref_id == 0 => match value.kind {
                Kind::Btf => self.check_object_arg(def, &value, r, "sock_common"),
                _ => Ok(()),
            },
            Arg::SockCommonBtf
            | Arg::SockCommonBtfOrNull
            | Arg::SockRelease
            | Arg::SockCommon
            | Arg::SocketOrNull
            | Arg::Timer
            | Arg::KptrDest
            | Arg::KptrRelease
            | Arg::Dynptr(_) => self.unsure(format!("arguments of helper {}", def.name)),
            Arg::SpinLock => self.check_lock(def, &value, r),
        }
    }

    fn check_dynptr(&mut self, wants: DynptrArg, value: &RegState, r: Reg, call: &mut Call) -> Check {
        match wants {
            DynptrArg::NewLocal => self.new_dynptr(DynptrKind::Local, r, None),
            DynptrArg::NewRingbuf => self.new_dynptr(DynptrKind::Ringbuf, r, None),
            DynptrArg::Any => {
                call.dynptr = Some(self.dynptr(r, false)?);
                Ok(())
            }
            DynptrArg::ReleaseRingbuf => {
                let dynptr = self.dynptr(r, true)?;
                if dynptr.ref_id == 0 || dynptr.kind != DynptrKind::Ringbuf {
                    let what =
                        format!("r{} holds {value}, which stands for no ring buffer record", r.index());
                    return Err(Rule::Reference.reject(&[r], what));
                }
                call.dynptr = Some(dynptr);
                call.releases = true;
                Ok(())
            }
        }
    }

    /// A lock is taken, or given back.
    fn check_lock(&mut self, def: &HelperDef, value: &RegState, r: Reg) -> Check {
        let place = lock::place(self.env, value, r)?;
        let taking = def.id == HelperId::SPIN_LOCK;
        match (taking, self.st.lock) {
            (true, None) => {
                self.st.lock = Some(place);
                Ok(())
            }
            (true, Some(_)) => Err(Rule::Lock.reject(&[r], "two locks cannot be held at once")),
            (false, None) => Err(Rule::Lock.reject(&[r], "a lock is given back that was not taken")),
            (false, Some(held)) if held != place => {
                Err(Rule::Lock.reject(&[r], "another lock is given back than the one that was taken"))
            }
            (false, Some(_)) => {
                self.st.lock = None;
                Ok(())
            }
        }
    }

    /// The key of an array, if it is a known number in the stack. That number matters from now on.
    fn constant_key(&mut self, ptr: &RegState, size: u32, call: &Call) -> Option<u64> {
        let (map, _) = call.map?;
        let array = matches!(self.env.map(map).ty, MapType::Array | MapType::PercpuArray);
        // Inner maps of that flag may be smaller than they seem.
        let may_shrink = self.env.map(map).flags & bpf_facts::MapFlags::INNER_MAP != 0;
        if !array || may_shrink || ptr.kind != Kind::Stack || !self.env.era.has(Change::ConstantKeys) {
            return None;
        }
        let off = ptr.val.as_const()? as i64 + i64::from(ptr.off);
        let (spi, top) = place(off);
        let slot = self.st.frame(ptr.frame).stack[spi];
        let run = |want: Byte| slot.bytes[..=top].iter().rev().take_while(|b| **b == want).count() as u32;
        if run(Byte::Zero) >= size {
            return Some(0);
        }
        if !slot.is_scalar_spill() || run(Byte::Spill) != size {
            return None;
        }
        let key = slot.reg.val.as_const()?;
        self.mark_precise_slot(ptr.frame, spi as u8);
        Some(key)
    }

    /// Key and value size of the map given before.
    fn map_of(&self, def: &HelperDef, call: &Call, r: Reg) -> Check<(u32, u32)> {
        match call.map {
            Some((index, _)) => {
                let map = self.env.map(index);
                Ok((map.key_size, map.value_size))
            }
            None => Err(Rule::Argument.reject(&[r], format!("helper {} is given no map", def.name))),
        }
    }

    /// The register holds the kind of thing that the argument wants.
    fn check_kind(&self, def: &HelperDef, arg: Arg, value: &RegState, r: Reg) -> Check {
        use Kind as K;
        let kind = value.kind;
        // A flag that the argument does not mind is as if not there.
        let mut flags = value.flags;
        if arg.nullable() {
            flags = flags.without(Flags::MAYBE_NULL);
        }
        if matches!(arg, Arg::Mem(_) | Arg::MemOrNull(_) | Arg::FixedMem(..)) {
            flags = flags.without(Flags::SLICE.with(Flags::PACKET));
        }
        let reads = matches!(
            arg,
            Arg::Mem(MemAccess::Read)
                | Arg::MemOrNull(MemAccess::Read)
                | Arg::FixedMem(MemAccess::Read, _)
                | Arg::MapKey
                | Arg::MapValue
                | Arg::MapValueOrNull
        );
        if reads {
            flags = flags.without(Flags::RDONLY);
        }
        let plain = flags == Flags::NONE;
        let (ok, wants) = match arg {
            Arg::None | Arg::Anything => (true, ""),
            Arg::Scalar | Arg::Len | Arg::LenOrZero | Arg::ConstAllocSize => (kind == K::Scalar, "a number"),
            Arg::Ctx | Arg::CtxOrNull => (kind == K::Ctx, "the context"),
            Arg::ConstMapPtr => (kind == K::Map, "a map"),
            Arg::MapKey | Arg::MapValue | Arg::MapValueOrNull | Arg::UninitMapValue | Arg::IntPtr(_)
                if !self.takes_any_memory(arg) =>
            {
                (
                    plain && matches!(kind, K::Stack | K::Packet | K::PacketMeta | K::MapKey | K::MapValue),
                    "memory",
                )
            }
            Arg::MapKey
            | Arg::MapValue
            | Arg::MapValueOrNull
            | Arg::UninitMapValue
            | Arg::IntPtr(_)
            | Arg::Mem(_)
            | Arg::MemOrNull(_)
            | Arg::FixedMem(..) => {
                let mem = plain
                    && matches!(
                        kind,
                        K::Stack | K::Packet | K::PacketMeta | K::MapKey | K::MapValue | K::Mem | K::Buf
                    );
                let record = kind == K::Mem && flags == Flags::RINGBUF;
                // Objects are only read. Being NULL is not excused for them.
                let object = kind == K::Btf && value.flags == Flags::TRUSTED;
                if object && !reads {
                    return Err(argument::wrong(def, value, r, "memory that may be written"));
                }
                (mem || record || object, "memory")
            }
            Arg::AllocMem => {
                (kind == K::Mem && flags == Flags::RINGBUF, "a record from ringbuf_reserve, not NULL")
            }
            Arg::Func => (kind == K::Func, "a function"),
            Arg::StackOrNull => (kind == K::Stack, "an address on the stack, or 0"),
            Arg::SpinLock => (kind == K::MapValue && plain, "the lock of a map value, not NULL"),
            Arg::ConstStr => (kind == K::MapValue && plain, "a constant string"),
            Arg::BtfPtr(_) | Arg::BtfPtrOrNull(_) => {
                let valid = [Flags::NONE, Flags::TRUSTED, Flags::RCU].contains(&flags);
                (kind == K::Btf && valid, "a kernel object, not NULL, that is known to be valid")
            }
            Arg::PercpuBtfPtr => (kind == K::Btf && value.flags.has(Flags::PERCPU), "a per-CPU variable"),
            Arg::SockCommonBtf | Arg::SockCommonBtfOrNull | Arg::SockRelease => {
                let object = kind == K::Btf && [Flags::NONE, Flags::TRUSTED].contains(&flags);
                (object || plain && kind.is_sock(), "a socket, not NULL")
            }
            Arg::SockCommon => (plain && kind.is_sock(), "a socket, not NULL"),
            Arg::SocketOrNull => (plain && kind == K::Socket, "a full socket"),
            Arg::Timer => (plain && kind == K::MapValue, "the timer of a map value, not NULL"),
            Arg::KptrDest if kind != K::Btf => {
                (plain && kind == K::MapValue, "the place of a kernel pointer in a map value")
            }
            Arg::KptrDest | Arg::KptrRelease | Arg::Dynptr(_) => {
                return self.unsure(format!("arguments of helper {}", def.name));
            }
        };
        if !ok {
            return Err(argument::wrong(def, value, r, wants));
        }
        match kind {
            K::Stack | K::Packet | K::PacketMeta | K::MapKey | K::MapValue | K::Mem | K::Buf | K::Scalar => {
                Ok(())
            }
            K::Btf if value.val.is_zero() => Ok(()),
            _ if value.off == 0 && value.val.is_zero() => Ok(()),
            _ => Err(argument::wrong(def, value, r, "a pointer that was not moved")),
        }
    }

    /// Whether records and buffers serve as keys, values and integers.
    fn takes_any_memory(&self, arg: Arg) -> bool {
        let since = if matches!(arg, Arg::IntPtr(_)) { V(6, 12) } else { V(6, 2) };
        self.env.profile.version >= since
    }

    fn check_len(&mut self, def: &HelperDef, args: &[Arg; 5], i: usize, call: &mut Call) -> Check {
        let (r, mem_reg) = (arg_reg(i), arg_reg(i - 1));
        let value = *self.st.reg(r);
        let zero_ok = args[i] == Arg::LenOrZero;
        let size = argument_length::check(def, &value, r, zero_ok)?;
        call.max_len = i64::from(size);
        let access = match args[i - 1] {
            Arg::Mem(access) | Arg::MemOrNull(access) => access,
            _ => MemAccess::Read,
        };
        // Memory that is only written may be uninitialised only if it is known how much is written.
        let access = if access == MemAccess::Write && value.as_const().is_none() {
            MemAccess::ReadWrite
        } else {
            access
        };
        let mem = *self.st.reg(mem_reg);
        self.check_mem(def, &mem, mem_reg, size, access, zero_ok, call)?;
        self.mark_precise(r);
        Ok(())
    }

    /// `size` bytes at `value` for a helper.
    #[expect(clippy::too_many_arguments, reason = "an argument and what is known of it")]
    fn check_mem(
        &mut self,
        def: &HelperDef,
        value: &RegState,
        r: Reg,
        size: u32,
        access: MemAccess,
        zero_ok: bool,
        call: &mut Call,
    ) -> Check {
        let direction = if access == MemAccess::Read { Access::Read } else { Access::Write };
        let at = i64::from(value.off);
        match value.kind {
            Kind::Stack => self.check_stack_arg(def, value, r, size, access, zero_ok, call),
            Kind::Packet | Kind::PacketMeta => packet_bounds::check(value, r, at, size, zero_ok),
            Kind::MapValue => {
                let value = RegState { flags: value.flags.without(Flags::MAYBE_NULL), ..*value };
                self.check_map_value(&value, r, at, size, zero_ok, direction)
            }
            Kind::Mem if value.is_untrusted_mem() => Err(argument::wrong(def, value, r, "memory")),
            Kind::MapKey | Kind::Mem | Kind::Buf => {
                let zero_ok = zero_ok && value.kind != Kind::MapKey;
                let value = RegState { flags: value.flags.without(Flags::MAYBE_NULL), ..*value };
                self.check_plain(&value, r, at, size, zero_ok, direction)
            }
            Kind::Btf => self.check_object_memory(value, r, size, direction),
            Kind::Scalar if zero_ok && size == 0 && value.is_null() => Ok(()),
            Kind::Ctx => {
                context_access::check_pointer(value, r)?;
                self.unsure("the context is given to a helper as memory")
            }
            _ => Err(argument::wrong(def, value, r, "memory")),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an argument and what is known of it")]
    fn check_stack_arg(
        &mut self,
        def: &HelperDef,
        value: &RegState,
        r: Reg,
        size: u32,
        access: MemAccess,
        zero_ok: bool,
        call: &mut Call,
    ) -> Check {
        if size == 0 && !zero_ok {
            return Err(argument::wrong(def, value, r, "at least one byte"));
        }
        let variable = value.val.as_const().is_none();
        let (min, max) = self.stack_range(r, 0, i64::from(size), StackUse::Helper)?;
        if access == MemAccess::Write && !variable {
            let slots = &self.st.frame(value.frame).stack;
            for off in min..max + i64::from(size) {
                let (spi, byte) = place(off);
                if slots.get(spi).is_some_and(|slot| slot.bytes[byte] == Byte::Dynptr) {
                    return Err(initialised_stack::object(Some(r), off, "a dynptr"));
                }
            }
            call.fills = Some((r, size));
            return Ok(());
        }
        let clobber = access != MemAccess::Read || !self.env.era.has(Change::HelperReadsKeepStack);
        self.check_initialised(value.frame, Some(r), min, max + i64::from(size), clobber)
    }

    fn check_const_str(&self, def: &HelperDef, value: &RegState, r: Reg) -> Check {
        let map = self.env.map(value.aux);
        let Some(at) = value.val.as_const().map(|v| v as i64 + i64::from(value.off)) else {
            return Err(argument::wrong(def, value, r, "a string at a known place"));
        };
        if map.flags & bpf_facts::MapFlags::RDONLY_PROG == 0 || !map.frozen {
            return Err(argument::wrong(def, value, r, "a string in a frozen read-only map"));
        }
        let Some(data) = &map.data else { return self.unsure("the content of a read-only map is not given") };
        let text = usize::try_from(at).ok().and_then(|at| data.get(at..));
        match text {
            Some(text) if text.contains(&0) => Ok(()),
            _ => Err(argument::wrong(def, value, r, "a string that ends with a zero byte")),
        }
    }

    /// Gives reference `id` back: nothing that belongs to it may be used any more.
    pub(super) fn release(&mut self, id: u32) -> Check {
        let Some(i) = self.st.refs.iter().position(|r| r.id == id) else {
            return Err(Rule::Reference.reject(&[], "what is released was not acquired"));
        };
        let in_callback = self.st.cur().callback.is_some();
        if in_callback && self.st.refs[i].frame != self.st.top {
            return self.unsure("a callback releases what its caller acquired");
        }
        self.st.refs.remove(i);
        self.st.update_regs(|r| r.ref_id == id, |r| *r = RegState::UNKNOWN);
        Ok(())
    }

    pub(crate) fn forget_packets(&mut self) {
        let moves = |r: &RegState| {
            r.kind.is_packet()
                || r.kind == Kind::PacketEnd
                || r.kind == Kind::Mem && r.flags.has(Flags::PACKET)
        };
        self.st.update_regs(moves, |r| *r = RegState::UNKNOWN);
    }

    /// What certain helpers demand besides, and callbacks.
    fn check_special(&mut self, def: &HelperDef, call: &Call) -> Check<Option<(Frame, u32)>> {
        match def.id {
            HelperId::TAIL_CALL => {
                reference::check_none_left(&self.st, "a tail call")?;
                lock::check_leaving(self.env.profile.version, &self.st, "a tail call")?;
                if self.st.top > 0 && self.env.profile.version < TAIL_CALLS_RETURN_SINCE {
                    return self.unsure("a tail call in a subprogram");
                }
                let index = Reg::R3;
                if self.st.reg(index).as_const().is_some() {
                    self.mark_precise(index);
                }
                Ok(None)
            }
            HelperId::LOOP => self.call_loop(call),
            HelperId::FOR_EACH_MAP_ELEM => self.call_for_each(call),
            HelperId::SNPRINTF => self.check_format().map(|()| None),
            HelperId::FIND_VMA => self.call_find_vma(call),
            HelperId::USER_RINGBUF_DRAIN => self.call_drain(call),
            HelperId::DYNPTR_FROM_MEM if self.st.reg(Reg::R1).kind != Kind::MapValue => {
                let value = self.st.reg(Reg::R1);
                Err(argument::wrong(def, value, Reg::R1, "memory of a map value"))
            }
            HelperId::DYNPTR_WRITE if call.dynptr.is_some_and(|of| of.kind == DynptrKind::Skb) => {
                self.forget_packets();
                Ok(None)
            }
            HelperId::TIMER_SET_CALLBACK => self.unsure(format!("helper {}", def.name)),
            HelperId::GET_LOCAL_STORAGE if !self.st.reg(Reg::R2).is_null() => {
                Err(Rule::Argument.reject(&[Reg::R2], "get_local_storage takes no flags"))
            }
            _ => Ok(None),
        }
    }

    fn call_loop(&mut self, call: &Call) -> Check<Option<(Frame, u32)>> {
        let Some(subprog) = call.subprog else { return self.unsure("bpf_loop without a callback") };
        if self.st.reg(Reg::R4).is_null() {
            self.mark_precise(Reg::R4);
        }
        self.mark_precise(Reg::R1);
        let rounds = self.st.reg(Reg::R1).val.umax;
        if self.env.era.has(Change::CallbackLoops) && u64::from(self.st.cur().callback_depth) >= rounds {
            self.st.cur_mut().callback_depth = 0;
            return Ok(None);
        }
        self.call_back(subprog, (0, 1), |caller, callee| {
            callee.regs[1] = RegState::UNKNOWN;
            callee.regs[2] = caller.regs[3];
        })
    }

    /// The format of `snprintf`, which is known to be a constant string.
    fn check_format(&mut self) -> Check {
        let (format, len) = (*self.st.reg(Reg::R3), *self.st.reg(Reg::R5));
        let bytes = len.val.bits.value;
        if bytes % 8 != 0 {
            return Err(Rule::Argument.reject(&[Reg::R5], "the arguments are numbers of 8 bytes"));
        }
        let map = self.env.map(format.aux);
        let at = i64::from(format.off) + format.val.as_const().unwrap_or(0) as i64;
        let text = map.data.as_ref().and_then(|data| data.get(usize::try_from(at).ok()?..));
        match text.and_then(|text| format_string::check(text, bytes / 8)) {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => {
                Err(Rule::Argument.reject(&[Reg::R3], format!("the format is not understood: {why}")))
            }
            None => self.unsure("the format of snprintf"),
        }
    }

    fn call_find_vma(&mut self, call: &Call) -> Check<Option<(Frame, u32)>> {
        let Some(subprog) = call.subprog else { return self.unsure("find_vma without a callback") };
        let Some(vma) = self.struct_id("vm_area_struct") else {
            return self.unsure("struct vm_area_struct without BTF");
        };
        self.call_back(subprog, (0, 1), |caller, callee| {
            callee.regs[1] = caller.regs[1];
            callee.regs[2] = RegState::pointer(Kind::Btf, Flags::NONE, vma);
            callee.regs[3] = caller.regs[4];
        })
    }

    fn call_drain(&mut self, call: &Call) -> Check<Option<(Frame, u32)>> {
        self.knows_dynptrs()?;
        let Some(subprog) = call.subprog else {
            return self.unsure("user_ringbuf_drain without a callback");
        };
        let given = Self::given_dynptr(self.new_id());
        self.call_back(subprog, (0, 1), |caller, callee| {
            callee.regs[1] = given;
            callee.regs[2] = caller.regs[3];
        })
    }

    fn call_for_each(&mut self, call: &Call) -> Check<Option<(Frame, u32)>> {
        let (Some(subprog), Some((map, uid))) = (call.subprog, call.map) else {
            return self.unsure("for_each_map_elem without a callback or map");
        };
        self.call_back(subprog, (0, 1), |caller, callee| {
            callee.regs[1] = caller.regs[1];
            callee.regs[2] = RegState { uid, ..RegState::pointer(Kind::MapKey, Flags::NONE, map) };
            callee.regs[3] = RegState { uid, ..RegState::pointer(Kind::MapValue, Flags::NONE, map) };
            callee.regs[4] = caller.regs[3];
        })
    }

    /// What the helper leaves in `R0`.
    fn result(&mut self, def: &HelperDef, call: &Call) -> Check<RegState> {
        match def.ret {
            Ret::Scalar => Ok(self.scalar_result(def, call)),
            Ret::Void => Ok(RegState::NOT_INIT),
            Ret::MapValue | Ret::MapValueOrNull => {
                let Some((map, uid)) = call.map else { return self.unsure("a map value without a map") };
                let ty = self.env.map(map).ty;
                if matches!(ty, MapType::Sockmap | MapType::Sockhash) {
                    return self.unsure("a socket from a map");
                }
                let entries = u64::from(self.env.map(map).max_entries);
                let there = def.id == HelperId::MAP_LOOKUP_ELEM && call.key.is_some_and(|key| key < entries);
                let nullable = def.ret == Ret::MapValueOrNull && !there;
                let flags = if nullable { Flags::MAYBE_NULL } else { Flags::NONE };
                let id = if nullable { self.new_id() } else { 0 };
                Ok(RegState { uid, id, ..RegState::pointer(Kind::MapValue, flags, map) })
            }
            Ret::AllocMemOrNull => {
                let id = self.new_id();
                let frame = self.st.top;
                self.st.refs.push(Ref { id, acquired_at: self.pc, frame });
                let flags = Flags::MAYBE_NULL.with(Flags::RINGBUF);
                Ok(RegState { id, ref_id: id, ..RegState::pointer(Kind::Mem, flags, call.mem_size) })
            }
            Ret::BtfPtr(name) => self.object(name, Flags::NONE),
            Ret::TrustedBtfPtr(name) => self.object(name, Flags::TRUSTED),
            Ret::BtfPtrOrNull(name) => self.object(name, Flags::MAYBE_NULL),
            Ret::PercpuMem => self.percpu_object(call.btf_id, Flags::NONE),
            Ret::PercpuMemOrNull => self.percpu_object(call.btf_id, Flags::MAYBE_NULL),
            Ret::DynptrMemOrNull => {
                let Some(of) = call.dynptr else { return self.unsure("memory of no dynptr") };
                let id = self.new_id();
                let value = RegState::pointer(Kind::Mem, Flags::MAYBE_NULL, call.mem_size);
                Ok(RegState { id, ref_id: of.ref_id, uid: of.id, ..value })
            }
            Ret::SocketOrNull | Ret::TcpSockOrNull | Ret::SockCommonOrNull | Ret::KptrOrNull => {
                self.unsure(format!("the result of helper {}", def.name))
            }
        }
    }

    fn scalar_result(&self, def: &HelperDef, call: &Call) -> RegState {
        let mut r = RegState::UNKNOWN;
        match def.id {
            HelperId::GET_STACK
            | HelperId::GET_TASK_STACK
            | HelperId::PROBE_READ_STR
            | HelperId::PROBE_READ_KERNEL_STR
            | HelperId::PROBE_READ_USER_STR => {
                (r.val.smin, r.val.smax) = (-MAX_ERRNO, call.max_len);
                (r.val.smin32, r.val.smax32) = (-MAX_ERRNO as i32, call.max_len as i32);
                r.val.sync(self.env.era);
            }
            HelperId::GET_SMP_PROCESSOR_ID if self.env.era.has(Change::SmpIdRange) => {
                if let Some(n) = self.env.prog.n_cpus.filter(|n| *n > 0) {
                    let max = n - 1;
                    (r.val.umax, r.val.umax32) = (u64::from(max), max);
                    (r.val.smin, r.val.smax) = (0, i64::from(max));
                    (r.val.smin32, r.val.smax32) = (0, max as i32);
                    r.val.sync(self.env.era);
                }
            }
            _ => {}
        }
        r.val.heal();
        r
    }
}
