//! One line of figures per case: the figures that the peers' programs print, and more for our own.
//!
//! A case is measured in several processes, in turn with all others, and their steps are pooled: the median is of all
//! of them, and the quartiles show the spread. For a peer only each process's median is known, and its quartiles are of
//! those.

use super::ceilings::Ceilings;
use super::measure::Sample;
use super::stats::{least, median, quantile};

/// One measured case; times in milliseconds unless the name says otherwise, losses in nats per token. Figures that a
/// peer does not print are absent.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Row {
    pub peer: String,
    pub workload: String,
    pub case: String,
    /// First whole step with empty caches on disk.
    pub first_ms: f64,
    /// First whole step of the later processes, which find the caches full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_warm_ms: Option<f64>,
    pub median_ms: f64,
    pub min_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q1_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q3_ms: Option<f64>,
    pub timed_steps: usize,
    /// Processes.
    pub rounds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_first: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_last: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatches: Option<usize>,
    /// Microseconds of the calling thread's processor time per dispatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_us_per_dispatch: Option<f64>,
    /// Minimum time of the dispatches by the ceilings, divided by the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roofline_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling_gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling_gb_per_s: Option<f64>,
    /// Median of the control's runs before the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_ms: Option<f64>,
    /// Median divided by that of an earlier run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_ratio: Option<f64>,
    /// Whether the middle halves of both runs are disjoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_beyond_spread: Option<bool>,
    /// Why a peer measured nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The peer's name of our own rows.
pub const OURS: &str = "seqloom";

impl Row {
    /// Our row, from the processes of a case in order, the first with empty caches; `None` without processes.
    pub fn ours(
        workload: &str,
        case: &str,
        samples: &[Sample],
        control: &[f64],
        ceilings: Ceilings,
    ) -> Option<Self> {
        let first = samples.first()?;
        let millis: Vec<f64> = samples.iter().flat_map(|sample| sample.millis.iter().copied()).collect();
        let median_ms = median(&millis);
        let warm: Vec<f64> = samples[1..].iter().map(|sample| sample.first_ms).collect();
        let host: Vec<f64> = samples.iter().filter_map(|sample| sample.host_us_per_dispatch).collect();
        let some = |values: &[f64]| (!values.is_empty()).then(|| median(values));
        let runs = first.runs as f64;
        let flops: u64 = first.work.iter().map(|(flops, _)| flops).sum();
        Some(Self {
            peer: OURS.to_owned(),
            workload: workload.to_owned(),
            case: case.to_owned(),
            first_ms: first.first_ms,
            first_warm_ms: some(&warm),
            median_ms,
            min_ms: least(&millis),
            q1_ms: Some(quantile(&millis, 0.25)),
            q3_ms: Some(quantile(&millis, 0.75)),
            timed_steps: millis.len(),
            rounds: samples.len(),
            loss_first: first.loss_first,
            loss_last: first.loss_last,
            params: first.params,
            peak_rss_mb: samples.iter().filter_map(|sample| sample.peak_rss_mb).reduce(f64::max),
            tokens_per_s: first.tokens.map(|tokens| tokens as f64 / median_ms * 1e3),
            gflops: Some(flops as f64 * runs / median_ms / 1e6),
            device: Some(first.device.clone()),
            version: Some(format!("seqloom {}", env!("CARGO_PKG_VERSION"))),
            adapter: Some(first.adapter.clone()),
            planned_bytes: Some(first.planned_bytes),
            device_bytes: samples.iter().map(|sample| sample.device_bytes).max(),
            dispatches: Some(first.dispatches),
            host_us_per_dispatch: some(&host),
            roofline_share: Some(floor_ms(&first.work, ceilings) * runs / median_ms),
            ceiling_gflops: Some(ceilings.flops / 1e9),
            ceiling_gb_per_s: Some(ceilings.bytes / 1e9),
            control_ms: some(control),
            ..Self::default()
        })
    }

    /// A peer's row, from the lines of its processes; `None` without lines. Errors count only if there is nothing else.
    pub fn of_peer(lines: &[Self]) -> Option<Self> {
        let good: Vec<&Self> = lines.iter().filter(|line| line.error.is_none()).collect();
        let Some(first) = good.first() else { return lines.first().cloned() };
        let medians: Vec<f64> = good.iter().map(|line| line.median_ms).collect();
        let median_ms = median(&medians);
        // Rates follow from the pooled time.
        let slower = first.median_ms / median_ms;
        let several = good.len() > 1;
        Some(Self {
            median_ms,
            min_ms: least(&good.iter().map(|line| line.min_ms).collect::<Vec<_>>()),
            q1_ms: several.then(|| quantile(&medians, 0.25)),
            q3_ms: several.then(|| quantile(&medians, 0.75)),
            timed_steps: good.iter().map(|line| line.timed_steps).sum(),
            rounds: good.len(),
            tokens_per_s: first.tokens_per_s.map(|rate| rate * slower),
            gflops: first.gflops.map(|rate| rate * slower),
            ..(*first).clone()
        })
    }

