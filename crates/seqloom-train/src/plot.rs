//! The loss curve of a run, as SVG.
//!
//! SVG keeps its text as text, so drawing needs no fonts on the machine that trains; a bitmap would.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::{Error, Result};
use crate::replace::replace;

/// What [`loss_curve`] draws.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    /// Line above the plot.
    pub title: &'a str,
    /// (step, loss in nats a token) of the run, in order. Losses that are not finite leave a gap.
    pub losses: &'a [(u64, f32)],
    /// Loss of a model without context, drawn as a level line.
    pub unigram_entropy: Option<f64>,
}

/// Draws a curve into an SVG file, replacing it whole.
///
/// # Errors
/// [`Error::Plot`] if no loss is finite; [`Error::Io`] if the file cannot be written.
pub fn loss_curve(path: impl AsRef<Path>, curve: Curve<'_>) -> Result<()> {
    let path = path.as_ref();
    let failed = |detail: String| Error::Plot { path: path.to_owned(), detail };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 500)).into_drawing_area();
        draw(&area, curve).map_err(failed)?;
        area.present().map_err(|e| failed(e.to_string()))?;
    }
    replace(path, |file| std::io::Write::write_all(file, svg.as_bytes()))
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, curve: Curve<'_>) -> Result<(), String> {
    let finite =
        || curve.losses.iter().filter(|(_, loss)| loss.is_finite()).map(|&(s, l)| (s as f64, f64::from(l)));
    let last = finite().map(|(step, _)| step).fold(1.0, f64::max);
    let highest =
        finite().map(|(_, loss)| loss).chain(curve.unigram_entropy).fold(f64::NEG_INFINITY, f64::max);
    if finite().next().is_none() {
        return Err("there is no finite loss to draw".to_owned());
    }
    let text = |e: DrawingAreaErrorKind<std::io::Error>| e.to_string();
    area.fill(&WHITE).map_err(text)?;
    let mut chart = ChartBuilder::on(area)
        .caption(curve.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..last, 0.0..(highest * 1.05).max(1e-6))
        .map_err(text)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("step")
        .y_desc("loss, nats per token")
        .draw()
        .map_err(text)?;
    if let Some(entropy) = curve.unigram_entropy {
        let level = LineSeries::new([(0.0, entropy), (last, entropy)], RED.stroke_width(1));
        let label = format!("unigram entropy {entropy:.3}");
        chart
            .draw_series(level)
            .map_err(text)?
            .label(label)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RED));
    }
    let mut labelled = false;
    for stretch in curve.losses.split(|(_, loss)| !loss.is_finite()).filter(|s| !s.is_empty()) {
        let points = stretch.iter().map(|&(step, loss)| (step as f64, f64::from(loss)));
        let series = chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2))).map_err(text)?;
        if !labelled {
            series.label("training loss").legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLUE));
            labelled = true;
        }
    }
    let mut legend = chart.configure_series_labels();
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
    fn nothing_to_draw_is_an_error() {
        let curve = Curve { title: "", losses: &[(1, f32::NAN)], unigram_entropy: None };
        assert!(matches!(loss_curve("nowhere.svg", curve), Err(Error::Plot { .. })));
    }
}
