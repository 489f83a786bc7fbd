//! Compares two runs: how much slower or faster each case became, and whether that is more than noise.
//!
//! A difference counts if the middle halves of both runs' steps do not overlap. That is a coarse test, but it assumes
//! no distribution, and the control beside it shows what the machine itself did meanwhile.

use super::row::Row;
use super::table::{Table, number};

/// A case in both runs.
pub struct Pair<'a> {
    pub now: &'a Row,
    pub then: &'a Row,
}

impl Pair<'_> {
    /// Median over median: above 1 is slower than before.
    pub fn ratio(&self) -> f64 {
        self.now.median_ms / self.then.median_ms
    }

    /// Whether the middle halves are disjoint. A run without quartiles counts as just its median.
    pub fn beyond_spread(&self) -> bool {
        let range = |row: &Row| (row.q1_ms.unwrap_or(row.median_ms), row.q3_ms.unwrap_or(row.median_ms));
        let ((low, high), (then_low, then_high)) = (range(self.now), range(self.then));
        low > then_high || high < then_low
    }

    fn verdict(&self) -> &'static str {
        match (self.beyond_spread(), self.ratio() > 1.0) {
            (false, _) => "",
            (true, true) => "slower",
            (true, false) => "faster",
        }
    }
}

/// The cases of `now` that are also in `then`.
pub fn pairs<'a>(now: &'a [Row], then: &'a [Row]) -> Vec<Pair<'a>> {
    let pair = |now: &'a Row| {
        // The last line of a case counts, because files of runs may be joined.
        let then = then.iter().rfind(|then| then.is_case_of(now) && then.error.is_none())?;
        Some(Pair { now, then })
    };
    now.iter().filter(|row| row.error.is_none()).filter_map(pair).collect()
}

/// Writes ratio and verdict into the rows.
pub fn mark(now: &mut [Row], then: &[Row]) {
    for row in now {
        let found = pairs(std::slice::from_ref(row), then).first().map(|p| (p.ratio(), p.beyond_spread()));
        if let Some((ratio, beyond)) = found {
            (row.against_ratio, row.against_beyond_spread) = (Some(ratio), Some(beyond));
        }
    }
}

/// The table of both runs.
pub fn print(now: &[Row], then: &[Row]) {
    let pairs = pairs(now, then);
    if pairs.is_empty() {
        println!("\nno case of the earlier run was measured again");
        return;
    }
    println!(
        "\nagainst the earlier run (× above 1: slower than then; marked where the middle halves lie apart)"
    );
    let mut table = Table::new(&["case", "then ms", "now ms", "×", "control ×", ""]);
    for pair in &pairs {
        let control = pair.now.control_ms.zip(pair.then.control_ms).map(|(now, then)| now / then);
        let of =
            if pair.now.peer == super::row::OURS { String::new() } else { format!(" ({})", pair.now.peer) };
        table.row(vec![
            format!("{} {}{of}", pair.now.workload, pair.now.case),
            number(pair.then.median_ms),
            number(pair.now.median_ms),
            number(pair.ratio()),
            number(control),
            pair.verdict().to_owned(),
        ]);
    }
    table.print();
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn a_difference_counts_where_the_middle_halves_lie_apart() {
        let then = [row("seqloom", "lstm1", [9.0, 10.0, 11.0]), row("seqloom", "lstm2", [20.0, 22.0, 24.0])];
        let now = [row("seqloom", "lstm1", [10.5, 12.0, 13.0]), row("seqloom", "lstm2", [10.0, 11.0, 12.0])];
        let pairs = pairs(&now, &then);
        assert_eq!((pairs[0].ratio(), pairs[0].beyond_spread(), pairs[0].verdict()), (1.2, false, ""));
        assert_eq!((pairs[1].ratio(), pairs[1].beyond_spread(), pairs[1].verdict()), (0.5, true, "faster"));
    }

    #[test]
    fn only_the_same_case_of_the_same_system_is_compared() {
        let then = [row("torch", "lstm1", [1.0; 3]), row("seqloom", "gru1", [1.0; 3])];
        let mut now = vec![row("seqloom", "lstm1", [2.0; 3]), row("torch", "lstm1", [3.0; 3])];
        mark(&mut now, &then);
        assert_eq!((now[0].against_ratio, now[1].against_ratio), (None, Some(3.0)));
        assert_eq!(now[1].against_beyond_spread, Some(true));
    }
}
