//! Medians, and how far they can be believed.

use crate::support::Random;

/// Samples that are drawn anew for an interval.
const RESAMPLINGS: usize = 2_000;

/// A figure with the interval that holds it in nine runs of ten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Between the two values nearest to it.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = share * (sorted.len() - 1) as f64;
    let (below, above) = (
        sorted[position.floor() as usize],
        sorted[position.ceil() as usize],
    );
    below + (above - below) * position.fract()
}

/// The median, with its interval by the bootstrap (Efron, 1979).
pub(crate) fn estimate(values: &[f64]) -> Estimate {
    interval(median(values), values.len(), |drawn| {
        median(&pick(values, drawn))
    })
}

/// The ratio of two medians. The samples belong together in pairs, which are drawn together.
pub(crate) fn ratio(values: &[f64], others: &[f64]) -> Estimate {
    let whole = median(values) / median(others);
    interval(whole, values.len().min(others.len()), |drawn| {
        median(&pick(values, drawn)) / median(&pick(others, drawn))
    })
}

fn interval(median: f64, count: usize, figure: impl Fn(&[usize]) -> f64) -> Estimate {
    let mut random = Random::seeded(1);
    let mut draw = || (0..count).map(|_| random.below(count)).collect::<Vec<_>>();
    let figures: Vec<f64> = (0..RESAMPLINGS).map(|_| figure(&draw())).collect();
    Estimate {
        median,
        low: quantile(&figures, 0.05),
        high: quantile(&figures, 0.95),
    }
}

fn pick(values: &[f64], indices: &[usize]) -> Vec<f64> {
    indices.iter().map(|index| values[*index]).collect()
}
