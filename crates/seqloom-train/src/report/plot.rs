//! Line charts as SVG: the loss curve of a run, and other curves that an example compares.
//!
//! SVG keeps text as text, so drawing needs no fonts on the machine that trains; a bitmap would. A logarithmic axis is
//! a linear axis over logarithms with other labels, so one chart type serves all four combinations.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::replace::replace;

/// Colours of the lines, in order: Okabe & Ito's, which colour-blind readers can tell apart. They repeat.
pub(crate) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];

/// Font of all text in a picture: the sans-serif font of the reader's machine.
pub(crate) const FONT: &str = "sans-serif";

/// An axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    /// Quantity and unit.
    pub label: &'a str,
    /// Whether it is logarithmic; values of 0 or less then leave a gap.
    pub log: bool,
}

/// A line of a [`Chart`].
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Its name in the legend.
    pub label: &'a str,
    /// Its points, in order. Those that are not finite leave a gap.
    pub points: Vec<(f64, f64)>,
}

/// What [`line_chart`] draws.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    /// Line above the plot.
    pub title: &'a str,
    /// The horizontal axis.
    pub x: Axis<'a>,
    /// The vertical axis.
    pub y: Axis<'a>,
    /// The lines, from the first colour on.
    pub lines: Vec<Line<'a>>,
}

/// What [`loss_curve`] draws.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    /// Line above the plot.
    pub title: &'a str,
    /// (step, loss in nats per token) of the run, in order. Losses that are not finite leave a gap.
    pub losses: &'a [(u64, f32)],
    /// Loss of a model without context, drawn as a level line.
    pub unigram_entropy: Option<f64>,
}

/// Draws a curve into an SVG file, replacing it whole.
///
/// # Errors
/// [`Error::Plot`] if no loss is finite; [`Error::Io`] if the file cannot be written.
pub fn loss_curve(path: impl AsRef<Path>, curve: Curve<'_>) -> Result<()> {
    let points: Vec<_> = curve.losses.iter().map(|&(step, loss)| (step as f64, f64::from(loss))).collect();
    if !points.iter().any(|(_, loss)| loss.is_finite()) {
        let detail = "there is no finite loss to draw".to_owned();
        return Err(Error::Plot { path: path.as_ref().to_owned(), detail });
    }
    let last = points.last().map_or(1.0, |(step, _)| *step);
    let level = curve.unigram_entropy.map(|entropy| (format!("unigram entropy {entropy:.3}"), entropy));
    let mut lines = vec![Line { label: "training loss", points }];
    lines.extend(level.as_ref().map(|(label, y)| Line { label, points: vec![(0.0, *y), (last, *y)] }));
    let (x, y) = (Axis { label: "step", log: false }, Axis { label: "loss, nats per token", log: false });
    line_chart(path, &Chart { title: curve.title, x, y, lines })
}

/// Draws a chart into an SVG file, replacing it whole. A linear vertical axis of positive values begins at 0.
///
/// # Errors
/// [`Error::Plot`] if there is no point to draw; [`Error::Io`] if the file cannot be written.
pub fn line_chart(path: impl AsRef<Path>, chart: &Chart<'_>) -> Result<()> {
    let path = path.as_ref();
    let failed = |detail: String| Error::Plot { path: path.to_owned(), detail };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 500)).into_drawing_area();
        draw(&area, chart).map_err(failed)?;
        area.present().map_err(|e| failed(e.to_string()))?;
    }
    write_svg(path, &svg)
}

/// Replaces the file whole.
pub(crate) fn write_svg(path: &Path, svg: &str) -> Result<()> {
    replace(path, |file| std::io::Write::write_all(file, svg.as_bytes()))
}

