//! Instructions as values. Nothing here knows bits or text.

/// A register, `R0` to `R10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

impl Reg {
    /// Return value of calls and of the program.
    pub const R0: Reg = Reg(0);
    /// First argument; the context at entry.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// Kept by calls.
    pub const R6: Reg = Reg(6);
    /// Kept by calls.
    pub const R7: Reg = Reg(7);
    /// Kept by calls.
    pub const R8: Reg = Reg(8);
    /// Kept by calls.
    pub const R9: Reg = Reg(9);
    /// Frame pointer, read-only.
    pub const R10: Reg = Reg(10);

    /// Register `n`; `None` above 10.
    pub const fn new(n: u8) -> Option<Reg> {
        if n <= 10 { Some(Reg(n)) } else { None }
    }

    /// Its number, 0 to 10.
    pub const fn index(self) -> u8 {
        self.0
    }
}

/// Width of an arithmetic instruction or comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// 32 bit (`ALU`, `JMP32`): an arithmetic result is zero-extended.
    W32,
    /// 64 bit (`ALU64`, `JMP`).
    W64,
}

/// Size of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// 1 byte.
    B,
    /// 2 bytes.
    H,
    /// 4 bytes.
    W,
    /// 8 bytes.
    Dw,
}

impl Size {
    /// In bytes: 1, 2, 4 or 8.
    pub const fn bytes(self) -> u32 {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::Dw => 8,
        }
    }

    /// The size of so many bytes.
    pub const fn from_bytes(bytes: u32) -> Option<Size> {
        match bytes {
            1 => Some(Size::B),
            2 => Some(Size::H),
            4 => Some(Size::W),
            8 => Some(Size::Dw),
            _ => None,
        }
    }
}

/// Second operand of an arithmetic instruction, a comparison or a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register.
    Reg(Reg),
    /// An immediate, sign-extended to 64 bit where the operation is.
    Imm(i32),
}

/// Two-operand arithmetic, `dst = dst op src`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AluOp {
    /// `+=`
    Add,
    /// `-=`
    Sub,
    /// `*=`
    Mul,
    /// `/=`, unsigned; by zero gives 0.
    Div,
    /// `s/=`, signed (ISA v4).
    Sdiv,
    /// `%=`, unsigned; by zero leaves `dst`.
    Mod,
    /// `s%=`, signed (ISA v4).
    Smod,
    /// `|=`
    Or,
    /// `&=`
    And,
    /// `^=`
    Xor,
    /// `<<=`, count masked to the width.
    Lsh,
    /// `>>=`, logical.
    Rsh,
    /// `s>>=`, arithmetic.
    Arsh,
    /// `=`
    Mov,
}

impl AluOp {
    /// Every operation, in the order of the definition.
    pub const ALL: [AluOp; 14] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::Sdiv,
        AluOp::Mod,
        AluOp::Smod,
        AluOp::Or,
        AluOp::And,
        AluOp::Xor,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Arsh,
        AluOp::Mov,
    ];
}

/// Byte swaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SwapOp {
    /// To little endian (`le16`…).
    ToLe,
    /// To big endian (`be16`…).
    ToBe,
    /// Always (`bswap16`…, ISA v4).
    Swap,
}

/// Atomic read-modify-write on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    /// Addition.
    Add,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Bitwise exclusive or.
    Xor,
    /// Exchange; always fetches.
    Xchg,
    /// Compare `R0` and exchange; the old value comes back in `R0`. Always fetches.
    Cmpxchg,
}

/// Condition of a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cond {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// unsigned `>`
    Gt,
    /// unsigned `>=`
    Ge,
    /// unsigned `<`
    Lt,
    /// unsigned `<=`
    Le,
    /// signed `>`
    Sgt,
    /// signed `>=`
    Sge,
    /// signed `<`
    Slt,
    /// signed `<=`
    Sle,
    /// `&`: any common bit set
    Set,
}

impl Cond {
    /// Every condition, in the order of the definition.
    pub const ALL: [Cond; 11] = [
        Cond::Eq,
        Cond::Ne,
        Cond::Gt,
        Cond::Ge,
        Cond::Lt,
        Cond::Le,
        Cond::Sgt,
        Cond::Sge,
        Cond::Slt,
        Cond::Sle,
        Cond::Set,
    ];
}

