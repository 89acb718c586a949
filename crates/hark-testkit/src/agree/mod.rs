//! Does the simulated verifier agree with the kernel's?
//!
//! Generated programs are judged by both. The kernel is right by definition; where the simulation says otherwise, the
//! program is shrunk to the instructions that matter.

pub mod generate;
pub mod keep;
pub mod maps;
mod more;
pub mod objects;
pub mod rng;
pub mod states;

use bpf_facts::{KernelProfile, ProgType, V};
use bpf_syscall::{AttachTarget, BtfFd, FuncInfo, Kernel, LoadError, LogLevel, MapFd, ProgBtf, ProgLoad};
use ebpf_asm::{Callee, Imm64, Insn, InsnIdx, Program, encode};
use hark_btf::{Btf, Builder, Endian, Linkage};
use objects::Objects;
use rng::Rng;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
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
    /// The kernel's types.
    objects: Option<Objects>,
    /// Type information of programs with so many functions: loading it takes longer than most programs.
    btf: Mutex<BTreeMap<usize, Arc<BtfFd>>>,
}

impl<'k> Bench<'k> {
    /// Makes the maps.
    ///
    /// # Errors
    /// If the kernel refuses one.
    pub fn new(kernel: &'k dyn Kernel, profile: KernelProfile) -> anyhow::Result<Bench<'k>> {
        let n_cpus = kernel.n_possible_cpus();
        let types = std::fs::read("/sys/kernel/btf/vmlinux").ok().and_then(|bytes| Btf::parse(bytes).ok());
        let objects = types.and_then(|btf| Objects::of(Arc::new(btf)));
        Ok(Bench {
            kernel,
            profile,
            shapes: maps::shapes(),
            maps: maps::create(kernel)?,
            n_cpus,
            objects,
            btf: Mutex::default(),
        })
    }

    /// The kernel that is simulated.
    pub fn profile(&self) -> &KernelProfile {
        &self.profile
    }

    /// What of the kernel's types there is.
    pub fn objects(&self) -> Option<&Objects> {
        self.objects.as_ref()
    }

    /// The program of a seed. Every other one uses objects of the kernel.
    pub fn program_of(&self, seed: u64, ty: ProgType) -> Program {
        let objects = self.objects.as_ref().filter(|_| seed % 2 == 1 || ty == ProgType::Tracing);
        generate::program_with(&mut Rng::new(seed), ty, self.profile.version, objects)
    }

    /// What the simulation says.
    pub fn simulate(&self, p: &Program, ty: ProgType, o: &Options) -> Report {
        let funcs = functions(p);
        let mut env = ProgEnv::new(ty, &self.shapes);
        env.funcs = &funcs;
        env.n_cpus = Some(self.n_cpus);
        if let Some(objects) = &self.objects {
            env.btf = Some(&objects.btf);
            if ty == ProgType::Tracing {
                (env.attach_type, env.attach_btf_id) = (objects.target.0, Some(objects.target.1));
            }
        }
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
        let btf = (!funcs.is_empty()).then(|| self.btf_of(funcs.len()));
        let map = p.slots();
        let info: Vec<FuncInfo> = funcs
            .iter()
            .map(|f| FuncInfo { insn_off: map.slot_of(f.at).map_or(0, |s| s.0), type_id: f.type_id })
            .collect();
        if let Some(btf) = &btf {
            load.btf = Some(ProgBtf { btf, func_info: &info, line_info: &[] });
        }
        if let (ProgType::Tracing, Some(objects)) = (ty, &self.objects) {
            load.attach_type = objects.target.0;
            load.target = Some(AttachTarget::Vmlinux { btf_id: objects.target.1 });
        }
        load.log = level;
        self.kernel.prog_load(&load).map(|loaded| loaded.log.text)
    }

    fn btf_of(&self, functions: usize) -> Arc<BtfFd> {
        let mut known = self.btf.lock().expect("nobody panics with it");
        let load = || Arc::new(self.kernel.btf_load(&function_btf(functions)).expect("BTF loads"));
        Arc::clone(known.entry(functions).or_insert_with(load))
    }

    /// Both.
    pub fn judge(&self, p: &Program, ty: ProgType) -> Judged {
        self.judge_simulated(p, ty, self.simulate(p, ty, &Options::default()))
    }

    /// Both, where the simulation's is known. The kernel's log is asked for only where they disagree.
    pub fn judge_simulated(&self, p: &Program, ty: ProgType, sim: Report) -> Judged {
        let kernel = self.load_at(p, ty, LogLevel::Never).is_ok();
        let mut judged = Judged { sim, kernel, log: String::new() };
        if judged.disagree()
            && let Some(error) = self.load(p, ty)
        {
            judged.log = format!("{error}\n{}", error.log.text);
        }
        judged
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

impl std::ops::Add for Matrix {
    type Output = Matrix;

    fn add(self, other: Matrix) -> Matrix {
        Matrix {
            both_accept: self.both_accept + other.both_accept,
            both_reject: self.both_reject + other.both_reject,
            wrong_accept: self.wrong_accept + other.wrong_accept,
            wrong_reject: self.wrong_reject + other.wrong_reject,
            unsure_accept: self.unsure_accept + other.unsure_accept,
            unsure_reject: self.unsure_reject + other.unsure_reject,
        }
    }
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
