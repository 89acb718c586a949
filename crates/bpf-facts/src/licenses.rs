//! Licences. Source: `include/linux/license.h`.

/// What the kernel takes for a licence compatible with the GPL. They are compared to the letter.
pub const GPL_LICENSES: &[&str] =
    &["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
