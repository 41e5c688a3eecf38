//! The system calls behind real-time rights, and nothing else: what they mean is up to the modules beside this one.

use std::io;

/// Number of the capability that lifts RLIMIT_MEMLOCK (linux/capability.h).
const CAP_IPC_LOCK: u32 = 14;
/// Well below the 2 MiB that Rust gives a thread, well above what a tick needs.
const PREFAULT_BYTES: usize = 256 * 1024;

/// Bytes that this process may lock; `None` for as many as it wants.
pub fn memory_limit() -> io::Result<Option<u64>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if effective_capabilities(&status).is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1) {
        return Ok(None);
    }
    let bytes = soft_limit(libc::RLIMIT_MEMLOCK)?;
    Ok((bytes != libc::RLIM_INFINITY).then_some(bytes))
}

/// The highest SCHED_FIFO priority that needs no capability; 0 for none.
pub fn priority_limit() -> io::Result<u64> {
    soft_limit(libc::RLIMIT_RTPRIO)
}

fn soft_limit(resource: libc::__rlimit_resource_t) -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    match unsafe { libc::getrlimit(resource, &mut limit) } {
        0 => Ok(limit.rlim_cur),
        _ => Err(io::Error::last_os_error()),
    }
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

/// Locks all memory of the process, present and future: it is resident from when it is mapped.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: takes flags only.
    match unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Keeps what the heap frees: giving pages back interrupts every CPU that runs a thread of this process, the control
/// thread's too, to forget them.
pub fn keep_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers only; a refusal leaves the allocator as it was.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
    }
}

#[inline(never)]
pub fn prefault_stack() {
    std::hint::black_box([0_u8; PREFAULT_BYTES]);
}

/// Puts the calling thread under SCHED_FIFO.
pub fn enter_fifo(priority: i32) -> io::Result<()> {
    // SAFETY: a sched_param is plain integers, for which zero is valid.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = priority;
    // SAFETY: acts on the calling thread; `param` outlives the call.
    match unsafe { libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &param) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Lets the calling thread run on one CPU only.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a cpu_set_t is an array of integers, for which zero is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: 0 is the calling thread; the size is the set's, which outlives the call.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has the kernel wake the calling thread when its sleep is over and not, as by default, up to 50 us later. Threads under
/// SCHED_FIFO are woken like this anyway.
pub fn tighten_timer() {
    // SAFETY: takes numbers only and acts on the calling thread.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
}

/// What the calling thread has used since it started.
pub fn thread_rusage() -> libc::rusage {
    // SAFETY: a rusage is plain integers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` outlives the call, which cannot fail for RUSAGE_THREAD and a valid pointer.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    usage
}

/// Whether something keeps this machine's UTC in step with the world's.
pub fn utc_is_synchronised() -> bool {
    // SAFETY: every bit pattern is a valid timex; with `modes` 0 the kernel only reports.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is a valid timex that outlives the call.
    let clock = unsafe { libc::adjtimex(&mut state) };
    clock >= 0 && clock != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000004000\n";
        assert_eq!(effective_capabilities(status), Some(1 << CAP_IPC_LOCK));
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
    }

    #[test]
    fn a_tight_timer_is_that_of_the_calling_thread() {
        let slack = || {
            // SAFETY: takes numbers only.
            unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }
        };
        let other = std::thread::spawn(move || {
            tighten_timer();
            slack()
        });
        assert_eq!(other.join().unwrap(), 1);
        assert_ne!(slack(), 1);
    }
}
