//! About how long helpers take.

use super::HelperId;

/// Nanoseconds that a helper takes when its data is in the cache, on a processor of the 2020s with the usual
/// mitigations: measured in tracepoint programs on 6.18 and rounded. Good for comparing programs, not for promises.
pub fn helper_ns(id: HelperId) -> u32 {
    match id {
        HelperId::GET_SMP_PROCESSOR_ID | HelperId::THIS_CPU_PTR | HelperId::PER_CPU_PTR => 1,
        HelperId::GET_CURRENT_PID_TGID
        | HelperId::GET_CURRENT_UID_GID
        | HelperId::GET_CURRENT_TASK
        | HelperId::GET_CURRENT_TASK_BTF
        | HelperId::JIFFIES64
        | HelperId::GET_PRANDOM_U32 => 5,
        HelperId::GET_CURRENT_CGROUP_ID | HelperId::GET_FUNC_IP => 10,
        HelperId::KTIME_GET_NS | HelperId::KTIME_GET_BOOT_NS | HelperId::KTIME_GET_TAI_NS => 25,
        HelperId::MAP_LOOKUP_ELEM | HelperId::MAP_LOOKUP_PERCPU_ELEM => 20,
        HelperId::MAP_UPDATE_ELEM | HelperId::MAP_DELETE_ELEM => 80,
        HelperId::RINGBUF_RESERVE | HelperId::RINGBUF_SUBMIT => 30,
        HelperId::GET_CURRENT_COMM => 40,
        HelperId::PROBE_READ | HelperId::PROBE_READ_KERNEL | HelperId::PROBE_READ_USER => 25,
        HelperId::PROBE_READ_STR | HelperId::PROBE_READ_KERNEL_STR | HelperId::PROBE_READ_USER_STR => 60,
        HelperId::GET_STACKID | HelperId::GET_STACK => 500,
        _ => 30,
    }
}
