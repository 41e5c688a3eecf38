//! Health of ticks, to and from what the file holds: a message a tick, and a metadata record at the end.
//!
//! Not responsible for measuring it ([`crate::health`]).

use super::TextMap;
use super::convert::{instant, time};
use super::messages;
use super::records::HealthRecord;
use crate::clock::{Duration, Instant};
use crate::health::{Health, HealthSummary};
use hdrhistogram::Histogram;

/// Metadata record with the quantiles of the whole episode; live episodes that were finished have it.
pub const SUMMARY: &str = "visuomotor.health";
/// Run delay that the kernel does not count.
const UNKNOWN: i64 = -1;

pub fn message(tick: u64, due: Instant, health: &Health) -> messages::Health {
    let ns = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    messages::Health {
        stamp: time(due),
        tick,
        run_delay_ns: health.run_delay.map_or(UNKNOWN, ns),
        compute_ns: health.compute.as_nanos(),
        voluntary_switches: health.voluntary_switches,
        involuntary_switches: health.involuntary_switches,
        minor_faults: health.minor_faults,
        major_faults: health.major_faults,
    }
}

pub fn from_message(message: &messages::Health) -> HealthRecord {
    let run_delay_ns = u64::try_from(message.run_delay_ns).ok();
    HealthRecord {
        tick: message.tick,
        due: instant(&message.stamp),
        health: Health {
            run_delay: run_delay_ns.map(Duration::from_ticks),
            compute: Duration::from_ticks(message.compute_ns),
            voluntary_switches: message.voluntary_switches,
            involuntary_switches: message.involuntary_switches,
            minor_faults: message.minor_faults,
            major_faults: message.major_faults,
        },
    }
}

/// Spans in us; switches and faults are those after the first tick of the episode.
pub fn summary(summary: &HealthSummary) -> TextMap {
    let counts = &summary.counts;
    let mut map: TextMap = [
        ("ticks", summary.ticks),
        ("voluntary_switches", counts.voluntary_switches),
        ("involuntary_switches", counts.involuntary_switches),
        ("minor_faults", counts.minor_faults),
        ("major_faults", counts.major_faults),
    ]
    .map(|(key, count)| (key.to_owned(), count.to_string()))
    .into();
    quantiles("run_delay", &summary.run_delay_ns, &mut map);
    quantiles("wake", &summary.wake_ns, &mut map);
    quantiles("compute", &summary.compute_ns, &mut map);
    map
}

fn quantiles(span: &str, ns: &Histogram<u64>, into: &mut TextMap) {
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
        let us = ns.value_at_quantile(share) as f64 * 1e-3;
        into.insert(format!("{span}_us_{name}"), us.to_string());
    }
}

#[cfg(test)]
mod tests {
    use crate::episode::{Episode, EpisodeWriter, HealthRecord, samples};
    use std::io::Cursor;

    #[test]
    fn the_health_of_every_tick_comes_back_with_its_step_and_is_summed_up() {
        let mut writer =
            EpisodeWriter::new(Cursor::new(Vec::new()), &samples::header(), &[]).unwrap();
        for i in 0..100 {
            writer
                .live_step(&samples::step(i), &samples::health(i))
                .unwrap();
        }
        let outcome = samples::outcome(samples::at_ms(100));
        let file = writer.finish(&outcome, samples::LOST).unwrap().1;
        let file = file.into_inner();

        let episode = Episode::<7>::read(&file[..]).unwrap();
        assert_eq!(episode.damage, None);
        let record = |i| HealthRecord {
            tick: i,
            due: samples::at_ms(i),
            health: samples::health(i),
        };
        assert_eq!(episode.health, (0..100).map(record).collect::<Vec<_>>());
        assert_eq!(episode.steps.len(), 100);

        let index = mcap::Summary::read(&file).unwrap().unwrap();
        let at = index
            .metadata_indexes
            .iter()
            .find(|record| record.name == super::SUMMARY)
            .unwrap();
        let mcap::records::Metadata { metadata, .. } = mcap::read::metadata(&file, at).unwrap();
        let expected = [
            ("ticks", "100"),
            ("voluntary_switches", "99"),
            ("minor_faults", "5049"),
            ("compute_us_max", "20.111"),
            ("wake_us_p50", "1.049"),
        ];
        for (key, value) in expected {
            assert_eq!(metadata[key], value, "{key}");
        }
        assert!(metadata.contains_key("run_delay_us_p999"));
    }
}
