//! Why a probe is not attached.

use bpf_facts::Unsupported;
use bpf_syscall::{Errno, SysError};
use hark_object::CatalogError;

/// A probe that cannot be expanded or attached. Each variant names the probe as the script does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// What it names does not exist here: whether that is an error is for `missing_probes` to say.
    #[error("{probe}: {why}")]
    Missing {
        /// The probe.
        probe: String,
        /// What does not exist.
        why: String,
    },
    /// The script asks for what makes no sense.
    #[error("{probe}: {why}")]
    Invalid {
        /// The probe.
        probe: String,
        /// What is wrong with it.
        why: String,
    },
    /// The kernel is too old for it.
    #[error("{probe}: {what}")]
    Unsupported {
        /// The probe.
        probe: String,
        /// What is missing, and since when kernels have it.
        what: Unsupported,
    },
    /// The host's lists cannot be read.
    #[error("{probe}: {source}")]
    Catalog {
        /// The probe.
        probe: String,
        /// Why not.
        source: CatalogError,
    },
    /// The kernel refused.
    #[error("{probe}: {source}")]
    Kernel {
        /// The probe.
        probe: String,
        /// How.
        source: SysError,
    },
}

impl AttachError {
    pub(crate) fn missing(probe: impl ToString, why: impl Into<String>) -> AttachError {
        AttachError::Missing { probe: probe.to_string(), why: why.into() }
    }

    pub(crate) fn invalid(probe: impl ToString, why: impl Into<String>) -> AttachError {
        AttachError::Invalid { probe: probe.to_string(), why: why.into() }
    }

    pub(crate) fn catalog(probe: impl ToString, source: CatalogError) -> AttachError {
        AttachError::Catalog { probe: probe.to_string(), source }
    }

    pub(crate) fn kernel(probe: impl ToString, source: SysError) -> AttachError {
        AttachError::Kernel { probe: probe.to_string(), source }
    }

    /// Whether the probe does not exist here, as opposed to being refused.
    pub fn is_missing(&self) -> bool {
        matches!(self, AttachError::Missing { .. })
    }

    /// The kernel's error number, if it was the kernel that refused.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            AttachError::Kernel { source, .. } => Some(source.errno),
            AttachError::Missing { .. }
            | AttachError::Invalid { .. }
            | AttachError::Unsupported { .. }
            | AttachError::Catalog { .. } => None,
        }
    }

    /// What may help, in one sentence without a full stop.
    pub fn hint(&self) -> Option<&str> {
        match self {
            AttachError::Kernel { source, .. } => source.hint,
            AttachError::Catalog { source, .. } => source.help.as_deref(),
            AttachError::Missing { .. } | AttachError::Invalid { .. } | AttachError::Unsupported { .. } => {
                None
            }
        }
    }
}