    /// Half the distance between the quartiles, divided by the median.
    pub fn spread(&self) -> Option<f64> {
        Some((self.q3_ms? - self.q1_ms?) / 2.0 / self.median_ms)
    }

    /// Whether it is the same case of the same system.
    pub fn is_case_of(&self, other: &Self) -> bool {
        (&self.peer, &self.workload, &self.case) == (&other.peer, &other.workload, &other.case)
    }
}

/// Minimum milliseconds of the dispatches, one after the other.
fn floor_ms(work: &[(u64, u64)], ceilings: Ceilings) -> f64 {
    let least = |(flops, bytes): &(u64, u64)| {
        (*flops as f64 / ceilings.flops).max(*bytes as f64 / ceilings.bytes) * 1e3
    };
    work.iter().map(least).sum()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A row with only the figures that comparisons use.
    pub fn row(peer: &str, case: &str, quartiles: [f64; 3]) -> Row {
        let [q1, median_ms, q3] = quartiles;
        Row {
            peer: peer.to_owned(),
            workload: "W2".to_owned(),
            case: case.to_owned(),
            median_ms,
            min_ms: q1,
            q1_ms: Some(q1),
            q3_ms: Some(q3),
            ..Row::default()
        }
    }

    fn sample(first_ms: f64, millis: &[f64]) -> Sample {
        Sample {
            first_ms,
            millis: millis.to_vec(),
            loss_first: Some(4.5),
            loss_last: None,
            params: None,
            tokens: Some(100),
            peak_rss_mb: None,
            planned_bytes: 10,
            device_bytes: 12,
            dispatches: 2,
            host_us_per_dispatch: Some(3.0),
            work: vec![(2_000_000, 0), (0, 3_000_000)],
            runs: 1,
            adapter: "adapter".to_owned(),
            device: "device".to_owned(),
        }
    }

    #[test]
    fn processes_are_pooled_and_the_first_is_the_cold_one() {
        let samples = [sample(900.0, &[10.0, 12.0]), sample(90.0, &[11.0, 30.0]), sample(80.0, &[11.0])];
        // 2 MFLOP take 1 ms, 3 MB take 1 ms.
        let ceilings = Ceilings { flops: 2e9, bytes: 3e9 };
        let row = Row::ours("W2", "lstm1", &samples, &[5.0, 7.0], ceilings).unwrap();
        assert_eq!(
            (row.first_ms, row.first_warm_ms, row.median_ms, row.min_ms),
            (900.0, Some(85.0), 11.0, 10.0)
        );
        assert_eq!((row.q1_ms, row.q3_ms, row.timed_steps, row.rounds), (Some(11.0), Some(12.0), 5, 3));
        assert!((row.roofline_share.unwrap() - 2.0 / 11.0).abs() < 1e-12);
        assert!((row.tokens_per_s.unwrap() - 100.0 / 0.011).abs() < 1e-6);
        assert_eq!(row.control_ms, Some(6.0));
        assert!(Row::ours("W2", "lstm1", &[], &[], ceilings).is_none());
    }

    #[test]
    fn what_is_absent_is_not_written_and_what_is_strange_is_skipped() {
        let line = r#"{"peer":"burn-flex","workload":"W1","case":"n256","first_ms":1.0,"median_ms":0.5,"min_ms":0.4,
            "warm_ms":[1.0,2.0],"timed_steps":200,"gflops":60.5,"wall_s":5.7}"#;
        let row: Row = serde_json::from_str(line).unwrap();
        assert_eq!((row.gflops, row.device_bytes), (Some(60.5), None));
        let text = serde_json::to_string(&row).unwrap();
        assert!(!text.contains("device_bytes") && text.contains("gflops"), "{text}");
    }

    #[test]
    fn a_peers_processes_come_to_one_row() {
        let mut lines =
            vec![row("torch", "lstm1", [8.0, 10.0, 12.0]), row("torch", "lstm1", [9.0, 20.0, 21.0])];
        lines[0].tokens_per_s = Some(300.0);
        lines.push(Row { error: Some("killed".to_owned()), ..row("torch", "lstm1", [0.0; 3]) });
        let pooled = Row::of_peer(&lines).unwrap();
        assert_eq!((pooled.median_ms, pooled.min_ms, pooled.rounds), (15.0, 8.0, 2));
        assert_eq!((pooled.tokens_per_s, pooled.q1_ms), (Some(200.0), Some(12.5)));
        assert!(Row::of_peer(&lines[2..]).unwrap().error.is_some() && Row::of_peer(&[]).is_none());
    }
}
