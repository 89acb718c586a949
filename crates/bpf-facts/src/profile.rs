//! A kernel as a value: what the compiler and the verifier simulation are told to assume.

use crate::contexts::Arch;
use crate::features::{FEATURES, Feature};
use crate::helpers::{Arg, HelperDef, HelperId, helper};
use crate::progs::ProgType;
use crate::version::V;
use std::fmt;

/// Limits of the verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of stack, over all frames.
    pub stack: u32,
    /// Instructions of one program, as loaded by a privileged process.
    pub insns: u32,
    /// Instructions the verifier is willing to process.
    pub processed: u32,
    /// Jumps that may be pending at once.
    pub jumps: u32,
    /// Nested calls, the program itself included.
    pub frames: u8,
    /// Subprograms, the program itself included.
    pub subprogs: u32,
    /// Maps one program may use.
    pub maps: u32,
}

impl Limits {
    /// Those of `version`, for a privileged process.
    pub const fn of(version: V) -> Limits {
        let large = version.0 > 5 || version.0 == 5 && version.1 >= 2;
        let (insns, processed) = if large { (1_000_000, 1_000_000) } else { (4096, 131_072) };
        let jumps = if large { 8192 } else { 1024 };
        Limits { stack: 512, insns, processed, jumps, frames: 8, subprogs: 256, maps: 64 }
    }
}

/// What a kernel of one version on one architecture can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelProfile {
    /// Version.
    pub version: V,
    /// Architecture.
    pub arch: Arch,
    /// Limits.
    pub limits: Limits,
    features: u64,
}

/// Something the kernel lacks, and the version that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// What is missing.
    pub what: String,
    /// First version that has it; `None` where no version does (a helper in the wrong program type).
    pub since: Option<V>,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.since {
            Some(since) => write!(f, "{} needs Linux {since} or later", self.what),
            None => write!(f, "{}", self.what),
        }
    }
}

impl std::error::Error for Unsupported {}

impl KernelProfile {
    /// The profile of `version`, from the `since` columns.
    pub fn of(version: V, arch: Arch) -> Self {
        let features = FEATURES
            .iter()
            .filter(|def| def.since <= version)
            .fold(0, |bits, def| bits | 1 << def.feature as u64);
        let limits = Limits::of(version);
        Self { version, arch, limits, features }
    }

    /// The profile of a named version on x86-64: `5.10`, `6.1`, `6.18.44`.
    pub fn named(version: &str) -> Option<Self> {
        V::parse(version).map(|v| Self::of(v, Arch::X86_64))
    }

    /// Whether it has `feature`.
    pub fn has(&self, feature: Feature) -> bool {
        self.features & (1 << feature as u64) != 0
    }

    /// Overrides the table, as probing a real kernel found.
    pub fn set(&mut self, feature: Feature, has: bool) {
        self.features = self.features & !(1 << feature as u64) | u64::from(has) << feature as u64;
    }

    /// `Ok` if it has `feature`.
    ///
    /// # Errors
    /// Names the feature and the version that has it.
    pub fn require(&self, feature: Feature) -> Result<(), Unsupported> {
        if self.has(feature) {
            return Ok(());
        }
        Err(Unsupported { what: feature.def().name.to_string(), since: Some(feature.def().since) })
    }

    /// The helper `id`, if programs of type `prog` may call it here.
    ///
    /// # Errors
    /// Says that the kernel is too old for it, or that the program type may not call it.
    pub fn helper(&self, id: HelperId, prog: ProgType) -> Result<&'static HelperDef, Unsupported> {
        let Some(def) = helper(id) else {
            return Err(Unsupported { what: format!("unknown helper {}", id.0), since: None });
        };
        match def.since_in(prog) {
            None => Err(Unsupported {
                what: format!("helper {} is not for programs of this type", def.name),
                since: None,
            }),
            Some(since) if since > self.version => {
                Err(Unsupported { what: format!("helper {}", def.name), since: Some(since) })
            }
            Some(_) => Ok(def),
        }
    }

    /// The arguments of a helper in programs of type `prog` here.
    pub fn helper_args(&self, def: &HelperDef, prog: ProgType) -> [Arg; 5] {
        def.args_in(prog, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helpers::HELPERS;
    use crate::progs::PROG_TYPES;

    #[test]
    fn profiles_grow_with_the_version() {
        let versions = [V(5, 4), V(5, 10), V(5, 15), V(6, 1), V(6, 6), V(6, 12), V(6, 18), V(7, 3)];
        for pair in versions.windows(2) {
            let (old, new) =
                (KernelProfile::of(pair[0], Arch::X86_64), KernelProfile::of(pair[1], Arch::X86_64));
            assert_eq!(old.features & !new.features, 0, "{} to {}", pair[0], pair[1]);
            assert!(old.limits.insns <= new.limits.insns && old.limits.processed <= new.limits.processed);
            for (def, ty) in HELPERS.iter().flat_map(|def| PROG_TYPES.iter().map(move |prog| (def, prog.ty)))
            {
                let lost = old.helper(def.id, ty).is_ok() && new.helper(def.id, ty).is_err();
                assert!(!lost, "{} in {ty:?}: {} to {}", def.name, pair[0], pair[1]);
            }
        }
    }

    #[test]
    fn a_missing_helper_names_its_version() {
        let old = KernelProfile::of(V(5, 10), Arch::X86_64);
        let missing = |id, prog| old.helper(id, prog).expect_err("missing").to_string();
        assert_eq!(missing(HelperId::LOOP, ProgType::Kprobe), "helper loop needs Linux 5.17 or later");
        assert_eq!(
            missing(HelperId::GET_CURRENT_PID_TGID, ProgType::SchedCls),
            "helper get_current_pid_tgid needs Linux 6.10 or later"
        );
        assert_eq!(
            missing(HelperId::GET_STACK, ProgType::Xdp),
            "helper get_stack is not for programs of this type"
        );
        assert_eq!(missing(HelperId(9999), ProgType::Xdp), "unknown helper 9999");
    }
}
