//! Charts, drawn here as SVG. Numbers and times stand beside the drawing, as text of the page, so that they are
//! as large on a telephone as on a wall.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::pages::count;
use super::samples::MOST;

/// The drawing's own units; it is stretched to the width that there is.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;

/// Samples from one mark on the time axis to the next: a quarter of an hour.
const QUARTER: usize = MOST / 4;

/// One line over the last hour.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    /// What is shown.
    pub(super) title: &'static str,
    /// Behind numbers.
    pub(super) unit: &'static str,
    /// One for each sample, oldest first; `None` where it is not known.
    pub(super) values: Vec<Option<f64>>,
    /// What is said while there is no value.
    pub(super) empty: &'static str,
}

impl Chart {
    /// The chart with its title and its numbers.
    pub(super) fn draw(&self) -> Markup {
        let known = || self.values.iter().flatten().copied();
        let most = known().fold(0.0, f64::max);
        let top = round_up(most);
        let last = self.values.iter().rev().find_map(|value| *value);
        let label = match last {
            Some(last) => format!(
                "{}: now {}, at most {} in the last hour",
                self.title,
                self.written(last),
                self.written(most)
            ),
            None => format!("{}: {}", self.title, self.empty),
        };
        html! {
            figure.chart {
                figcaption {
                    span.chart-title { (self.title) }
                    @if let Some(last) = last {
                        span.chart-now { (self.written(last)) }
                    }
                }
                div.plot {
                    @if last.is_some() {
                        span.axis.top { (number(top)) }
                        span.axis.bottom { "0" }
                    }
                    svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
                        aria-label=(label) {
                        @if last.is_some() { (grid()) }
                        @for line in self.lines(top) {
                            path.area d=(line.area) {}
                            path.line d=(line.path) {}
                        }
                    }
                    @if last.is_none() { p.chart-empty { (self.empty) } }
                }
                div.times aria-hidden="true" {
                    span { "60 min ago" }
                    span { "30" }
                    span { "now" }
                }
            }
        }
    }

    fn written(&self, value: f64) -> String {
        format!("{}{}", number(value), self.unit)
    }

    /// One line for each stretch of values that are known.
    fn lines(&self, top: f64) -> Vec<Line> {
        let first = MOST.saturating_sub(self.values.len());
        let (mut lines, mut points) = (Vec::new(), Vec::new());
        for (index, value) in self.values.iter().enumerate() {
            match value {
                Some(value) => {
                    let (x, y) = (across(first + index), HEIGHT - HEIGHT * value / top);
                    points.push((x, y));
                }
                None => lines.extend(Line::through(&std::mem::take(&mut points))),
            }
        }
        lines.extend(Line::through(&points));
        lines
    }
}

/// A stretch of a chart, as data of a path.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    path: String,
    area: String,
}

impl Line {
    fn through(points: &[(f64, f64)]) -> Option<Self> {
        let (first, last) = (points.first()?, points.last()?);
        let mut path = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let step = if index == 0 { 'M' } else { 'L' };
            // Writing to a string does not fail.
            let _ = write!(path, "{step}{x:.1} {y:.1}");
        }
        if points.len() == 1 {
            // A value by itself is seen as a short stroke.
            let _ = write!(path, "h2");
        }
        let area = format!("{path}L{:.1} {HEIGHT}L{:.1} {HEIGHT}Z", last.0, first.0);
        Some(Self { path, area })
    }
}

fn grid() -> Markup {
    let quarters = (1..4).map(|quarter| across(quarter * QUARTER));
    html! {
        @for x in quarters {
            path.grid d=(format!("M{x:.1} 0V{HEIGHT}")) {}
        }
        path.grid d=(format!("M0 {half}H{WIDTH}", half = HEIGHT / 2.0)) {}
        path.grid.base d=(format!("M0 {HEIGHT}H{WIDTH}")) {}
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most some hundreds")]
fn across(index: usize) -> f64 {
    WIDTH * index as f64 / (MOST - 1) as f64
}

/// The next of 1, 2 and 5 with any number of zeros, so that the axis has a number that is read at a glance.
fn round_up(value: f64) -> f64 {
    let mut unit = 1.0;
    loop {
        for step in [1.0, 2.0, 5.0] {
            // Whatever is counted ends before that.
            if value <= step * unit || unit >= 1e12 {
                return step * unit;
            }
        }
        unit *= 10.0;
    }
}

/// Without digits that say nothing.
fn number(value: f64) -> String {
    let tenths = format!("{value:.1}");
    if value < 10.0 && !tenths.ends_with(".0") {
        return tenths;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "what was counted, rounded"
    )]
    let whole = value.round() as u64;
    count(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[Option<f64>]) -> Chart {
        Chart {
            title: "Things",
            unit: " ms",
            values: values.to_vec(),
            empty: "none yet",
        }
    }

    #[test]
    fn the_newest_value_is_at_the_right_and_the_largest_at_the_top() {
        let lines = chart(&[Some(0.0), Some(5.0), Some(10.0)]).lines(10.0);
        let [line] = &*lines else {
            panic!("one line: {lines:?}")
        };
        assert_eq!(line.path, "M596.7 120.0L598.3 60.0L600.0 0.0");
        assert!(
            line.area.ends_with("L600.0 120L596.7 120Z"),
            "{}",
            line.area
        );
    }

    #[test]
    fn what_is_not_known_is_a_gap_and_no_zero() {
        let lines = chart(&[Some(1.0), Some(1.0), None, None, Some(2.0), None]).lines(2.0);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].path.ends_with("h2"), "{lines:?}");
        assert_eq!(chart(&[None, None]).lines(1.0), []);
    }

    #[test]
    fn a_chart_says_in_words_what_it_shows() {
        let drawn = chart(&[Some(1.5), Some(40.0), Some(7.0)])
            .draw()
            .into_string();
        assert!(
            drawn.contains("Things: now 7 ms, at most 40 ms in the last hour"),
            "{drawn}"
        );
        assert!(drawn.contains(">50<"), "{drawn}");
        let empty = chart(&[]).draw().into_string();
        assert!(
            empty.contains("none yet") && !empty.contains("class=\"line\""),
            "{empty}"
        );
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (value, top) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.1, 2.0),
            (3.0, 5.0),
            (5.5, 10.0),
            (101.0, 200.0),
        ] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}");
        }
        assert!(round_up(f64::MAX).is_finite());
        let shown = [3.0, 5.999_999, 3.46, 12.4, 30_001.0].map(number);
        assert_eq!(shown, ["3", "6", "3.5", "12", "30,001"]);
    }
}
