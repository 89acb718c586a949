//! What the kernel says it can do, against the table of what its version should.

use crate::kernel;
use bpf_facts::{Arch, Feature, KernelProfile};
use bpf_syscall::probe::{Answer, BtfIds, detect};
use bpf_syscall::{Errno, host};

/// What a configuration may leave out, whatever the version.
const CONFIGURED: [Feature; 2] = [Feature::KprobeMulti, Feature::KprobeSession];

#[test]
fn the_table_and_the_kernel_agree() {
    let Some(kernel) = kernel() else { return };
    let version = host::uname().expect("uname").kernel().expect("a version");
    let assumed = KernelProfile::of(version, Arch::X86_64);
    let (profile, answers) = detect(&kernel, &assumed, BtfIds::default());
    for (feature, answer) in answers {
        println!("{:32} {answer:?}", feature.def().name);
        match answer {
            Answer::No(Errno::EOPNOTSUPP) if CONFIGURED.contains(&feature) => {}
            Answer::No(_) => assert!(!assumed.has(feature), "{feature:?} should be there: {answer:?}"),
            Answer::Yes => assert!(assumed.has(feature), "{feature:?} should not be there"),
            Answer::CannotTell(_) => assert_eq!(profile.has(feature), assumed.has(feature)),
        }
    }
}
