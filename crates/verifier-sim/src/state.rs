//! The abstract machine: what is known of every register and stack byte on one path.
//!
//! A [`State`] is cheap to copy: frames are shared until written.

use crate::bounds::Bounds;
use std::fmt;
use std::rc::Rc;

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing: reading it is an error.
    NotInit,
    /// A number.
    Scalar,
    /// The program's context.
    Ctx,
    /// A map; `aux` is its index in the walk's table.
    Map,
    /// A value of map `aux`.
    MapValue,
    /// A key of map `aux`.
    MapKey,
    /// The stack of frame `frame`; offsets count from its top.
    Stack,
    /// Packet data; `range` bytes are known to be there.
    Packet,
    /// Packet metadata.
    PacketMeta,
    /// End of packet data.
    PacketEnd,
    /// Memory of `aux` bytes.
    Mem,
    /// A buffer whose size is checked when the program is attached.
    Buf,
    /// An object of kernel type `aux`.
    Btf,
    /// Subprogram `aux`.
    Func,
    /// Buffer of a writable raw tracepoint.
    TpBuffer,
    /// `struct bpf_sock` of a full socket.
    Socket,
    /// `struct bpf_sock` of any socket.
    SockCommon,
    /// `struct bpf_tcp_sock`.
    TcpSock,
    /// `struct bpf_xdp_sock`.
    XdpSock,
    /// `struct bpf_flow_keys`.
    FlowKeys,
    /// A dynptr that the program was given; `aux` is what it stands for.
    Dynptr,
}

impl Kind {
    /// What messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::NotInit => "nothing",
            Kind::Scalar => "a number",
            Kind::Ctx => "the context",
            Kind::Map => "a map",
            Kind::MapValue => "a map value",
            Kind::MapKey => "a map key",
            Kind::Stack => "a stack address",
            Kind::Packet => "packet data",
            Kind::PacketMeta => "packet metadata",
            Kind::PacketEnd => "the end of the packet",
            Kind::Mem => "memory",
            Kind::Buf => "a buffer",
            Kind::Btf => "a kernel object",
            Kind::Func => "a function",
            Kind::TpBuffer => "a tracepoint buffer",
            Kind::Socket => "a socket",
            Kind::SockCommon => "a common socket",
            Kind::TcpSock => "a TCP socket",
            Kind::XdpSock => "an XDP socket",
            Kind::FlowKeys => "flow keys",
            Kind::Dynptr => "a dynptr",
        }
    }

    /// Whether it points to a packet (its end not included).
    pub(crate) fn is_packet(self) -> bool {
        matches!(self, Kind::Packet | Kind::PacketMeta)
    }

    /// Whether it is one of the socket views.
    pub(crate) fn is_sock(self) -> bool {
        matches!(self, Kind::Socket | Kind::SockCommon | Kind::TcpSock | Kind::XdpSock)
    }
}

/// Modifiers of a kind, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Flags(u16);

impl Flags {
    /// None.
    pub const NONE: Flags = Flags(0);
    /// May be NULL.
    pub const MAYBE_NULL: Flags = Flags(1);
    /// Must not be written through.
    pub const RDONLY: Flags = Flags(2);
    /// A ring buffer record.
    pub const RINGBUF: Flags = Flags(4);
    /// A kernel object that is known to be valid.
    pub const TRUSTED: Flags = Flags(8);
    /// A kernel object that may be gone.
    pub const UNTRUSTED: Flags = Flags(16);
    /// A kernel object protected by RCU.
    pub const RCU: Flags = Flags(32);
    /// User memory.
    pub const USER: Flags = Flags(64);
    /// Per-CPU memory.
    pub const PERCPU: Flags = Flags(128);
    /// Memory that a dynptr stands for.
    pub const SLICE: Flags = Flags(256);
    /// Memory of a packet, which may move.
    pub const PACKET: Flags = Flags(512);

