//! What a program is verified for: its surroundings, prepared for the walk.

use crate::cfg::Cfg;
use crate::era::Era;
use crate::target::Target;
use crate::{MapShape, ProgEnv};
use bpf_facts::{CtxLayout, KernelProfile, ctx_layout};
use ebpf_asm::Program;

/// The surroundings, with maps in maps given indexes of their own.
pub(crate) struct Env<'a> {
    pub(crate) p: &'a Program,
    pub(crate) prog: &'a ProgEnv<'a>,
    pub(crate) profile: &'a KernelProfile,
    pub(crate) era: Era,
    pub(crate) cfg: Cfg,
    pub(crate) ctx: Option<&'static CtxLayout>,
    /// What the program is attached to, if BTF types that.
    pub(crate) target: Option<Target<'a>>,
    /// Why the kernel may refuse the program whatever it does.
    pub(crate) doubt: Option<String>,
    /// Those of the program, then the ones inside of them.
    pub(crate) maps: Vec<Map<'a>>,
    /// Which subprograms are verified on their own.
    pub(crate) global: Vec<bool>,
}

/// A map, and the index of the one inside.
#[derive(Clone, Copy)]
pub(crate) struct Map<'a> {
    pub(crate) shape: &'a MapShape,
    pub(crate) inner: Option<u32>,
}

impl<'a> Env<'a> {
    pub(crate) fn new(
        p: &'a Program,
        prog: &'a ProgEnv<'a>,
        profile: &'a KernelProfile,
        cfg: Cfg,
    ) -> Env<'a> {
        let mut maps: Vec<Map<'a>> = prog.maps.iter().map(|shape| Map { shape, inner: None }).collect();
        for i in 0..maps.len() {
            if let Some(inner) = &maps[i].shape.inner {
                maps[i].inner = Some(maps.len() as u32);
                maps.push(Map { shape: inner, inner: None });
            }
        }
        let global = cfg
            .subprogs
            .iter()
            .map(|&at| at != 0 && prog.funcs.iter().any(|f| f.at.0 == at && f.global))
            .collect();
        Env {
            p,
            prog,
            profile,
            era: Era::of(profile.version),
            ctx: ctx_layout(prog.ty, profile.arch),
            target: None,
            doubt: None,
            cfg,
            maps,
            global,
        }
    }

    pub(crate) fn map(&self, index: u32) -> &'a MapShape {
        self.maps[index as usize].shape
    }

    /// Whether the subprogram that begins at `at` is verified on its own.
    pub(crate) fn is_global_at(&self, at: u32) -> bool {
        self.cfg.subprog_at(at).is_some_and(|i| self.global[i as usize])
    }
}
