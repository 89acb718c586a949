//! Does the simulated verifier agree with the kernel's?
//!
//! Generated programs are judged by both. The kernel is right by definition; where the simulation says otherwise, the
//! program is shrunk to the instructions that matter.

pub mod generate;
pub mod keep;
pub mod maps;
pub mod rng;
pub mod states;

use bpf_facts::{KernelProfile, ProgType, V};
use bpf_syscall::{FuncInfo, Kernel, LoadError, LogLevel, MapFd, ProgBtf, ProgLoad};
use ebpf_asm::{Callee, Imm64, Insn, InsnIdx, Program, encode};
use hark_btf::{Builder, Endian, Linkage};
use rng::Rng;
use std::os::fd::AsRawFd;
use verifier_sim::{FuncDef, MapShape, Options, ProgEnv, Report, Verdict, verify};

/// Both judgements of one program.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The simulation's.
    pub sim: Report,
    /// Whether the kernel took it.
    pub kernel: bool,
    /// The kernel's log of a rejection.
    pub log: String,
}

impl Judged {
    /// Whether one accepts what the other rejects.
    pub fn disagree(&self) -> bool {
        match self.sim.verdict {
            Verdict::Accept => !self.kernel,
            Verdict::Reject => self.kernel,
            Verdict::Unsure => false,
        }
    }
}

/// The two verifiers, and the maps programs use.
pub struct Bench<'k> {
    kernel: &'k dyn Kernel,
    profile: KernelProfile,
    shapes: Vec<MapShape>,
    maps: Vec<MapFd>,
    n_cpus: u32,
}