    /// Whether all of `other` are set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    pub const fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// Of memory that is read like that of another process: anywhere, and zero where there is none.
    pub(crate) const UNTRUSTED_MEM: Flags = Flags::RDONLY.with(Flags::UNTRUSTED);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// This without `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// Marks the id of a scalar that equals its group plus the constant in `off`.
pub(crate) const ADD_CONST64: u32 = 1 << 31;
/// The same, where the sum was cut to 32 bits.
pub(crate) const ADD_CONST32: u32 = 1 << 30;
/// Both marks.
pub(crate) const ADD_CONST: u32 = ADD_CONST64 | ADD_CONST32;

/// A packet pointer known to be beyond the end of the packet.
pub(crate) const BEYOND_PKT_END: i32 = -2;
/// A packet pointer known to be at or beyond the end.
pub(crate) const AT_PKT_END: i32 = -1;

/// What is known of one register, or of a register spilled to the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegState {
    /// What it holds.
    pub kind: Kind,
    /// Modifiers.
    pub flags: Flags,
    /// Frame of a stack address, and of the buffer of a slice.
    pub frame: u8,
    /// Whether the exact bounds of a scalar mattered for the verdict.
    pub precise: bool,
    /// Fixed offset of a pointer, in bytes; of a linked scalar, its distance to its group.
    pub off: i32,
    /// Map index, memory size, type id or subprogram, as `kind` says.
    pub aux: u32,
    /// Bytes known to be readable after a packet pointer, or `AT_PKT_END`/`BEYOND_PKT_END`; of a slice, where in the stack
    /// its buffer is, or 0.
    pub range: i32,
    /// Tells apart maps that were looked up in maps; of a slice, the number of its dynptr.
    pub uid: u32,
    /// Group of values that are equal (scalars), NULL together (pointers) or have one unknown offset (packets); 0 for none.
    pub id: u32,
    /// Acquired reference that the value belongs to; 0 for none.
    pub ref_id: u32,
    /// The number, or the variable part of a pointer's offset.
    pub val: Bounds,
}

impl RegState {
    /// Nothing in it.
    pub const NOT_INIT: RegState = RegState { kind: Kind::NotInit, ..RegState::UNKNOWN };
    /// Any number.
    pub const UNKNOWN: RegState = RegState {
        kind: Kind::Scalar,
        flags: Flags::NONE,
        frame: 0,
        precise: false,
        off: 0,
        aux: 0,
        range: 0,
        uid: 0,
        id: 0,
        ref_id: 0,
        val: Bounds::UNKNOWN,
    };

    /// The number `v`.
    pub const fn constant(v: u64) -> RegState {
        RegState { val: Bounds::constant(v), ..RegState::UNKNOWN }
    }

    /// A pointer of this kind, offset 0.
    pub const fn pointer(kind: Kind, flags: Flags, aux: u32) -> RegState {
        RegState { kind, flags, aux, val: Bounds::constant(0), ..RegState::UNKNOWN }
    }

    /// Whether it holds a number.
    pub fn is_scalar(&self) -> bool {
        self.kind == Kind::Scalar
    }

    /// Whether it holds something else than a number; nothing at all counts too.
    pub fn is_pointer(&self) -> bool {
        self.kind != Kind::Scalar
    }

    /// Whether it is the number 0.
    pub fn is_null(&self) -> bool {
        self.is_scalar() && self.val.is_zero()
    }

    /// Whether it is a pointer that may be NULL.
    pub fn may_be_null(&self) -> bool {
        self.flags.has(Flags::MAYBE_NULL)
    }

    /// Whether it points to memory that need not be there: see [`Flags::UNTRUSTED_MEM`].
    pub(crate) fn is_untrusted_mem(&self) -> bool {
        self.kind == Kind::Mem && self.flags.has(Flags::UNTRUSTED)
    }

    /// The number, if it is known.
    pub fn as_const(&self) -> Option<u64> {
        if self.is_scalar() { self.val.as_const() } else { None }
    }

    /// Ends its being linked to other scalars.
    pub(crate) fn unlink(&mut self) {
        self.id = 0;
        self.off = 0;
    }

    /// Id of its group, without the mark.
    pub(crate) fn group(&self) -> u32 {
        self.id & !ADD_CONST
    }

    /// The state without ids and marks, for comparison.
    pub(crate) fn body(&self) -> RegState {
        RegState { id: 0, ref_id: 0, precise: false, frame: 0, ..*self }
    }
}

impl fmt::Display for RegState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_scalar() {
            return match self.val.as_const() {
                Some(_) => write!(f, "{}", self.val),
                None => write!(f, "number ({})", self.val),
            };
        }
        f.write_str(self.kind.name())?;
        if self.kind == Kind::NotInit {
            return Ok(());
        }
        let flags = [
            (Flags::MAYBE_NULL, " or NULL"),
            (Flags::RDONLY, ", read-only"),
            (Flags::UNTRUSTED, ", untrusted"),
            (Flags::USER, " of user space"),
            (Flags::PERCPU, ", per CPU"),
        ];
        for (flag, text) in flags {
            if self.flags.has(flag) {
                f.write_str(text)?;
            }
        }
        if self.off != 0 {
            write!(f, " {:+}", self.off)?;
        }
        if !self.val.is_zero() {
            write!(f, " + ({})", self.val)?;
        }
        Ok(())
    }
}

/// What a byte of stack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Byte {
    /// Never written.
    Invalid,
    /// Part of a spilled register.
    Spill,
    /// Some number.
    Misc,
    /// Zero.
    Zero,
    /// Part of an iterator: see [`Slot::reg`].
    Iter,
    /// Part of a dynptr: see [`Slot::reg`].
    Dynptr,
}

