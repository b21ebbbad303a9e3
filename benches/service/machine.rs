//! What the whole machine does, as the system counts it.

use std::time::{Duration, Instant};

/// What the machine's cores have done so far, in hundredths of a second.
pub(crate) struct MachineTime {
    all: u64,
    idle: u64,
    stolen: u64,
}

impl MachineTime {
    pub(crate) fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        // User, nice, system, idle, waiting for disks, interrupts of two kinds, stolen; guests' are among the users'.
        let numbers = stat.lines().next().unwrap().split_whitespace().skip(1).take(8);
        let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
        Self { all: numbers.iter().sum(), idle: numbers[3] + numbers[4], stolen: numbers[7] }
    }

    /// The share that others had since, 0 to 1.
    pub(crate) fn stolen_since(&self) -> f64 {
        let now = Self::now();
        (now.stolen - self.stolen) as f64 / (now.all - self.all).max(1) as f64
    }

    fn idle_since(&self) -> f64 {
        let now = Self::now();
        (now.idle - self.idle) as f64 / (now.all - self.all).max(1) as f64
    }
}

/// Waits until the machine has nothing to do for longer than the service waits before it tidies up; gives up after half an
/// hour.
pub(crate) async fn until_idle() {
    const WINDOW: Duration = Duration::from_secs(5);
    const IDLE: f64 = 0.9;
    const WINDOWS: usize = 8;
    let until = Instant::now() + Duration::from_secs(1_800);
    let mut idle = 0;
    while idle < WINDOWS && Instant::now() < until {
        let begun = MachineTime::now();
        tokio::time::sleep(WINDOW).await;
        idle = if begun.idle_since() >= IDLE { idle + 1 } else { 0 };
    }
}