impl Axis<'_> {
    /// Where a value is on the axis; not finite if it has no place.
    pub(crate) fn place(&self, value: f64) -> f64 {
        if self.log { value.log10() } else { value }
    }

    /// The value at a place, as a label.
    pub(crate) fn value(&self, place: f64) -> String {
        let value = if self.log { 10f64.powf(place) } else { place };
        match value.abs() {
            0.0 => "0".to_owned(),
            small if !(1e-3..1e5).contains(&small) => format!("{value:.0e}"),
            small if small < 10.0 => {
                format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            _ => format!("{value:.0}"),
        }
    }

    /// From the least to the greatest place, never empty.
    fn range(&self, places: impl Iterator<Item = f64>, from_zero: bool) -> std::ops::Range<f64> {
        let (low, high) = places.fold((f64::MAX, f64::MIN), |(low, high), p| (low.min(p), high.max(p)));
        let low = if from_zero && !self.log { low.min(0.0) } else { low };
        let room = ((high - low) * 0.05).max(1e-6);
        if from_zero { low..high + room } else { low..high.max(low + 1e-6) }
    }
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, chart: &Chart<'_>) -> std::result::Result<(), String> {
    let text = |e: DrawingAreaErrorKind<std::io::Error>| e.to_string();
    let drawable = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
    let lines: Vec<Vec<(f64, f64)>> = chart
        .lines
        .iter()
        .map(|line| line.points.iter().map(|&(x, y)| (chart.x.place(x), chart.y.place(y))).collect())
        .collect();
    let all = || lines.iter().flatten().copied().filter(|point| drawable(point));
    if all().next().is_none() {
        return Err("there is no point to draw".to_owned());
    }
    area.fill(&WHITE).map_err(text)?;
    let mut paper = ChartBuilder::on(area)
        .caption(chart.title, (FONT, 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(
            chart.x.range(all().map(|(x, _)| x), false),
            chart.y.range(all().map(|(_, y)| y), true),
        )
        .map_err(text)?;
    paper
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(chart.x.label)
        .y_desc(chart.y.label)
        .x_label_formatter(&|place| chart.x.value(*place))
        .y_label_formatter(&|place| chart.y.value(*place))
        .draw()
        .map_err(text)?;
    for ((line, points), colour) in chart.lines.iter().zip(&lines).zip(COLOURS.into_iter().cycle()) {
        for (at, stretch) in points.split(|point| !drawable(point)).filter(|s| !s.is_empty()).enumerate() {
            let series = LineSeries::new(stretch.iter().copied(), colour.stroke_width(2));
            let drawn = paper.draw_series(series).map_err(text)?;
            // A line with gaps is one line of the legend.
            if at == 0 {
                drawn
                    .label(line.label)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
            }
        }
    }
    let mut legend = paper.configure_series_labels();
    legend.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw().map_err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_both_lines_and_its_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loss.svg");
        let losses = [(1, 3.0), (2, f32::NAN), (3, 2.0), (4, 1.5)];
        loss_curve(&path, Curve { title: "a run", losses: &losses, unigram_entropy: Some(2.9) }).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for word in ["<svg", "a run", "unigram entropy 2.900", "training loss", "nats per token"] {
            assert!(svg.contains(word), "{word} is missing");
        }
    }

    #[test]
    fn a_logarithmic_axis_has_labels_of_the_values_and_gaps_where_there_are_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chart.svg");
        let points = vec![(1.0, 1e-6), (2.0, 0.0), (3.0, 1.0)];
        let lines =
            vec![Line { label: "falling", points }, Line { label: "level", points: vec![(1.0, 1.0)] }];
        let (x, y) = (Axis { label: "distance", log: false }, Axis { label: "norm", log: true });
        line_chart(&path, &Chart { title: "both", x, y, lines }).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for word in ["both", "falling", "level", "distance", "norm", "1e-6", "0.01"] {
            assert!(svg.contains(word), "{word} is missing in {svg}");
        }
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let curve = Curve { title: "", losses: &[(1, f32::NAN)], unigram_entropy: None };
        assert!(matches!(loss_curve("nowhere.svg", curve), Err(Error::Plot { .. })));
    }
}
