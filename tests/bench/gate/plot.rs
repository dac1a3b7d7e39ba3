//! The results as plots.

use std::path::Path;

use plotters::prelude::*;

use crate::gates::Gate;
use crate::report::Report;
use crate::statistics::{estimate, quantile};
use crate::sweep::{self, Measured};

/// Those that are shown, with their colours.
const SHOWN: [(Gate, RGBColor); 5] = [
    (Gate::Empty, RGBColor(0xbb, 0xbb, 0xbb)),
    (Gate::Native, RGBColor(0x44, 0x77, 0xaa)),
    (Gate::NativeCached, RGBColor(0x88, 0xcc, 0xee)),
    (Gate::Portcullis, RGBColor(0xcc, 0x66, 0x33)),
    (Gate::PortcullisAlone, RGBColor(0xee, 0xbb, 0x88)),
];

/// In pixels.
const WIDTH: u32 = 1_000;
const ROW: u32 = 14;
const LABELS: u32 = 270;
const FONT: (&str, u32) = ("sans-serif", 13);

/// The length of a bar, and where its whisker begins and ends.
type Bar = (f64, f64, f64);

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Processor time that is added for a request, with the interval.
pub(crate) fn added(report: &Report, file: &Path) {
    let bar = |measured: &Measured, gate| {
        let values = sweep::added(measured, gate);
        let estimate = (!values.is_empty()).then(|| estimate(&values))?;
        Some((estimate.median, estimate.low, estimate.high))
    };
    let title = "CPU added to Envoy for a request, µs";
    draw(report, file, title, &bar).expect("a picture");
}

/// Median, and the whisker from there to the 99th percentile.
pub(crate) fn latency(report: &Report, file: &Path) {
    let bar = |measured: &Measured, gate| {
        let latencies = &measured.get(&gate)?.latencies;
        let at = |share| quantile(latencies, share);
        Some((at(0.5), at(0.5), at(0.99)))
    };
    let title = "Latency of one request at a time, µs: median, and up to the 99th percentile";
    draw(report, file, title, &bar).expect("a picture");
}

fn draw(
    report: &Report,
    file: &Path,
    title: &str,
    bar: &dyn Fn(&Measured, Gate) -> Option<Bar>,
) -> Drawn {
    let scenarios: Vec<_> = report.main_scenarios().collect();
    if scenarios.is_empty() {
        return Ok(());
    }
    // One row is left free between two scenarios.
    let rows = scenarios.len() * (SHOWN.len() + 1);
    let bars = scenarios
        .iter()
        .enumerate()
        .flat_map(|(index, (_, measured))| {
            let row = move |number: usize| (index * (SHOWN.len() + 1) + number) as f64;
            let shown = SHOWN.iter().enumerate();
            shown.filter_map(move |(number, (gate, _))| {
                Some((number, row(number), bar(measured, *gate)?))
            })
        });
    let bars: Vec<_> = bars.collect();
    let longest = bars
        .iter()
        .map(|(_, _, (_, _, end))| *end)
        .fold(1.0, f64::max);
    let height = u32::try_from(rows)? * ROW + 110;
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(16)
        .x_label_area_size(30)
        .y_label_area_size(LABELS)
        .build_cartesian_2d(0.0..longest * 1.05, rows as f64..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_label_style(FONT)
        .draw()?;
    for (gate, (number, colour)) in SHOWN.iter().enumerate().map(|(n, (g, c))| (g, (n, *c))) {
        let own = bars.iter().filter(|(index, _, _)| *index == number);
        let boxes = own.clone().map(|(_, row, (length, _, _))| {
            Rectangle::new([(0.0, *row), (*length, row + 0.9)], colour.filled())
        });
        chart
            .draw_series(boxes)?
            .label(gate.label())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        let whiskers = own.map(|(_, row, (_, start, end))| {
            PathElement::new([(*start, row + 0.45), (*end, row + 0.45)], BLACK)
        });
        chart.draw_series(whiskers)?;
    }
    let labels = scenarios.iter().enumerate().map(|(index, (name, _))| {
        let row = (index * (SHOWN.len() + 1) + SHOWN.len() / 2) as f64;
        let offset = 8 - i32::try_from(LABELS).unwrap_or_default();
        EmptyElement::at((0.0, row)) + Text::new(name.clone(), (offset, 0), FONT)
    });
    chart.draw_series(labels)?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.filled())
        .label_font(FONT)
        .draw()?;
    area.present()?;
    Ok(())
}
