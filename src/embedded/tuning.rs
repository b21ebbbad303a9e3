//! The settings of the embedded Postgres, from what the machine has.

use std::fs;

const MIB: u64 = 1 << 20;

/// What the machine offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Machine {
    /// Bytes of memory, or of the container's share of it.
    memory: u64,
    /// Whether `/dev/shm` is big enough for parallel index builds; Docker gives 64 MiB.
    roomy_shm: bool,
}

impl Machine {
    /// Looks at this machine; what cannot be found out is guessed small.
    pub(super) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let total = read("/proc/meminfo").and_then(|text| meminfo_total(&text)).unwrap_or(4096 * MIB);
        let share = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
        let roomy_shm = read("/proc/mounts").is_some_and(|text| shm_is_roomy(&text));
        Self { memory: total.min(share), roomy_shm }
    }

    /// Name and value of each setting. `port` is where it listens, on the loopback interface alone.
    pub(super) fn settings(self, port: u16) -> Vec<(String, String)> {
        let mib = |bytes: u64, least: u64, most: u64| format!("{}MB", (bytes / MIB).clamp(least, most));
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("unix_socket_directories", String::new()),
            ("session_preload_libraries", "vector".to_owned()),
            // Compiling costs more than the short queries of a service ever win back.
            ("jit", "off".to_owned()),
            ("shared_buffers", mib(self.memory / 8, 64, 1024)),
            ("effective_cache_size", mib(self.memory / 2, 128, 16_384)),
            ("maintenance_work_mem", mib(self.memory / 16, 64, 512)),
            ("max_connections", "100".to_owned()),
            ("max_wal_size", "2GB".to_owned()),
            ("random_page_cost", "1.1".to_owned()),
            ("timezone", "UTC".to_owned()),
            // Everything goes to standard error, which we read; no values of rows or statements in it.
            ("logging_collector", "off".to_owned()),
            ("log_destination", "stderr".to_owned()),
            ("log_line_prefix", String::new()),
            ("log_checkpoints", "off".to_owned()),
            ("log_error_verbosity", "terse".to_owned()),
            ("log_min_error_statement", "panic".to_owned()),
            ("lc_messages", "C".to_owned()),
        ];
        if cfg!(target_os = "linux") && !self.roomy_shm {
            settings.push(("dynamic_shared_memory_type", "mmap".to_owned()));
        }
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn shm_is_roomy(mounts: &str) -> bool {
    let Some(options) = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        (fields.next() == Some("/dev/shm")).then(|| fields.nth(1).unwrap_or_default())
    }) else {
        return false;
    };
    // Without a size a tmpfs may take half the memory.
    match options.split(',').find_map(|option| option.strip_prefix("size=")) {
        Some(size) => {
            size.strip_suffix('k').and_then(|kib| kib.parse::<u64>().ok()).is_some_and(|kib| kib >= 512 * 1024)
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(machine: Machine, name: &str) -> Option<String> {
        machine.settings(5432).into_iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    #[test]
    fn memory_is_shared_out_within_bounds() {
        for (memory, buffers) in [(256 * MIB, "64MB"), (4096 * MIB, "512MB"), (1 << 40, "1024MB")] {
            assert_eq!(value(Machine { memory, roomy_shm: true }, "shared_buffers").as_deref(), Some(buffers));
        }
    }

    #[test]
    fn a_small_shm_is_not_used() {
        for (mounts, roomy) in [
            ("tmpfs /dev/shm tmpfs rw,nosuid,nodev 0 0", true),
            ("shm /dev/shm tmpfs rw,nosuid,size=65536k,inode64 0 0", false),
            ("shm /dev/shm tmpfs rw,size=1048576k 0 0", true),
            ("proc /proc proc rw 0 0", false),
        ] {
            assert_eq!(shm_is_roomy(mounts), roomy, "{mounts}");
            let machine = Machine { memory: MIB, roomy_shm: shm_is_roomy(mounts) };
            let expected = (cfg!(target_os = "linux") && !roomy).then_some("mmap");
            assert_eq!(value(machine, "dynamic_shared_memory_type").as_deref(), expected);
        }
    }

    #[test]
    fn memory_is_read() {
        assert_eq!(meminfo_total("MemFree: 1 kB\nMemTotal:       8 kB\n"), Some(8192));
        assert_eq!(meminfo_total("nothing"), None);
    }
}
