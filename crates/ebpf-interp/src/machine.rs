//! The loop that executes instructions, and calls.

use crate::code::{Code, Do, ZERO};
use crate::memory::{FRAMES, Fault, Memory};
use crate::slow::{self, Flow};
use crate::trap::{Trap, TrapKind};
use bpf_facts::HelperId;
use ebpf_asm::InsnIdx;

/// What registers hold that a call has lost: no small number, no address.
pub(crate) const LOST: u64 = 0xdead_beef_dead_beef;
/// Times that `may_goto` stays, in one run (`BPF_MAX_LOOPS`).
const MAY_GOTO: u32 = 8 << 20;

/// The functions that a program calls by number.
pub trait Helpers {
    /// Executes helper `id` and returns what comes into `r0`.
    ///
    /// # Errors
    /// If it is not simulated, or misused in a way that a verifier would have seen; see [`Machine::trap`].
    fn call(&mut self, machine: &mut Machine<'_>, id: HelperId, args: [u64; 5]) -> Result<u64, Trap>;
}

/// No helpers at all: every call traps.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHelpers;

impl Helpers for NoHelpers {
    fn call(&mut self, machine: &mut Machine<'_>, id: HelperId, _: [u64; 5]) -> Result<u64, Trap> {
        Err(machine.trap(TrapKind::Helper(id)))
    }
}

/// How a run begins and what it may use.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// `r1` to `r5`; a verified program finds its context in `r1`.
    pub args: [u64; 5],
    /// The packet that `LD_ABS` and `LD_IND` read.
    pub packet: &'a [u8],
    /// Instructions it may execute, those of callbacks included.
    pub fuel: u64,
}

impl Entry<'_> {
    /// With `r1`, no packet, and fuel for some ten seconds.
    pub fn with_context(r1: u64) -> Entry<'static> {
        Entry { args: [r1, 0, 0, 0, 0], packet: &[], fuel: 1 << 32 }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The program's return value.
    pub r0: u64,
    /// Instructions executed.
    pub executed: u64,
}

/// What an observer sees before an instruction is executed.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The instruction.
    pub at: InsnIdx,
    /// `r0` to `r10`. What a call has lost holds rubbish.
    pub regs: &'a [u64],
    /// The stack of the running frame; `r10` points to its end.
    pub stack: &'a [u8],
    /// Frames in use, that of the entry function included.
    pub depth: usize,
}

/// Is shown what a program does.
pub type Observer<'a> = dyn FnMut(Observed<'_>) + 'a;

/// Runs a program from its first instruction to its exit.
///
/// # Errors
/// If it does what a verifier would not have let pass, calls a helper that `helpers` lacks, or runs out of fuel.
pub fn run(
    code: &Code,
    memory: &mut Memory,
    helpers: &mut dyn Helpers,
    entry: Entry<'_>,
) -> Result<Outcome, Trap> {
    start(code, memory, helpers, entry, None)
}

/// As [`run`], and shows `observer` every instruction before it is executed.
///
/// # Errors
/// As for [`run`].
pub fn observe(
    code: &Code,
    memory: &mut Memory,
    helpers: &mut dyn Helpers,
    entry: Entry<'_>,
    observer: &mut Observer<'_>,
) -> Result<Outcome, Trap> {
    start(code, memory, helpers, entry, Some(observer))
}

fn start(
    code: &Code,
    memory: &mut Memory,
    helpers: &mut dyn Helpers,
    entry: Entry<'_>,
    observer: Option<&mut Observer<'_>>,
) -> Result<Outcome, Trap> {
    // What the observer borrows may live longer than the run.
    let mut each;
    let observer: Option<&mut dyn FnMut(Observed<'_>)> = match observer {
        Some(observer) => {
            each = move |seen: Observed<'_>| observer(seen);
            Some(&mut each)
        }
        None => None,
    };
    let mut machine = Machine {
        code,
        memory,
        packet: entry.packet,
        fuel: entry.fuel,
        at: InsnIdx(0),
        depth: 0,
        may_goto: MAY_GOTO,
        observer,
    };
    let result = machine.execute(helpers, 0, entry.args);
    let executed = entry.fuel - machine.fuel;
    for depth in 0..FRAMES {
        machine.memory.leave_frame(depth);
    }
    result.map(|r0| Outcome { r0, executed })
}

