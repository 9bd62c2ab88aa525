//! How a measurement grows.
#![allow(clippy::cast_precision_loss, reason = "a test has far fewer than 2^52 samples")]

/// The slope of the straight line through these points, by least squares; `None` if they have one x.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let covariance: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (variance > 0.0).then(|| covariance / variance)
}
