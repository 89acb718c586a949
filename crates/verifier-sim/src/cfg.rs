//! The shape of the code: subprograms, jumps that stay inside them, reachability, and what each instruction reads.

use crate::rules::{Rule, jump_target, reachable};
use bpf_facts::{HelperId, helper};
use ebpf_asm::{AluOp, AtomicOp, Callee, Imm64, Insn, InsnIdx, Operand, Program, Reg};
use hark_btf::{Btf, TypeId};

/// What the walk needs to know of an instruction before it begins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Point {
    /// States are compared here.
    pub(crate) prune: bool,
    /// Reached other than from the instruction before: history must tell from where.
    pub(crate) jump: bool,
    /// A state is always kept here.
    pub(crate) force: bool,
    /// Calls a helper that calls back at once.
    pub(crate) calls_back: bool,
    /// Asks an iterator for its next value.
    pub(crate) iter_next: bool,
    /// Registers that may be read before being written from here on, one bit each.
    pub(crate) live: u16,
}

/// Subprograms and points.
#[derive(Debug)]
pub(crate) struct Cfg {
    /// First instructions, rising; the entry is 0.
    pub(crate) subprogs: Vec<u32>,
    /// One per instruction.
    pub(crate) points: Vec<Point>,
}

/// Most subprograms, the entry included.
const MAX_SUBPROGS: usize = 256;

/// Whether helper `id` calls a subprogram before it returns.
pub(crate) fn calls_back(id: u32) -> bool {
    let id = HelperId(id);
    [HelperId::FOR_EACH_MAP_ELEM, HelperId::LOOP, HelperId::FIND_VMA, HelperId::USER_RINGBUF_DRAIN]
        .contains(&id)
}

impl Cfg {
    /// Finds subprograms and checks jumps and reachability. `iter_next` are the calls that ask iterators.
    ///
    /// # Errors
    /// The first instruction that breaks a rule.
    pub(crate) fn of(
        p: &Program,
        btf: Option<&Btf>,
        iter_next: &[u32],
    ) -> Result<Cfg, (InsnIdx, Box<crate::Stop>)> {
        let n = p.insns.len() as u32;
        if n == 0 {
            return Err((InsnIdx(0), Rule::JumpTarget.reject(&[], "the program has no instructions")));
        }
        let subprogs = find_subprogs(p, n)?;
        for (i, insn) in p.insns.iter().enumerate() {
            let at = InsnIdx(i as u32);
            let (first, end) = bounds_of(&subprogs, i as u32, n);
            jump_target::check(insn, at.0, first, end).map_err(|e| (at, e))?;
        }
        let mut cfg = Cfg { subprogs, points: vec![Point::default(); p.insns.len()] };
        cfg.mark(p);
        for i in iter_next {
            let point = &mut cfg.points[*i as usize];
            (point.prune, point.force, point.iter_next) = (true, true, true);
        }
        cfg.check_reachable(p)?;
        cfg.compute_live(p, btf);
        Ok(cfg)
    }

    /// Index of the subprogram that begins at `at`.
    pub(crate) fn subprog_at(&self, at: u32) -> Option<u32> {
        self.subprogs.binary_search(&at).ok().map(|i| i as u32)
    }

    /// First instruction and the one after the last of a subprogram.
    pub(crate) fn range_of(&self, subprog: u32) -> (u32, u32) {
        let i = subprog as usize;
        (self.subprogs[i], self.subprogs.get(i + 1).copied().unwrap_or(self.points.len() as u32))
    }

    fn mark(&mut self, p: &Program) {
        for (i, insn) in p.insns.iter().enumerate() {
            match *insn {
                Insn::Jump { to } => self.enter(to),
                Insn::JumpIf { to, .. } => {
                    self.points[i].prune = true;
                    self.enter(to);
                }
                Insn::MayGoto { to } => {
                    self.points[i].prune = true;
                    self.points[i].force = true;
                    self.enter(to);
                }
                Insn::LoadImm64 { imm: Imm64::Func(to), .. } => {
                    self.points[i].prune = true;
                    self.enter(to);
                    self.enter(InsnIdx(i as u32 + 1));
                }
                Insn::Call(callee) => {
                    self.enter(InsnIdx(i as u32 + 1));
                    match callee {
                        Callee::Local(to) => {
                            self.points[i].prune = true;
                            self.enter(to);
                        }
                        Callee::Helper(id) if calls_back(id) => {
                            let mark = Point { prune: true, jump: true, force: true, ..Point::default() };
                            self.points[i] = Point { calls_back: true, ..mark };
                        }
                        Callee::Helper(_) | Callee::Kfunc { .. } => {}
                    }
                }
                _ => {}
            }
        }
    }

    fn enter(&mut self, to: InsnIdx) {
        if let Some(point) = self.points.get_mut(to.0 as usize) {
            point.prune = true;
            point.jump = true;
        }
    }

    fn check_reachable(&self, p: &Program) -> Result<(), (InsnIdx, Box<crate::Stop>)> {
        let mut seen = vec![false; p.insns.len()];
        let mut todo = vec![0u32];
        while let Some(i) = todo.pop() {
            if std::mem::replace(&mut seen[i as usize], true) {
                continue;
            }
            let insn = &p.insns[i as usize];
            todo.extend(successors(insn, i).into_iter().flatten());
            todo.extend(called(insn));
        }
        match seen.iter().position(|s| !s) {
            Some(i) => Err((InsnIdx(i as u32), reachable::unreachable())),
            None => Ok(()),
        }
    }