/// Index of an instruction in [`Program::insns`]: a `LoadImm64` counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InsnIdx(pub u32);

/// Index of an 8-byte slot of the encoded program: a `LoadImm64` counts as two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Slot(pub u32);

/// Where a jump or local call goes.
pub type Target = InsnIdx;

/// A map, by its index in the object's list. Descriptors come in only when the program is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapRef(pub u32);

/// What a two-slot load puts into its register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Imm64 {
    /// A number.
    Const(u64),
    /// A map.
    MapFd(MapRef),
    /// The address of a byte of the value of a one-element array map.
    MapValue(MapRef, u32),
    /// The address of a subprogram, for callbacks.
    Func(Target),
    /// The address of a kernel variable: `btf_id` in the BTF object of `btf_fd` (0 for vmlinux).
    BtfVar {
        /// Type id of the variable.
        btf_id: u32,
        /// Descriptor of the module's BTF, 0 for vmlinux.
        btf_fd: u32,
    },
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callee {
    /// A helper function, by its number in the UAPI.
    Helper(u32),
    /// A subprogram of this program.
    Local(Target),
    /// A kernel function, by BTF id; `module` is the index into the load call's `fd_array`, 0 for vmlinux.
    Kfunc {
        /// Type id of the function.
        btf_id: u32,
        /// Index into `fd_array`, 0 for vmlinux.
        module: i16,
    },
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Insn {
    /// `dst = dst op src`
    Alu {
        /// Width.
        w: Width,
        /// Operation.
        op: AluOp,
        /// Destination and left operand.
        dst: Reg,
        /// Right operand.
        src: Operand,
    },
    /// `dst = (sN)src`: move with sign extension from `from` (ISA v4).
    MovSx {
        /// Width.
        w: Width,
        /// Size extended from; `W` only with `W64`.
        from: Size,
        /// Destination.
        dst: Reg,
        /// Source.
        src: Reg,
    },
    /// `dst = -dst`
    Neg {
        /// Width.
        w: Width,
        /// Destination.
        dst: Reg,
    },
    /// Byte swap of the low `bits` (16, 32 or 64); the rest becomes zero.
    Swap {
        /// Which swap.
        op: SwapOp,
        /// 16, 32 or 64.
        bits: u8,
        /// Destination.
        dst: Reg,
    },
    /// `dst = *(size *)(base + off)`, sign-extended if `sext` (ISA v4).
    Load {
        /// Access size.
        size: Size,
        /// Sign-extend; never with `Dw`.
        sext: bool,
        /// Destination.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
    },
    /// `*(size *)(base + off) = src`
    Store {
        /// Access size.
        size: Size,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
        /// What is stored; an immediate is sign-extended.
        src: Operand,
    },
    /// `lock *(size *)(base + off) op= src`, with the old value in `src` (`R0` for `Cmpxchg`) if `fetch`.
    Atomic {
        /// `W` or `Dw`.
        size: Size,
        /// Operation.
        op: AtomicOp,
        /// Whether the old value comes back.
        fetch: bool,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
        /// Operand.
        src: Reg,
    },
    /// `dst = load_acquire((size *)(base + off))` (since 6.15).
    LoadAcquire {
        /// Access size.
        size: Size,
        /// Destination.
        dst: Reg,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
    },
    /// `store_release((size *)(base + off), src)` (since 6.15).
    StoreRelease {
        /// Access size.
        size: Size,
        /// Address.
        base: Reg,
        /// Added to the address.
        off: i16,
        /// What is stored.
        src: Reg,
    },
    /// `dst = addr_space_cast(src, to, from)`: a pointer between the kernel's and an arena's address space (since 6.9).
    CastAddrSpace {
        /// Destination.
        dst: Reg,
        /// Source.
        src: Reg,
        /// Address space of the result: 0 is the kernel's, 1 the arena's.
        to: u16,
        /// Address space of the operand.
        from: u16,
    },
    /// Packet load of classic BPF into `R0`; clobbers `R1`–`R5`, reads the context in `R6`.
    LoadPacket {
        /// `B`, `H` or `W`.
        size: Size,
        /// Added index register (`LD_IND`); none for `LD_ABS`.
        index: Option<Reg>,
        /// Offset.
        imm: i32,
    },
    /// `dst = imm64`, two slots.
    LoadImm64 {
        /// Destination.
        dst: Reg,
        /// What.
        imm: Imm64,
    },
    /// Unconditional jump. Encoded with a 32-bit offset (`gotol`, ISA v4) only where 16 bits do not reach.
    Jump {
        /// Where to.
        to: Target,
    },
    /// Conditional jump.
    JumpIf {
        /// Width of the comparison.
        w: Width,
        /// Condition.
        cond: Cond,
        /// Left operand.
        lhs: Reg,
        /// Right operand.
        rhs: Operand,
        /// Where to, if it holds.
        to: Target,
    },
    /// `may_goto`: jumps once the loop budget of the program is used up (since 6.9).
    MayGoto {
        /// Where to.
        to: Target,
    },
    /// Call; arguments in `R1`–`R5`, result in `R0`, `R1`–`R5` are lost.
    Call(Callee),
    /// Return `R0`.
    Exit,
}

impl Insn {
    /// Slots it takes when encoded: 2 for `LoadImm64`, else 1.
    pub const fn slots(&self) -> u32 {
        if matches!(self, Insn::LoadImm64 { .. }) { 2 } else { 1 }
    }

    /// The instruction it refers to: of a jump, a local call or the address of a subprogram.
    pub const fn target(&self) -> Option<Target> {
        match *self {
            Insn::Jump { to }
            | Insn::JumpIf { to, .. }
            | Insn::MayGoto { to }
            | Insn::Call(Callee::Local(to))
            | Insn::LoadImm64 { imm: Imm64::Func(to), .. } => Some(to),
            Insn::Alu { .. }
            | Insn::MovSx { .. }
            | Insn::Neg { .. }
            | Insn::Swap { .. }
            | Insn::Load { .. }
            | Insn::Store { .. }
            | Insn::Atomic { .. }
            | Insn::LoadAcquire { .. }
            | Insn::StoreRelease { .. }
            | Insn::CastAddrSpace { .. }
            | Insn::LoadPacket { .. }
            | Insn::LoadImm64 { .. }
            | Insn::Call(_)
            | Insn::Exit => None,
        }
    }

    /// Where [`target`](Self::target) is kept, to change it.
    pub const fn target_mut(&mut self) -> Option<&mut Target> {
        match self {
            Insn::Jump { to }
            | Insn::JumpIf { to, .. }
            | Insn::MayGoto { to }
            | Insn::Call(Callee::Local(to))
            | Insn::LoadImm64 { imm: Imm64::Func(to), .. } => Some(to),
            Insn::Alu { .. }
            | Insn::MovSx { .. }
            | Insn::Neg { .. }
            | Insn::Swap { .. }
            | Insn::Load { .. }
            | Insn::Store { .. }
            | Insn::Atomic { .. }
            | Insn::LoadAcquire { .. }
            | Insn::StoreRelease { .. }
            | Insn::CastAddrSpace { .. }
            | Insn::LoadPacket { .. }
            | Insn::LoadImm64 { .. }
            | Insn::Call(_)
            | Insn::Exit => None,
        }
    }
}

/// An opaque source position: the compiler knows what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SrcLoc(pub u32);

/// A program and where its instructions come from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Program {
    /// The instructions; the entry is the first, subprograms follow.
    pub insns: Vec<Insn>,
    /// Sorted by instruction: from there on, the code comes from this place.
    pub locs: Vec<(InsnIdx, SrcLoc)>,
}

impl Program {
    /// The source position of an instruction, if known.
    pub fn loc(&self, at: InsnIdx) -> Option<SrcLoc> {
        let next = self.locs.partition_point(|(i, _)| *i <= at);
        next.checked_sub(1).map(|i| self.locs[i].1)
    }
}