impl<'k> Bench<'k> {
    /// Makes the maps.
    ///
    /// # Errors
    /// If the kernel refuses one.
    pub fn new(kernel: &'k dyn Kernel, profile: KernelProfile) -> anyhow::Result<Bench<'k>> {
        let n_cpus = kernel.n_possible_cpus();
        Ok(Bench { kernel, profile, shapes: maps::shapes(), maps: maps::create(kernel)?, n_cpus })
    }

    /// What the simulation says.
    pub fn simulate(&self, p: &Program, ty: ProgType, o: &Options) -> Report {
        let funcs = functions(p);
        let mut env = ProgEnv::new(ty, &self.shapes);
        env.funcs = &funcs;
        env.n_cpus = Some(self.n_cpus);
        verify(p, &env, &self.profile, o)
    }

    /// What the kernel says: `None` if it took it.
    pub fn load(&self, p: &Program, ty: ProgType) -> Option<LoadError> {
        self.load_at(p, ty, LogLevel::None).err()
    }

    /// As [`load`](Self::load), with the full log also of a program that it takes.
    ///
    /// # Errors
    /// The rejection.
    pub fn load_logged(&self, p: &Program, ty: ProgType) -> Result<String, LoadError> {
        self.load_at(p, ty, LogLevel::Full)
    }

    fn load_at(&self, p: &Program, ty: ProgType, level: LogLevel) -> Result<String, LoadError> {
        let slots = match encode(p, &|m| self.maps[m.0 as usize].as_raw_fd()) {
            Ok(slots) => slots,
            Err(e) => panic!("a generated program cannot be encoded: {e:?}"),
        };
        let mut load = ProgLoad::new("agree", ty, &slots);
        let funcs = functions(p);
        let btf =
            (!funcs.is_empty()).then(|| self.kernel.btf_load(&function_btf(funcs.len())).expect("BTF loads"));
        let map = p.slots();
        let info: Vec<FuncInfo> = funcs
            .iter()
            .map(|f| FuncInfo { insn_off: map.slot_of(f.at).map_or(0, |s| s.0), type_id: f.type_id })
            .collect();
        if let Some(btf) = &btf {
            load.btf = Some(ProgBtf { btf, func_info: &info, line_info: &[] });
        }
        load.log = level;
        self.kernel.prog_load(&load).map(|loaded| loaded.log.text)
    }

    /// Both.
    pub fn judge(&self, p: &Program, ty: ProgType) -> Judged {
        let sim = self.simulate(p, ty, &Options::default());
        let error = self.load(p, ty);
        let log = error.as_ref().map(|e| format!("{e}\n{}", e.log.text)).unwrap_or_default();
        Judged { sim, kernel: error.is_none(), log }
    }

    /// The smallest program found, by leaving out instructions, on which the two still disagree in the same way.
    pub fn shrink(&self, p: &Program, ty: ProgType) -> Program {
        let wanted = self.judge(p, ty).sim.verdict;
        let mut best = p.clone();
        loop {
            let mut smaller = None;
            for i in (0..best.insns.len()).rev() {
                let Some(candidate) = without(&best, i) else { continue };
                let judged = self.judge(&candidate, ty);
                if judged.disagree() && judged.sim.verdict == wanted {
                    smaller = Some(candidate);
                    break;
                }
            }
            match smaller {
                Some(candidate) => best = candidate,
                None => return best,
            }
        }
    }
}

/// The functions of a program with more than one.
pub fn functions(p: &Program) -> Vec<FuncDef> {
    let mut starts: Vec<u32> = p
        .insns
        .iter()
        .filter_map(|insn| match insn {
            Insn::Call(Callee::Local(to)) | Insn::LoadImm64 { imm: Imm64::Func(to), .. } => Some(to.0),
            _ => None,
        })
        .collect();
    if starts.is_empty() {
        return Vec::new();
    }
    starts.push(0);
    starts.sort_unstable();
    starts.dedup();
    // Types 1 to 3 are int, pointer and signature; one function type each follows.
    (0u32..).zip(starts).map(|(i, at)| FuncDef { at: InsnIdx(at), global: false, type_id: 3 + i }).collect()
}

fn function_btf(n: usize) -> Vec<u8> {
    let mut b = Builder::new(Endian::Little);
    let int = b.int("int", 4, true);
    let proto = b.func_proto(int, &[("a", int), ("b", int)]);
    for i in 0..n {
        b.func(&format!("f{i}"), proto, Linkage::Static);
    }
    b.build()
}

/// `p` without instruction `i`; jumps to it lead to the next.
pub fn without(p: &Program, i: usize) -> Option<Program> {
    let mut q = p.clone();
    q.locs.clear();
    q.insns.remove(i);
    let n = q.insns.len() as u32;
    let fix = |t: &mut InsnIdx| {
        if t.0 as usize > i {
            t.0 -= 1;
        }
        t.0 < n
    };
    for insn in &mut q.insns {
        let ok = match insn {
            Insn::Jump { to } | Insn::JumpIf { to, .. } | Insn::MayGoto { to } => fix(to),
            Insn::Call(Callee::Local(to)) | Insn::LoadImm64 { imm: Imm64::Func(to), .. } => fix(to),
            _ => true,
        };
        if !ok {
            return None;
        }
    }
    Some(q)
}

/// How often each pair of judgements came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Both accept.
    pub both_accept: u64,
    /// Both reject.
    pub both_reject: u64,
    /// The simulation accepts, the kernel rejects: never.
    pub wrong_accept: u64,
    /// The simulation rejects, the kernel accepts.
    pub wrong_reject: u64,
    /// Not modelled, and the kernel accepts.
    pub unsure_accept: u64,
    /// Not modelled, and the kernel rejects.
    pub unsure_reject: u64,
}

impl Matrix {
    /// Counts one.
    pub fn add(&mut self, j: &Judged) {
        let cell = match (j.sim.verdict, j.kernel) {
            (Verdict::Accept, true) => &mut self.both_accept,
            (Verdict::Accept, false) => &mut self.wrong_accept,
            (Verdict::Reject, true) => &mut self.wrong_reject,
            (Verdict::Reject, false) => &mut self.both_reject,
            (Verdict::Unsure, true) => &mut self.unsure_accept,
            (Verdict::Unsure, false) => &mut self.unsure_reject,
        };
        *cell += 1;
    }
}

/// The program of a seed, for this kernel.
pub fn program_of(seed: u64, ty: ProgType, kernel: V) -> Program {
    generate::program(&mut Rng::new(seed), ty, kernel)
}
