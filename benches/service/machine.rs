//! What the whole machine does, as the system counts it, and measuring while others leave it alone.

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
        self.share_since(|time| time.stolen)
    }

    fn share_since(&self, of: fn(&Self) -> u64) -> f64 {
        let now = Self::now();
        (of(&now) - of(self)) as f64 / (now.all - self.all).max(1) as f64
    }
}

/// How long a slice of what is measured takes.
pub(crate) const SLICE: Duration = Duration::from_secs(1);
/// Others may take this share of the machine in a slice that counts as quiet.
const QUIET: f64 = 0.02;
/// So many slices are measured for one that counts, at most.
const PATIENCE: usize = 3;

/// What was measured in a slice.
pub(crate) struct Slice {
    /// How long each call took, in seconds.
    pub(crate) took: Vec<f64>,
    pub(crate) elapsed: f64,
    /// Of the server.
    pub(crate) cpu_seconds: f64,
    /// The share of the machine that others had, 0 to 1.
    pub(crate) stolen: f64,
}

/// So many seconds, at most, does [`quietest`] take for so many.
pub(crate) fn longest(seconds: u64) -> u64 {
    PATIENCE as u64 * seconds
}

/// Runs for slices until so many were quiet, or three times as many were measured; the quietest of all count.
pub(crate) async fn quietest(
    seconds: u64,
    run: impl AsyncFn() -> Vec<f64>,
    cpu_seconds: impl Fn() -> f64,
) -> Vec<Slice> {
    let wanted = seconds as usize;
    let mut slices: Vec<Slice> = Vec::new();
    while slices.len() < PATIENCE * wanted && slices.iter().filter(|slice| slice.stolen <= QUIET).count() < wanted {
        let (cpu, machine, begun) = (cpu_seconds(), MachineTime::now(), Instant::now());
        let took = run().await;
        slices.push(Slice {
            took,
            elapsed: begun.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - cpu,
            stolen: machine.stolen_since(),
        });
    }
    slices.sort_by(|left, right| left.stolen.total_cmp(&right.stolen));
    slices.truncate(wanted);
    slices
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
        idle = if begun.share_since(|time| time.idle) >= IDLE { idle + 1 } else { 0 };
    }
}