/// Eight bytes of stack. Index 0 of `bytes` is the byte just below the slot's upper end, as the frame grows down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What each byte holds, from the highest address down.
    pub bytes: [Byte; 8],
    /// The spilled register, where bytes are [`Byte::Spill`]. Of an iterator: its type in `aux`, in `range` how often it
    /// gave a value, in `uid` whether it is drained, and in the first slot its reference. Of a dynptr: what it stands
    /// for in `aux`, in `uid` whether these are its first bytes, its number in `id`, and its reference.
    pub reg: RegState,
    /// Whether a path from the checkpoint on reads it.
    pub(crate) read: bool,
    /// Whether the whole slot was overwritten since the last checkpoint.
    pub(crate) written: bool,
}

impl Slot {
    pub(crate) const EMPTY: Slot =
        Slot { bytes: [Byte::Invalid; 8], reg: RegState::NOT_INIT, read: false, written: false };

    /// Whether an iterator is here.
    pub(crate) fn is_iter(&self) -> bool {
        self.bytes[0] == Byte::Iter
    }

    /// Whether an iterator is here that may give another value.
    pub(crate) fn is_active_iter(&self) -> bool {
        self.is_iter() && self.reg.uid == 0
    }

    /// Whether a dynptr is here.
    pub(crate) fn is_dynptr(&self) -> bool {
        self.bytes[0] == Byte::Dynptr
    }

    /// Whether a register was spilled here, wholly or in part.
    pub fn is_spill(&self) -> bool {
        self.bytes[7] == Byte::Spill
    }

    /// Whether all eight bytes are of one spilled register.
    pub(crate) fn is_full_spill(&self) -> bool {
        self.bytes[0] == Byte::Spill
    }

    /// Whether a scalar was spilled here.
    pub(crate) fn is_scalar_spill(&self) -> bool {
        self.is_spill() && self.reg.is_scalar()
    }

    /// How many bytes, from the lowest address, belong to the spill.
    pub(crate) fn spill_size(&self) -> u32 {
        self.bytes.iter().rev().take_while(|&&b| b == Byte::Spill).count() as u32
    }
}

/// Range that a callback's result must lie in.
pub(crate) type RetRange = (i64, i64);

/// One function invocation.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `R0` to `R10`.
    pub regs: [RegState; 11],
    /// Slots from the top of the frame down: slot `i` is at `R10 - 8 * (i + 1)`.
    pub stack: Vec<Slot>,
    /// Instruction of the call; `u32::MAX` for the entry.
    pub(crate) callsite: u32,
    /// Subprogram.
    pub(crate) subprog: u32,
    /// Range of the result, if it is a callback.
    pub(crate) callback: Option<RetRange>,
    /// Iterations of callbacks called from here that were verified.
    pub(crate) callback_depth: u32,
    /// Entered since the last checkpoint: its slots have no counterpart in the checkpoint's state.
    pub(crate) fresh: bool,
}

impl Frame {
    pub(crate) fn new(index: u8, callsite: u32, subprog: u32) -> Frame {
        let mut regs = [RegState::NOT_INIT; 11];
        regs[10] = RegState { frame: index, ..RegState::pointer(Kind::Stack, Flags::NONE, 0) };
        Frame { regs, stack: Vec::new(), callsite, subprog, callback: None, callback_depth: 0, fresh: true }
    }

    /// Makes sure there are slots for `bytes` bytes.
    pub(crate) fn grow(&mut self, bytes: u32) {
        let slots = bytes.div_ceil(8) as usize;
        if self.stack.len() < slots {
            self.stack.resize(slots, Slot::EMPTY);
        }
    }

    /// Bytes of stack in use so far.
    pub(crate) fn stack_bytes(&self) -> u32 {
        self.stack.len() as u32 * 8
    }
}

/// An acquired reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ref {
    pub(crate) id: u32,
    pub(crate) acquired_at: u32,
    /// Frame that acquired it, if that is a callback's.
    pub(crate) frame: u8,
}

/// Most frames, the entry's included.
pub(crate) const MAX_FRAMES: usize = 8;

/// Index of a checkpoint in the walk's arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointId(pub(crate) u32);

