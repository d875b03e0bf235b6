//! Gives a thread's heap back when the thread ends, which rpmalloc leaves to
//! whoever starts it. A heap is made by rpmalloc itself at the first malloc.

use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::sync::OnceLock;

use libc::{pthread_attr_t, pthread_key_t, pthread_t};

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

unsafe extern "C" {
    // The crate's binding lacks the argument.
    fn rpmalloc_thread_finalize(release_caches: c_int);
}

/// What a thread is to do.
struct Task {
    start: Start,
    argument: *mut c_void,
}

/// The C library's `pthread_create`, and the key whose destructor ends a heap.
struct Hooks {
    create: Create,
    key: pthread_key_t,
}

fn hooks() -> &'static Hooks {
    static HOOKS: OnceLock<Hooks> = OnceLock::new();
    HOOKS.get_or_init(|| {
        // SAFETY: the name is a C string.
        let create = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr()) };
        assert!(!create.is_null());
        let mut key = 0;
        // SAFETY: the key is a local.
        let failure = unsafe { libc::pthread_key_create(&raw mut key, Some(end)) };
        assert_eq!(failure, 0);
        Hooks {
            // SAFETY: that is the function's type.
            create: unsafe { transmute::<*mut c_void, Create>(create) },
            key,
        }
    })
}

/// # Safety
///
/// As the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let task = Box::into_raw(Box::new(Task { start, argument }));
    // SAFETY: the caller's word; the task lives until the thread takes it.
    let failure = unsafe { (hooks().create)(thread, attributes, begin, task.cast()) };
    if failure != 0 {
        // SAFETY: no thread has taken it.
        drop(unsafe { Box::from_raw(task) });
    }
    failure
}

extern "C" fn begin(task: *mut c_void) -> *mut c_void {
    // SAFETY: it may be called at any time.
    unsafe { rpmalloc_sys::rpmalloc_thread_initialize() };
    // SAFETY: `pthread_create` above made it for this thread.
    let task = *unsafe { Box::from_raw(task.cast::<Task>()) };
    // SAFETY: the key exists; any value but null makes the destructor run.
    unsafe { libc::pthread_setspecific(hooks().key, std::ptr::dangling::<c_void>()) };
    (task.start)(task.argument)
}

unsafe extern "C" fn end(_: *mut c_void) {
    // SAFETY: the thread's heap is its own.
    unsafe { rpmalloc_thread_finalize(1) };
}
