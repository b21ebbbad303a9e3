//! Memory that is looked at all over: in large pages, where the system has them, so that most looks need no walk through
//! the page tables.

/// An empty vector with room for `capacity`, which the system is asked to back by large pages.
pub(super) fn vec_in_large_pages<T>(capacity: usize) -> Vec<T> {
    let room: Vec<T> = Vec::with_capacity(capacity);
    #[cfg(target_os = "linux")]
    advise(room.as_ptr().cast_mut().cast(), capacity * size_of::<T>());
    room
}

/// Only advice: where the system does not follow it, nothing is lost.
#[cfg(target_os = "linux")]
fn advise(start: *mut std::ffi::c_void, bytes: usize) {
    use rustix::mm::{Advice, madvise};

    const LARGE: usize = 2 << 20;
    const PAGE: usize = 4 << 10;
    let skipped = start.addr().wrapping_neg() % PAGE;
    if bytes < 2 * LARGE {
        return;
    }
    let whole = (bytes - skipped) / PAGE * PAGE;
    // SAFETY: the pages lie within an allocation that the caller has just made and holds; the advice changes how they are
    // backed, not what is in them.
    let _ = unsafe { madvise(start.wrapping_byte_add(skipped), whole, Advice::LinuxHugepage) };
}