    /// Fixpoint of "may be read before being written", per subprogram.
    fn compute_live(&mut self, p: &Program, btf: Option<&Btf>) {
        let effects: Vec<(u16, u16)> = p.insns.iter().map(|insn| effect(insn, btf)).collect();
        let mut changed = true;
        while changed {
            changed = false;
            for i in (0..p.insns.len()).rev() {
                let (reads, writes) = effects[i];
                let after = successors(&p.insns[i], i as u32)
                    .into_iter()
                    .flatten()
                    .fold(0, |bits, s| bits | self.points[s as usize].live);
                let live = reads | after & !writes;
                if live != self.points[i].live {
                    self.points[i].live = live;
                    changed = true;
                }
            }
        }
    }
}

fn find_subprogs(p: &Program, n: u32) -> Result<Vec<u32>, (InsnIdx, Box<crate::Stop>)> {
    let mut subprogs = vec![0];
    for (i, insn) in p.insns.iter().enumerate() {
        let Some(to) = called(insn) else { continue };
        let at = InsnIdx(i as u32);
        if to >= n {
            return Err((at, Rule::JumpTarget.reject(&[], "the call goes outside of the program")));
        }
        if let Err(place) = subprogs.binary_search(&to) {
            subprogs.insert(place, to);
        }
        if subprogs.len() > MAX_SUBPROGS {
            return Err((at, Rule::Complexity.reject(&[], format!("more than {MAX_SUBPROGS} subprograms"))));
        }
    }
    Ok(subprogs)
}

fn bounds_of(subprogs: &[u32], at: u32, n: u32) -> (u32, u32) {
    let next = subprogs.partition_point(|&s| s <= at);
    (subprogs[next - 1], subprogs.get(next).copied().unwrap_or(n))
}

fn called(insn: &Insn) -> Option<u32> {
    match insn {
        Insn::Call(Callee::Local(to)) | Insn::LoadImm64 { imm: Imm64::Func(to), .. } => Some(to.0),
        _ => None,
    }
}

/// Where control may go next inside the subprogram.
pub(crate) fn successors(insn: &Insn, at: u32) -> [Option<u32>; 2] {
    match insn {
        Insn::Exit => [None, None],
        Insn::Jump { to } => [Some(to.0), None],
        Insn::JumpIf { to, .. } | Insn::MayGoto { to } => [Some(at + 1), Some(to.0)],
        _ => [Some(at + 1), None],
    }
}

const fn bit(r: Reg) -> u16 {
    1 << r.index()
}

fn operand_bit(o: &Operand) -> u16 {
    match o {
        Operand::Reg(r) => bit(*r),
        Operand::Imm(_) => 0,
    }
}

/// `R0` to `R5`.
const CALLER_SAVED: u16 = 0x3f;
/// `R1` to `R5`.
const ARGUMENTS: u16 = 0x3e;

/// Registers read and registers written, one bit each.
fn effect(insn: &Insn, btf: Option<&Btf>) -> (u16, u16) {
    match insn {
        Insn::Alu { op: AluOp::Mov, dst, src, .. } => (operand_bit(src), bit(*dst)),
        Insn::Alu { dst, src, .. } => (operand_bit(src) | bit(*dst), bit(*dst)),
        Insn::MovSx { dst, src, .. } => (bit(*src), bit(*dst)),
        Insn::Neg { dst, .. } | Insn::Swap { dst, .. } => (bit(*dst), bit(*dst)),
        Insn::Load { dst, base, .. } => (bit(*base), bit(*dst)),
        Insn::Store { base, src, .. } => (bit(*base) | operand_bit(src), 0),
        Insn::LoadAcquire { dst, base, .. } => (bit(*base), bit(*dst)),
        Insn::StoreRelease { base, src, .. } => (bit(*base) | bit(*src), 0),
        Insn::CastAddrSpace { dst, src, .. } => (bit(*src), bit(*dst)),
        Insn::Atomic { op, fetch, base, src, .. } => {
            let compared = if *op == AtomicOp::Cmpxchg { bit(Reg::R0) } else { 0 };
            let written = match (op, fetch) {
                (AtomicOp::Cmpxchg, _) => bit(Reg::R0),
                (_, true) => bit(*src),
                (_, false) => 0,
            };
            (bit(*base) | bit(*src) | compared, written)
        }
        // The kernel's analysis does not know these, and takes all registers to be read.
        Insn::LoadPacket { .. } => (0x3ff, CALLER_SAVED),
        Insn::LoadImm64 { dst, .. } => (0, bit(*dst)),
        Insn::Jump { .. } | Insn::MayGoto { .. } => (0, 0),
        Insn::JumpIf { lhs, rhs, .. } => (bit(*lhs) | operand_bit(rhs), 0),
        Insn::Call(callee) => {
            let args = match callee {
                Callee::Helper(id) => helper(HelperId(*id)).map_or(5, bpf_facts::HelperDef::n_args),
                Callee::Kfunc { btf_id, module: 0 } => {
                    let func = btf.and_then(|btf| btf.type_by_id(TypeId(*btf_id)));
                    let proto = func.and_then(|func| btf?.type_by_id(func.target()?));
                    proto.map_or(5, |proto| proto.params().len().min(5))
                }
                Callee::Local(_) | Callee::Kfunc { .. } => 5,
            };
            (ARGUMENTS & ((1 << (args + 1)) - 1), CALLER_SAVED)
        }
        Insn::Exit => (bit(Reg::R0), 0),
    }
}
