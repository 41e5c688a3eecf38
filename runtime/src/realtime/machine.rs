//! What the kernel's files say about this machine and this process's control groups, as checks.
//!
//! Reads only, below a root that tests replace. A file that is missing belongs to a feature that the kernel does not have.

use super::{Check, RunDelay, ThreadPlan};
use std::fs;
use std::path::{Path, PathBuf};

/// Below this share of all CPU time the kernel's throttle of real-time threads can hit a loop.
const THROTTLE_SHARE_MIN: f64 = 0.9;

/// Required ones first.
pub fn checks(root: &Path, plan: &ThreadPlan) -> Vec<Check> {
    let files = Files(root);
    vec![
        files.cgroup_fifo(),
        files.cgroup_cpus(plan.cpu),
        files.throttle(),
        files.cgroup_quota(),
        files.preemption(),
        files.swap(),
        files.frequency(),
        files.clock_source(),
        files.run_delay(),
    ]
}

struct Files<'a>(&'a Path);

impl Files<'_> {
    /// The trimmed text of an absolute path.
    fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let relative = path.as_ref().strip_prefix("/").ok()?.to_owned();
        let text = fs::read_to_string(self.0.join(relative)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Directories of this process's group under `controller`, from its own up to the root: one hierarchy for all
    /// controllers (version 2), or one for this controller (version 1).
    fn groups(&self, controller: &str) -> Vec<PathBuf> {
        let memberships = self.text("/proc/self/cgroup").unwrap_or_default();
        let mounts = self.text("/proc/self/mounts").unwrap_or_default();
        let mut directories = Vec::new();
        for membership in memberships.lines() {
            let mut parts = membership.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
                continue;
            };
            let of_all = controllers.is_empty();
            if !of_all && !controllers.split(',').any(|name| name == controller) {
                continue;
            }
            let mounted = mounts.lines().find_map(|mount| {
                let fields: Vec<_> = mount.split_ascii_whitespace().collect();
                let &[_, directory, kind, options, ..] = &fields[..] else {
                    return None;
                };
                let fits = if of_all {
                    kind == "cgroup2"
                } else {
                    kind == "cgroup" && options.split(',').any(|name| name == controller)
                };
                fits.then(|| PathBuf::from(directory))
            });
            let Some(mounted) = mounted else { continue };
            let own = mounted.join(group.trim_start_matches('/'));
            let up = own
                .ancestors()
                .take_while(|path| path.starts_with(&mounted));
            directories.extend(up.map(Path::to_owned));
        }
        directories
    }

    /// Version 1 can give a group's real-time threads no time at all; then SCHED_FIFO is refused whatever the limits say.
    fn cgroup_fifo(&self) -> Check {
        const NAME: &str = "cgroup_fifo";
        let own = self.groups("cpu").into_iter().find_map(|group| {
            let path = group.join("cpu.rt_runtime_us");
            let us: i64 = self.text(&path)?.parse().ok()?;
            Some((path, us))
        });
        match own {
            Some((path, 0)) => Check::failed(
                NAME,
                format!("{} is 0: no thread here gets SCHED_FIFO", path.display()),
                format!(
                    "`echo 950000 > {}` as root, its parents first",
                    path.display()
                ),
            ),
            _ => Check::good(NAME, "the control group allows SCHED_FIFO"),
        }
    }

    fn cgroup_cpus(&self, wanted: Option<usize>) -> Check {
        const NAME: &str = "cgroup_cpus";
        let allowed = self.groups("cpuset").into_iter().find_map(|group| {
            [
                "cpuset.cpus.effective",
                "cpuset.effective_cpus",
                "cpuset.cpus",
            ]
            .into_iter()
            .find_map(|file| {
                let path = group.join(file);
                let cpus = self.text(&path).filter(|cpus| !cpus.is_empty())?;
                Some((path, cpus))
            })
        });
        match (wanted, allowed) {
            (Some(cpu), Some((path, cpus))) if !in_list(&cpus, cpu) => Check::failed(
                NAME,
                format!("CPU {cpu} is not in {} ({cpus})", path.display()),
                format!(
                    "change `cpu` in the launch file to one of {cpus}, or add CPU {cpu} to `AllowedCPUs=` of the systemd unit"
                ),
            ),
            (_, Some((_, cpus))) => {
                Check::good(NAME, format!("the control group allows CPUs {cpus}"))
            }
            (_, None) => Check::good(NAME, "no control group limits the CPUs"),
        }
    }

    fn throttle(&self) -> Check {
        const NAME: &str = "rt_throttling";
        const FILE: &str = "/proc/sys/kernel/sched_rt_runtime_us";
        let number = |path: &str| self.text(path)?.parse::<f64>().ok();
        let period_us = number("/proc/sys/kernel/sched_rt_period_us").unwrap_or(1e6);
        let remedy = "`sysctl -w kernel.sched_rt_runtime_us=950000`";
        match number(FILE) {
            Some(0.0) => Check::failed(
                NAME,
                format!("{FILE} is 0: SCHED_FIFO gets no time"),
                remedy,
            ),
            Some(us) if us > 0.0 => {
                let detail =
                    format!("threads under SCHED_FIFO get {us} of every {period_us} us together");
                if us < THROTTLE_SHARE_MIN * period_us {
                    Check::failed(NAME, detail, remedy).into_advice()
                } else {
                    Check::good(NAME, detail)
                }
            }
            _ => Check::good(NAME, "threads under SCHED_FIFO are never throttled"),
        }
    }

    /// Threads under SCHED_FIFO are exempt from it; policy and recorder are not.
    fn cgroup_quota(&self) -> Check {
        const NAME: &str = "cgroup_quota";
        let quota = self.groups("cpu").into_iter().find_map(|group| {
            let all = group.join("cpu.max");
            if let Some(text) = self.text(&all) {
                let (quota, period) = text.split_once(' ')?;
                return Some((all, quota.parse::<u64>().ok()?, period.parse().ok()?));
            }
            let own = group.join("cpu.cfs_quota_us");
            let quota = self.text(&own)?.parse::<u64>().ok()?;
            let period = self.text(group.join("cpu.cfs_period_us"))?.parse().ok()?;
            Some((own, quota, period))
        });
        let check = match quota {
            Some((path, quota_us, period_us)) => {
                let period_us: u64 = period_us;
                Check::failed(
                    NAME,
                    format!(
                        "{} gives {quota_us} us of CPU time every {period_us} us: when they are used up, every thread \
                         without SCHED_FIFO stands still, the policy too",
                        path.display()
                    ),
                    "remove `CPUQuota=` from the systemd unit, or the container's CPU limit",
                )
            }
            None => Check::good(NAME, "no control group limits the CPU time"),
        };
        check.into_advice()
    }

    fn preemption(&self) -> Check {
        const NAME: &str = "preemption";
        let version = self.text("/proc/sys/kernel/version").unwrap_or_default();
        let is_rt = self.text("/sys/kernel/realtime").as_deref() == Some("1")
            || version.contains("PREEMPT_RT");
        let check = if is_rt {
            Check::good(NAME, "the kernel is preemptible throughout (PREEMPT_RT)")
        } else {
            Check::failed(
                NAME,
                format!("the kernel is not preemptible throughout ({version})"),
                "boot a kernel with PREEMPT_RT, such as Debian's linux-image-rt",
            )
        };
        check.into_advice()
    }

    fn swap(&self) -> Check {
        const NAME: &str = "swap";
        let swaps = self.text("/proc/swaps").unwrap_or_default();
        let check = match swaps.lines().skip(1).count() {
            0 => Check::good(NAME, "there is no swap"),
            count => Check::failed(
                NAME,
                format!("{count} swap areas are in use: what is not locked can be away"),
                "`swapoff -a`",
            ),
        };
        check.into_advice()
    }

    fn frequency(&self) -> Check {
        const NAME: &str = "frequency_governor";
        let cpus = fs::read_dir(self.0.join("sys/devices/system/cpu"));
        let governor = |cpu: fs::DirEntry| {
            let text = fs::read_to_string(cpu.path().join("cpufreq/scaling_governor")).ok()?;
            Some(text.trim().to_owned())
        };
        let mut governors: Vec<_> = cpus
            .into_iter()
            .flatten()
            .filter_map(|cpu| governor(cpu.ok()?))
            .collect();
        governors.sort();
        governors.dedup();
        let slow = governors.iter().any(|name| name != "performance");
        let check = if slow {
            Check::failed(
                NAME,
                format!("CPU frequency is governed by {}", governors.join(", ")),
                "`cpupower frequency-set -g performance`",
            )
        } else if governors.is_empty() {
            Check::good(NAME, "the kernel does not change the CPU frequency")
        } else {
            Check::good(NAME, "CPU frequency is governed by performance")
        };
        check.into_advice()
    }

    fn clock_source(&self) -> Check {
        const NAME: &str = "clock_source";
        let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        let source = self.text(path).unwrap_or_else(|| "unknown".into());
        let is_slow = ["hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"];
        let check = if is_slow.contains(&source.as_str()) {
            Check::failed(
                NAME,
                format!("the clock source is {source}: reading it is slow or coarse"),
                "boot with `clocksource=tsc tsc=reliable` if the CPU's counter is constant",
            )
        } else {
            Check::good(NAME, format!("the clock source is {source}"))
        };
        check.into_advice()
    }

    fn run_delay(&self) -> Check {
        const NAME: &str = "run_delay";
        let check = match self.text(RunDelay::FILE) {
            Some(_) => Check::good(NAME, "the kernel counts run delay"),
            None => Check::failed(
                NAME,
                format!(
                    "the kernel does not count run delay ({} is missing)",
                    RunDelay::FILE
                ),
                "boot a kernel with CONFIG_SCHED_INFO",
            ),
        };
        check.into_advice()
    }
}