/// A program while it runs, as helpers see it.
pub struct Machine<'a> {
    code: &'a Code,
    observer: Option<&'a mut (dyn FnMut(Observed<'_>) + 'a)>,
    /// The guest's memory.
    pub memory: &'a mut Memory,
    pub(crate) packet: &'a [u8],
    fuel: u64,
    at: InsnIdx,
    /// Frames in use.
    depth: usize,
    pub(crate) may_goto: u32,
}

/// What a local call keeps.
#[derive(Clone, Copy, Default)]
struct Caller {
    /// `r6` to `r10`.
    kept: [u64; 5],
    pc: usize,
}

impl Machine<'_> {
    /// A trap at the instruction that is being executed.
    pub fn trap(&self, kind: TrapKind) -> Trap {
        Trap { at: self.at, kind }
    }

    /// The `len` bytes at `addr`.
    ///
    /// # Errors
    /// If they are not all there.
    pub fn read(&self, addr: u64, len: usize) -> Result<&[u8], Trap> {
        self.memory.read(addr, len).map_err(|fault| self.trap(TrapKind::Access(fault)))
    }

    /// The `len` bytes at `addr`, to be written.
    ///
    /// # Errors
    /// If they are not all there, or read-only.
    pub fn write(&mut self, addr: u64, len: usize) -> Result<&mut [u8], Trap> {
        let at = self.at;
        self.memory.write(addr, len).map_err(|fault| Trap { at, kind: TrapKind::Access(fault) })
    }

    /// Whether a function of the program is running that was called by another.
    pub fn is_nested(&self) -> bool {
        self.depth > 1
    }

    /// Calls the function at the guest's address `function`.
    ///
    /// # Errors
    /// If there is none, frames run out, or the function traps.
    pub fn callback(
        &mut self,
        helpers: &mut dyn Helpers,
        function: u64,
        args: [u64; 5],
    ) -> Result<u64, Trap> {
        let Some(at) = self.code.function(function) else {
            return Err(self.trap(TrapKind::NoFunction(function)));
        };
        let from = self.at;
        let result = self.execute(helpers, at.0 as usize, args);
        self.at = from;
        result
    }

    /// Executes from `pc` to the exit of the frame that it opens.
    fn execute(&mut self, helpers: &mut dyn Helpers, pc: usize, args: [u64; 5]) -> Result<u64, Trap> {
        let base = self.depth;
        let result = if self.observer.is_some() {
            self.execute_frames::<true>(helpers, pc, args)
        } else {
            self.execute_frames::<false>(helpers, pc, args)
        };
        for depth in base..self.depth {
            self.memory.leave_frame(depth);
        }
        self.depth = base;
        result
    }

    #[expect(clippy::too_many_lines, reason = "one line for each thing an instruction can do")]
    fn execute_frames<const OBSERVED: bool>(
        &mut self,
        helpers: &mut dyn Helpers,
        entry: usize,
        args: [u64; 5],
    ) -> Result<u64, Trap> {
        let code = self.code;
        let ops = &code.ops[..];
        let base = self.depth;
        let mut callers = [Caller::default(); FRAMES];
        // Sixteen, so that no index need be checked. Those above 10 stay zero.
        let mut r = [LOST; 16];
        r[1..6].copy_from_slice(&args);
        r[usize::from(ZERO)] = 0;
        r[10] = self.enter(entry)?;
        let mut fuel = self.fuel;
        let mut pc = entry;

        macro_rules! stop {
            ($kind:expr) => {{
                self.fuel = fuel;
                return Err(Trap { at: InsnIdx((pc - 1) as u32), kind: $kind });
            }};
        }
        macro_rules! or_stop {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(fault) => stop!(TrapKind::Access(fault)),
                }
            };
        }

        loop {
            let Some(op) = ops.get(pc) else {
                pc += 1;
                stop!(TrapKind::RanOff)
            };
            pc += 1;
            if fuel == 0 {
                stop!(TrapKind::Fuel);
            }
            fuel -= 1;
            if OBSERVED && let Some(observer) = &mut self.observer {
                let stack = self.memory.frame(self.depth - 1);
                observer(Observed { at: InsnIdx((pc - 1) as u32), regs: &r[..11], stack, depth: self.depth });
            }
            let d = usize::from(op.dst & 15);
            let a = r[d];
            let b = r[usize::from(op.src & 15)].wrapping_add(op.imm);
            macro_rules! w64 {
                ($value:expr) => {
                    r[d] = $value
                };
            }
            macro_rules! w32 {
                ($f:expr) => {{
                    let f: fn(u32, u32) -> u32 = $f;
                    r[d] = u64::from(f(a as u32, b as u32))
                }};
            }
            macro_rules! goto_if {
                ($holds:expr) => {
                    if $holds {
                        pc = op.to as usize;
                    }
                };
            }
            macro_rules! load {
                ($int:ty) => {
                    r[d] = match self.memory.load(b) {
                        Ok(bytes) => <$int>::from_le_bytes(bytes) as i64 as u64,
                        Err(_) if code.forgiving => 0,
                        Err(fault) => stop!(TrapKind::Access(fault)),
                    }
                };
            }
            macro_rules! store {
                ($int:ty) => {{
                    let to = a.wrapping_add(i64::from(op.to as i32) as u64);
                    or_stop!(self.memory.store(to, (b as $int).to_le_bytes()))
                }};
            }
            let (sa, sb) = (a as i64, b as i64);
            let (a32, b32, sa32, sb32) = (a as u32, b as u32, a as i32, b as i32);
            match op.what {
                Do::Add64 => w64!(a.wrapping_add(b)),
                Do::Sub64 => w64!(a.wrapping_sub(b)),
                Do::Mul64 => w64!(a.wrapping_mul(b)),
                Do::Div64 => w64!(a.checked_div(b).unwrap_or(0)),
                Do::Sdiv64 => w64!(if b == 0 { 0 } else { sa.wrapping_div(sb) as u64 }),
                Do::Mod64 => w64!(a.checked_rem(b).unwrap_or(a)),
                Do::Smod64 => w64!(if b == 0 { a } else { sa.wrapping_rem(sb) as u64 }),
                Do::Or64 => w64!(a | b),
                Do::And64 => w64!(a & b),
                Do::Xor64 => w64!(a ^ b),
                Do::Lsh64 => w64!(a << (b & 63)),
                Do::Rsh64 => w64!(a >> (b & 63)),
                Do::Arsh64 => w64!((sa >> (b & 63)) as u64),
                Do::Mov64 => w64!(b),
                Do::Add32 => w32!(|a, b| a.wrapping_add(b)),
                Do::Sub32 => w32!(|a, b| a.wrapping_sub(b)),
                Do::Mul32 => w32!(|a, b| a.wrapping_mul(b)),
                Do::Div32 => w32!(|a, b| a.checked_div(b).unwrap_or(0)),
                Do::Sdiv32 => w32!(|a, b| if b == 0 { 0 } else { (a as i32).wrapping_div(b as i32) as u32 }),
                Do::Mod32 => w32!(|a, b| a.checked_rem(b).unwrap_or(a)),
                Do::Smod32 => w32!(|a, b| if b == 0 { a } else { (a as i32).wrapping_rem(b as i32) as u32 }),
                Do::Or32 => w32!(|a, b| a | b),
                Do::And32 => w32!(|a, b| a & b),
                Do::Xor32 => w32!(|a, b| a ^ b),
                Do::Lsh32 => w32!(|a, b| a << (b & 31)),
                Do::Rsh32 => w32!(|a, b| a >> (b & 31)),
                Do::Arsh32 => w32!(|a, b| ((a as i32) >> (b & 31)) as u32),
                Do::Mov32 => w32!(|_, b| b),
                Do::LoadB => load!(u8),
                Do::LoadH => load!(u16),
                Do::LoadW => load!(u32),
                Do::LoadDw => load!(u64),
                Do::LoadSxB => load!(i8),
                Do::LoadSxH => load!(i16),
                Do::LoadSxW => load!(i32),
                Do::StoreB => store!(u8),
                Do::StoreH => store!(u16),
                Do::StoreW => store!(u32),
                Do::StoreDw => store!(u64),
                Do::Jump => pc = op.to as usize,
                Do::Eq64 => goto_if!(a == b),
                Do::Ne64 => goto_if!(a != b),
                Do::Gt64 => goto_if!(a > b),
                Do::Ge64 => goto_if!(a >= b),
                Do::Lt64 => goto_if!(a < b),
                Do::Le64 => goto_if!(a <= b),
                Do::Sgt64 => goto_if!(sa > sb),
                Do::Sge64 => goto_if!(sa >= sb),
                Do::Slt64 => goto_if!(sa < sb),
                Do::Sle64 => goto_if!(sa <= sb),
                Do::Set64 => goto_if!(a & b != 0),
                Do::Eq32 => goto_if!(a32 == b32),
                Do::Ne32 => goto_if!(a32 != b32),
                Do::Gt32 => goto_if!(a32 > b32),
                Do::Ge32 => goto_if!(a32 >= b32),
                Do::Lt32 => goto_if!(a32 < b32),
                Do::Le32 => goto_if!(a32 <= b32),
                Do::Sgt32 => goto_if!(sa32 > sb32),
                Do::Sge32 => goto_if!(sa32 >= sb32),
                Do::Slt32 => goto_if!(sa32 < sb32),
                Do::Sle32 => goto_if!(sa32 <= sb32),
                Do::Set32 => goto_if!(a32 & b32 != 0),
                Do::CallHelper => {
                    (self.fuel, self.at) = (fuel, InsnIdx((pc - 1) as u32));
                    let args = [r[1], r[2], r[3], r[4], r[5]];
                    r[0] = helpers.call(self, HelperId(op.imm as u32), args)?;
                    r[1..6].fill(LOST);
                    fuel = self.fuel;
                }
                Do::CallLocal => {
                    let nested = self.depth - base - 1;
                    callers[nested] = Caller { kept: [r[6], r[7], r[8], r[9], r[10]], pc };
                    self.fuel = fuel;
                    r[10] = self.enter(pc - 1)?;
                    pc = op.to as usize;
                }
                Do::Exit => {
                    self.depth -= 1;
                    self.memory.leave_frame(self.depth);
                    if self.depth == base {
                        self.fuel = fuel;
                        return Ok(r[0]);
                    }
                    let caller = callers[self.depth - base - 1];
                    r[1..6].fill(LOST);
                    r[6..11].copy_from_slice(&caller.kept);
                    pc = caller.pc;
                }
                Do::FramePointer => stop!(TrapKind::FramePointer),
                Do::Other => match slow::execute(self, code.insns[pc - 1], &mut r) {
                    Ok(Flow::Next) => {}
                    Ok(Flow::Goto(to)) => pc = to.0 as usize,
                    Ok(Flow::End(r0)) => {
                        self.fuel = fuel;
                        return Ok(r0);
                    }
                    Err(kind) => stop!(kind),
                },
            }
        }
    }

    /// Opens a frame for the instruction at `pc` to call; returns its `r10`.
    fn enter(&mut self, pc: usize) -> Result<u64, Trap> {
        if self.depth == FRAMES {
            return Err(Trap { at: InsnIdx(pc as u32), kind: TrapKind::CallDepth });
        }
        self.depth += 1;
        Ok(self.memory.enter_frame(self.depth - 1))
    }
}

impl From<Fault> for TrapKind {
    fn from(fault: Fault) -> TrapKind {
        TrapKind::Access(fault)
    }
}
