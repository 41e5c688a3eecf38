//! Refuses a thread every system call that is not on its list, and notes which it tried.
//!
//! A seccomp filter in TRAP mode: the kernel does not make a refused call, but tells the thread by SIGSYS. For tests of the
//! control thread ([`crate::control_thread_tests`] has the list). A filter can never be taken off, so the thread must not
//! end by itself.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Above every number of a system call of x86-64 and aarch64.
const CALLS_MAX: usize = 512;

/// How often each call was refused while [`NOTING`].
static REFUSED: [AtomicU32; CALLS_MAX] = [const { AtomicU32::new(0) }; CALLS_MAX];
static NOTING: AtomicBool = AtomicBool::new(false);

/// From here on this thread may make only these calls, and others are noted.
pub fn allow_only(calls: &[libc::c_long]) {
    catch_refusals();
    NOTING.store(true, Ordering::SeqCst);
    install(&filter(calls));
}

/// What is refused after this is not noted.
pub fn stop_noting() {
    NOTING.store(false, Ordering::SeqCst);
}

/// The calls that were refused, and how often.
pub fn refused() -> Vec<(usize, u32)> {
    let counts = REFUSED.iter().map(|count| count.load(Ordering::SeqCst));
    counts.enumerate().filter(|(_, count)| *count > 0).collect()
}

fn filter(calls: &[libc::c_long]) -> Vec<libc::sock_filter> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // The call's number is the first word of what a filter sees (linux/seccomp.h).
    let mut program = vec![statement(LOAD, 0)];
    for &call in calls {
        program.push(libc::sock_filter {
            code: IF_EQUAL,
            jt: 0,
            jf: 1,
            k: call as u32,
        });
        program.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
    }
    program.push(statement(RETURN, libc::SECCOMP_RET_TRAP));
    program
}

fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn install(program: &[libc::sock_filter]) {
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: both act on the calling thread; the program outlives the call, which copies it.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                ptr::from_ref(&program),
            ) == 0
    };
    assert!(installed, "{}", std::io::Error::last_os_error());
}

fn catch_refusals() {
    // SAFETY: a sigaction is integers, flags and a pointer, for which zero is valid; the handler is of the kind that
    // SA_SIGINFO asks for and does nothing that a signal handler may not.
    let caught = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_flags = libc::SA_SIGINFO;
        action.sa_sigaction = note as *const () as libc::sighandler_t;
        libc::sigaction(libc::SIGSYS, &action, ptr::null_mut())
    };
    assert_eq!(caught, 0, "{}", std::io::Error::last_os_error());
}

/// What the kernel says of a refused call (`_sigsys` in asm-generic/siginfo.h, on machines of 64 bit).
#[repr(C)]
struct Refusal {
    signal: [i32; 4],
    address: *const libc::c_void,
    call: i32,
    architecture: u32,
}

extern "C" fn note(_: libc::c_int, refusal: *const Refusal, context: *mut libc::c_void) {
    // SAFETY: the kernel hands both over, of these kinds, to a handler with SA_SIGINFO of SIGSYS.
    unsafe {
        let call = (*refusal).call;
        let count = REFUSED.get(call as usize);
        if let Some(count) = count.filter(|_| NOTING.load(Ordering::SeqCst)) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        // This one call fails by answering with less than was asked for.
        let is_brk = libc::c_long::from(call) == libc::SYS_brk;
        answer(
            context.cast(),
            if is_brk { 0 } else { -i64::from(libc::EPERM) },
        );
    }
}

/// What the refused call seems to have answered: without it, the caller finds its own question.
///
/// # Safety
/// `context` is that of a signal.
#[cfg(target_arch = "x86_64")]
unsafe fn answer(context: *mut libc::ucontext_t, value: i64) {
    // SAFETY: as the caller promised.
    unsafe { (*context).uc_mcontext.gregs[libc::REG_RAX as usize] = value };
}

/// As above.
///
/// # Safety
/// `context` is that of a signal.
#[cfg(target_arch = "aarch64")]
unsafe fn answer(context: *mut libc::ucontext_t, value: i64) {
    // SAFETY: as the caller promised.
    unsafe { (*context).uc_mcontext.regs[0] = value as u64 };
}