/// Whether a list such as `0-3,8` has this number.
fn in_list(list: &str, number: usize) -> bool {
    list.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&number),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of files that look like a machine's.
    struct Machine(PathBuf);

    impl Machine {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let process = std::process::id();
            let machine =
                Self(std::env::temp_dir().join(format!("visuomotor-machine-{process}-{name}")));
            let _ = fs::remove_dir_all(&machine.0);
            for (path, text) in files {
                let path = machine.0.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            machine
        }

        /// (name, ok, required, text) of every check.
        fn checks(&self, cpu: Option<usize>) -> Vec<Check> {
            let fifo_priority = Some(80);
            checks(&self.0, &ThreadPlan { fifo_priority, cpu })
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const CGROUPS_1: [(&str, &str); 2] = [
        (
            "proc/self/cgroup",
            "2:cpu,cpuacct:/arm\n1:cpuset:/arm\n0::/arm\n",
        ),
        (
            "proc/self/mounts",
            "cgroup /c/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup /c/cpuset cgroup rw,cpuset 0 0\n",
        ),
    ];
    const CGROUPS_2: [(&str, &str); 2] = [
        ("proc/self/cgroup", "0::/arm.slice/arm.service\n"),
        ("proc/self/mounts", "cgroup2 /c cgroup2 rw,nsdelegate 0 0\n"),
    ];

    #[test]
    fn what_is_wrong_is_found_by_name_with_its_remedy() {
        type Case = (
            &'static [(&'static str, &'static str)],
            &'static [(&'static str, &'static str)],
            &'static str,
            bool,
            &'static str,
        );
        // (groups, files, the one check that fails, required, part of its text)
        let cases: &[Case] = &[
            (
                &CGROUPS_1,
                &[("c/cpu/arm/cpu.rt_runtime_us", "0\n")],
                "cgroup_fifo",
                true,
                "echo 950000 > /c/cpu/arm/cpu.rt_runtime_us",
            ),
            (
                &CGROUPS_1,
                &[("c/cpuset/arm/cpuset.cpus", "0-2,4\n")],
                "cgroup_cpus",
                true,
                "one of 0-2,4",
            ),
            (
                &CGROUPS_2,
                &[("c/arm.slice/arm.service/cpuset.cpus.effective", "0-1\n")],
                "cgroup_cpus",
                true,
                "AllowedCPUs=",
            ),
            (
                &CGROUPS_1,
                &[
                    ("c/cpu/cpu.cfs_quota_us", "50000"),
                    ("c/cpu/cpu.cfs_period_us", "100000"),
                    ("c/cpu/arm/cpu.cfs_quota_us", "-1"),
                ],
                "cgroup_quota",
                false,
                "50000 us of CPU time every 100000 us",
            ),
            (
                &CGROUPS_2,
                &[
                    ("c/arm.slice/cpu.max", "20000 100000\n"),
                    ("c/arm.slice/arm.service/cpu.max", "max 100000\n"),
                ],
                "cgroup_quota",
                false,
                "/c/arm.slice/cpu.max",
            ),
            (
                &[],
                &[("proc/sys/kernel/sched_rt_runtime_us", "0\n")],
                "rt_throttling",
                true,
                "sysctl",
            ),
            (
                &[],
                &[("proc/sys/kernel/sched_rt_runtime_us", "100000\n")],
                "rt_throttling",
                false,
                "sysctl",
            ),
            (
                &[],
                &[("proc/swaps", "Filename\tType\n/dev/sda2\tpartition\n")],
                "swap",
                false,
                "swapoff",
            ),
            (
                &[],
                &[
                    (
                        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                        "performance\n",
                    ),
                    (
                        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
                        "powersave\n",
                    ),
                ],
                "frequency_governor",
                false,
                "powersave",
            ),
            (
                &[],
                &[(
                    "sys/devices/system/clocksource/clocksource0/current_clocksource",
                    "hpet\n",
                )],
                "clock_source",
                false,
                "hpet",
            ),
            (
                &[],
                &[("sys/kernel/realtime", "0\n")],
                "preemption",
                false,
                "PREEMPT_RT",
            ),
            (
                &[],
                &[("proc/thread-self/other", "")],
                "run_delay",
                false,
                "CONFIG_SCHED_INFO",
            ),
        ];
        let well = [
            ("sys/kernel/realtime", "1\n"),
            ("proc/thread-self/schedstat", "1 2 3\n"),
            ("proc/swaps", "Filename\tType\n"),
        ];
        for (index, (groups, wrong, name, required, part)) in cases.iter().enumerate() {
            let mut files = well.to_vec();
            if *name == "run_delay" {
                files.remove(1);
            }
            files.extend_from_slice(groups);
            files.extend_from_slice(wrong);
            let machine = Machine::new(&format!("wrong-{index}"), &files);
            let checks = machine.checks(Some(3));
            let failed: Vec<_> = checks.iter().filter(|check| !check.ok).collect();
            let &[check] = &failed[..] else {
                panic!("{name}: {failed:?}");
            };
            assert_eq!((check.name, check.required), (*name, *required));
            assert!(check.to_string().contains(part), "{check}");
        }
    }

    #[test]
    fn a_good_machine_passes_and_an_empty_one_lacks_only_advice() {
        let mut files = vec![
            ("proc/sys/kernel/version", "#1 SMP PREEMPT_RT Debian"),
            ("proc/sys/kernel/sched_rt_runtime_us", "950000"),
            ("proc/sys/kernel/sched_rt_period_us", "1000000"),
            ("proc/thread-self/schedstat", "1 2 3"),
            ("c/cpu/arm/cpu.rt_runtime_us", "950000"),
            ("c/cpu/arm/cpu.cfs_quota_us", "-1"),
            ("c/cpuset/arm/cpuset.cpus", "0-3"),
            (
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "tsc",
            ),
        ];
        files.extend_from_slice(&CGROUPS_1);
        let checks = Machine::new("good", &files).checks(Some(3));
        assert!(checks.iter().all(|check| check.ok), "{checks:?}");
        let checks = Machine::new("empty", &[("a", "")]).checks(None);
        assert!(
            checks.iter().all(|check| check.ok || !check.required),
            "{checks:?}"
        );
    }

    #[test]
    fn lists_of_cpus_are_ranges_and_numbers() {
        for (list, has, lacks) in [("0-3,8", 2, 5), ("7", 7, 8), ("0-1", 0, 2)] {
            assert!(in_list(list, has) && !in_list(list, lacks), "{list}");
        }
        assert!(!in_list("", 0) && !in_list("x-y", 0));
    }
}
