//! Bar charts as SVG: groups of bars side by side, one colour per series, for figures of several systems on several
//! tasks.
//!
//! Groups are along the horizontal axis, and bars are labelled with their values, because a reader of a comparison
//! wants the numbers as well as the heights. A logarithmic axis begins a decade below the smallest value, because it
//! has no zero.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};
use crate::report::plot::{Axis, COLOURS, FONT, write_svg};

/// The part of a group's width that its bars fill.
const FILLED: f64 = 0.82;

/// The bars of one colour.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Its name in the legend.
    pub label: &'a str,
    /// One value per group; `None` leaves a gap, and so does a value that is not finite or not above 0.
    pub values: Vec<Option<f64>>,
}

/// What [`bar_chart`] draws.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    /// Line above the plot.
    pub title: &'a str,
    /// The vertical axis.
    pub y: Axis<'a>,
    /// Names of the groups, from left to right.
    pub groups: Vec<&'a str>,
    /// The series, from the first colour on; the same order in every group.
    pub series: Vec<Series<'a>>,
}

/// Draws bars into an SVG file, replacing it whole.
///
/// # Errors
/// [`Error::Plot`] if there is no bar to draw; [`Error::Io`] if the file cannot be written.
pub fn bar_chart(path: impl AsRef<Path>, bars: &Bars<'_>) -> Result<()> {
    let path = path.as_ref();
    let svg = svg(bars).map_err(|detail| Error::Plot { path: path.to_owned(), detail })?;
    write_svg(path, &svg)
}

fn svg(bars: &Bars<'_>) -> std::result::Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (1000, 460)).into_drawing_area();
        draw(&area, bars)?;
        area.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

/// The value of a bar that can be drawn.
fn height(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value > 0.0)
}

/// From below the least to above the greatest place, with room for the numbers and the legend.
fn range(axis: Axis<'_>, values: impl Iterator<Item = f64>) -> Option<std::ops::Range<f64>> {
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if least > most {
        return None;
    }
    if !axis.log {
        return Some(0.0..most * 1.3);
    }
    let (low, high) = (least.log10(), most.log10());
    let foot = (low - 0.3).floor();
    Some(foot..high + 0.3 * (high - foot))
}

/// Three significant digits at most.
fn number(value: f64) -> String {
    match value {
        large if large >= 100.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.2}"),
    }
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, bars: &Bars<'_>) -> std::result::Result<(), String> {
    let text = |e: DrawingAreaErrorKind<std::io::Error>| e.to_string();
    let all = bars.series.iter().flat_map(|series| series.values.iter().copied().filter_map(height));
    let range = range(bars.y, all).ok_or("there is no bar to draw")?;
    let (foot, span) = (range.start, range.end - range.start);
    area.fill(&WHITE).map_err(text)?;
    let groups = bars.groups.len();
    let mut paper = ChartBuilder::on(area)
        .caption(bars.title, (FONT, 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.5..groups as f64 - 0.5, range)
        .map_err(text)?;
    let name = |place: f64| {
        let whole = (place - place.round()).abs() < 1e-6 && place > -0.5;
        bars.groups.get(place.round().max(0.0) as usize).filter(|_| whole).map_or("", |name| *name).to_owned()
    };
    paper
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .y_desc(bars.y.label)
        // Twice as many as there are groups: ticks then fall on whole numbers.
        .x_labels(2 * groups + 1)
        .x_label_formatter(&|place| name(*place))
        .x_label_style((FONT, 11))
        // Only whole decades on a logarithmic axis: no number between them is round.
        .y_labels(if bars.y.log { span.ceil() as usize + 1 } else { 10 })
        .y_label_formatter(&|place| bars.y.value(*place))
        .draw()
        .map_err(text)?;
    let width = FILLED / bars.series.len().max(1) as f64;
    let anchor = Pos::new(HPos::Center, VPos::Bottom);
    let digits = (FONT, if groups * bars.series.len() > 24 { 9 } else { 12 }).into_font();
    let style = digits.color(&BLACK.mix(0.8)).pos(anchor);
    for (at, (series, colour)) in bars.series.iter().zip(COLOURS.into_iter().cycle()).enumerate() {
        let left = |group: usize| group as f64 - FILLED / 2.0 + width * at as f64;
        let standing: Vec<(usize, f64)> = series
            .values
            .iter()
            .enumerate()
            .filter_map(|(group, value)| Some((group, height(*value)?)))
            .collect();
        let boxes = standing.iter().map(|&(group, value)| {
            let corners = [(left(group), foot), (left(group) + width * 0.94, bars.y.place(value))];
            Rectangle::new(corners, colour.filled())
        });
        paper
            .draw_series(boxes)
            .map_err(text)?
            .label(series.label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        let numbers = standing.iter().map(|&(group, value)| {
            let over = (left(group) + width * 0.47, bars.y.place(value));
            Text::new(number(value), over, style.clone())
        });
        paper.draw_series(numbers).map_err(text)?;
    }
    let mut legend = paper.configure_series_labels();
    legend
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(log: bool) -> Bars<'static> {
        Bars {
            title: "a step",
            y: Axis { label: "ms", log },
            groups: vec!["lstm1", "lstm2"],
            series: vec![
                Series { label: "seqloom", values: vec![Some(234.0), Some(50.5)] },
                Series { label: "other", values: vec![Some(1.25), None] },
            ],
        }
    }

    #[test]
    fn every_group_series_and_value_is_written() {
        for log in [false, true] {
            let svg = svg(&bars(log)).unwrap();
            for word in ["a step", "ms", "lstm1", "lstm2", "seqloom", "other", "234", "50.5", "1.25"] {
                assert!(svg.contains(word), "{word} is missing in {svg}");
            }
        }
    }

    #[test]
    fn a_gap_is_no_bar() {
        let mut one = bars(false);
        let with = svg(&one).unwrap().matches("<rect").count();
        one.series[0].values[1] = Some(f64::NAN);
        assert_eq!(svg(&one).unwrap().matches("<rect").count(), with - 1);
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let mut none = bars(true);
        none.series.iter_mut().for_each(|series| series.values.fill(Some(0.0)));
        assert!(matches!(bar_chart("nowhere.svg", &none), Err(Error::Plot { .. })));
    }
}
