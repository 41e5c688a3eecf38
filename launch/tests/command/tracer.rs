//! Stops one thread of another process, as no signal can: SIGSTOP would stop all of its threads.
//!
//! Not responsible for what the others make of it ([`crate::freeze`]).

use std::io;
use std::path::Path;
use visuomotor_runtime::clock::{Duration, Instant, LinuxMono};

/// When a thread stood still.
#[derive(Clone, Copy, Debug)]
pub struct Frozen {
    pub from: Instant,
    pub to: Instant,
}

/// The oldest thread of this name, or `None` while there is none: those that a thread starts inherit its name.
pub fn thread_named(process: u32, name: &str) -> Option<libc::pid_t> {
    let tasks =
        std::fs::read_dir(Path::new("/proc").join(process.to_string()).join("task")).ok()?;
    let is_called = |task: &Path| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let named = tasks.flatten().filter(|task| is_called(&task.path()));
    named
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
        .min()
}

/// Stops the thread for this long. An error means that it was never stopped: the kernel permits no tracing.
pub fn freeze(thread: libc::pid_t, span: Duration) -> io::Result<Frozen> {
    ask(libc::PTRACE_SEIZE, thread)?;
    ask(libc::PTRACE_INTERRUPT, thread)?;
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let waited = unsafe { libc::waitpid(thread, &mut status, libc::__WALL) };
    assert_eq!(waited, thread, "{}", io::Error::last_os_error());
    assert!(libc::WIFSTOPPED(status), "status {status:#x}");
    let from = LinuxMono::now();
    LinuxMono::sleep_until(from + span);
    let to = LinuxMono::now();
    ask(libc::PTRACE_DETACH, thread)?;
    Ok(Frozen { from, to })
}

fn ask(request: libc::c_uint, thread: libc::pid_t) -> io::Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: none of these requests reads or writes memory of this process.
    match unsafe { libc::ptrace(request, thread, nothing, nothing) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