/// The abstract machine at one point of one path.
#[derive(Clone, Debug)]
pub struct State {
    frames: [Option<Rc<Frame>>; MAX_FRAMES],
    /// Index of the running frame.
    pub(crate) top: u8,
    pub(crate) refs: Vec<Ref>,
    /// Last checkpoint of this path.
    pub(crate) parent: Option<CheckpointId>,
    /// First instruction since the checkpoint.
    pub(crate) first_insn: u32,
    /// Instruction before the current one.
    pub(crate) last_insn: Option<u32>,
    /// Where this path's history since the checkpoint stands in the walk's.
    pub(crate) history: (u32, u32),
    pub(crate) may_goto_depth: u32,
    /// Read-side sections of RCU that the program is in.
    pub(crate) rcu_locks: u32,
    /// Sections without preemption that the program is in.
    pub(crate) preempt_locks: u32,
    /// The lock that is held: map, which map of its shape, which value.
    pub(crate) lock: Option<(u32, u32, u32)>,
    pub(crate) callback_unroll_depth: u32,
    /// Number of checkpoints on the path.
    pub(crate) depth: u32,
    pub(crate) loop_entry: Option<CheckpointId>,
}

impl State {
    pub(crate) fn new(frame: Frame) -> State {
        let mut frames = [const { None }; MAX_FRAMES];
        frames[0] = Some(Rc::new(frame));
        State {
            frames,
            top: 0,
            refs: Vec::new(),
            parent: None,
            first_insn: 0,
            last_insn: None,
            history: (0, 0),
            may_goto_depth: 0,
            rcu_locks: 0,
            preempt_locks: 0,
            lock: None,
            callback_unroll_depth: 0,
            depth: 0,
            loop_entry: None,
        }
    }

    /// Frame `i`, 0 being the entry's.
    pub fn frame(&self, i: u8) -> &Frame {
        self.frames[usize::from(i)].as_deref().expect("frames up to the top exist")
    }

    pub(crate) fn frame_mut(&mut self, i: u8) -> &mut Frame {
        Rc::make_mut(self.frames[usize::from(i)].as_mut().expect("frames up to the top exist"))
    }

    /// The running frame.
    pub fn cur(&self) -> &Frame {
        self.frame(self.top)
    }

    pub(crate) fn cur_mut(&mut self) -> &mut Frame {
        self.frame_mut(self.top)
    }

    /// A register of the running frame.
    pub(crate) fn reg(&self, r: ebpf_asm::Reg) -> &RegState {
        &self.cur().regs[usize::from(r.index())]
    }

    pub(crate) fn reg_mut(&mut self, r: ebpf_asm::Reg) -> &mut RegState {
        &mut self.cur_mut().regs[usize::from(r.index())]
    }

    pub(crate) fn push_frame(&mut self, frame: Frame) {
        self.top += 1;
        self.frames[usize::from(self.top)] = Some(Rc::new(frame));
    }

    pub(crate) fn pop_frame(&mut self) {
        self.frames[usize::from(self.top)] = None;
        self.top -= 1;
    }

    /// Number of frames.
    pub fn n_frames(&self) -> u8 {
        self.top + 1
    }

    /// Applies `f` to every register and spilled register that `wanted` picks. Frames without any are not copied.
    pub(crate) fn update_regs(
        &mut self,
        wanted: impl Fn(&RegState) -> bool,
        mut f: impl FnMut(&mut RegState),
    ) {
        for i in 0..=self.top {
            let frame = self.frame(i);
            let hit =
                frame.regs.iter().any(&wanted) || frame.stack.iter().any(|s| s.is_spill() && wanted(&s.reg));
            if !hit {
                continue;
            }
            let frame = self.frame_mut(i);
            for reg in frame.regs.iter_mut().filter(|r| wanted(r)) {
                f(reg);
            }
            for slot in frame.stack.iter_mut().filter(|s| s.is_spill() && wanted(&s.reg)) {
                f(&mut slot.reg);
            }
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        let mut sep = |f: &mut fmt::Formatter<'_>| {
            let s = if first { "" } else { "; " };
            first = false;
            f.write_str(s)
        };
        for (i, reg) in self.regs.iter().enumerate().take(10) {
            if reg.kind != Kind::NotInit {
                sep(f)?;
                write!(f, "r{i} = {reg}")?;
            }
        }
        for (i, slot) in self.stack.iter().enumerate() {
            if slot.is_spill() {
                sep(f)?;
                write!(f, "fp-{} = {}", (i + 1) * 8, slot.reg)?;
            } else if slot.bytes.iter().any(|&b| b != Byte::Invalid) {
                sep(f)?;
                let text: String = slot
                    .bytes
                    .iter()
                    .rev()
                    .map(|b| match b {
                        Byte::Invalid => '?',
                        Byte::Spill => 'r',
                        Byte::Misc => 'm',
                        Byte::Zero => '0',
                        Byte::Iter => 'i',
                        Byte::Dynptr => 'd',
                    })
                    .collect();
                write!(f, "fp-{} = {text}", (i + 1) * 8)?;
            }
        }
        Ok(())
    }
}
