//! Descriptors of kernel objects. Dropping one closes it; the kernel frees the object with its last reference.
//!
//! All are close-on-exec. A simulated kernel makes them from descriptors of `/dev/null`.

use bpf_facts::MapType;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// What a map holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// Type.
    pub ty: MapType,
    /// Bytes of a key; 0 for maps without keys.
    pub key_size: u32,
    /// Bytes of a value, on one CPU.
    pub value_size: u32,
    /// Capacity; bytes for a ring buffer.
    pub max_entries: u32,
    /// Values behind one key: the number of possible CPUs for per-CPU maps, else 1.
    pub copies: u32,
}

impl MapShape {
    /// Bytes between the values of two CPUs: `value_size` rounded up to 8 for per-CPU maps.
    pub const fn stride(&self) -> usize {
        let size = self.value_size as usize;
        if self.ty.per_cpu() { size.next_multiple_of(8) } else { size }
    }

    /// Bytes that user space reads or writes for one key: [`stride`](Self::stride) times
    /// [`copies`](Self::copies).
    pub const fn value_bytes(&self) -> usize {
        self.stride() * self.copies as usize
    }
}

/// A map. Knows its shape, so that no call can pass the kernel a buffer that is too short.
#[derive(Debug)]
pub struct MapFd {
    fd: OwnedFd,
    shape: MapShape,
    name: String,
    /// Whether the running kernel confirmed the shape; see [`MapFd::simulated`].
    real: bool,
}

impl MapFd {
    /// A map of the running kernel. The caller got `shape` from the kernel, or made the map so.
    pub(crate) fn real(fd: OwnedFd, shape: MapShape, name: String) -> MapFd {
        MapFd { fd, shape, name, real: true }
    }

    /// A map that a simulated kernel keeps. [`LinuxKernel`](crate::LinuxKernel) refuses it with `EBADF`: nobody
    /// vouches for its shape.
    pub fn simulated(fd: OwnedFd, shape: MapShape, name: impl Into<String>) -> MapFd {
        MapFd { fd, shape, name: name.into(), real: false }
    }

    /// What it holds.
    pub fn shape(&self) -> &MapShape {
        &self.shape
    }

    /// The name it was created with, unabridged.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_real(&self) -> bool {
        self.real
    }
}

/// A loaded program. It stays loaded as long as this or a link on it lives.
#[derive(Debug)]
pub struct ProgFd {
    fd: OwnedFd,
    name: String,
}

impl ProgFd {
    /// The program behind `fd`; `name` is used in messages.
    pub fn new(fd: OwnedFd, name: impl Into<String>) -> ProgFd {
        ProgFd { fd, name: name.into() }
    }

    /// The name it was loaded with, unabridged.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// An attachment. Dropping it detaches the program.
#[derive(Debug)]
pub struct LinkFd(OwnedFd);

/// A perf event. Dropping it ends the event and with it what was attached by `PERF_EVENT_IOC_SET_BPF`.
#[derive(Debug)]
pub struct PerfFd(OwnedFd);

/// A BTF object.
#[derive(Debug)]
pub struct BtfFd(OwnedFd);

impl AsFd for MapFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for MapFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for ProgFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for ProgFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

macro_rules! plain_fd {
    ($($name:ident)*) => {$(
        impl From<OwnedFd> for $name {
            fn from(fd: OwnedFd) -> $name {
                $name(fd)
            }
        }

        impl From<$name> for OwnedFd {
            fn from(fd: $name) -> OwnedFd {
                fd.0
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }
    )*};
}

plain_fd!(LinkFd PerfFd BtfFd);
