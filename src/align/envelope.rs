//! The drift of a clock, from pairs whose one side is late by an unknown, never negative jitter.
//!
//! The line that lies below all points and closest to them on average is an edge of their lower
//! convex hull: the one above whose ends the mean abscissa lies (Moon, Skelly and Towsley,
//! INFOCOM 1999).
//!
//! ```text
//! for each point: while the last two of the hull and it do not turn left, drop the hull's last
//! slope = that of the hull's edge that spans the mean x
//! ```

use heapless::Vec;

/// The most points that a fit is made over.
pub(super) const MAX_POINTS: usize = 64;

/// How late one pair was: `late_ns` by the mapping's reference at `source_ns` after its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) source_ns: f64,
    pub(super) late_ns: f64,
}

/// The slope (ns/ns) of the closest line below `points`, which come with growing `source_ns`; `None` for fewer than two.
pub(super) fn slope_below<'a>(points: impl Iterator<Item = &'a Point>) -> Option<f64> {
    let mut hull: Vec<Point, MAX_POINTS> = Vec::new();
    let (mut sum, mut count) = (0.0, 0.0);
    for &point in points.take(MAX_POINTS) {
        while hull.len() >= 2 && !turns_left(hull[hull.len() - 2], hull[hull.len() - 1], point) {
            hull.pop();
        }
        hull.push(point).expect("at most MAX_POINTS were taken");
        (sum, count) = (sum + point.source_ns, count + 1.0);
    }
    let mean = sum / count;
    let edge = hull.windows(2).find(|edge| edge[1].source_ns >= mean).or_else(|| hull.windows(2).last())?;
    let slope = (edge[1].late_ns - edge[0].late_ns) / (edge[1].source_ns - edge[0].source_ns);
    slope.is_finite().then_some(slope)
}

fn turns_left(a: Point, b: Point, c: Point) -> bool {
    let (bx, by) = (b.source_ns - a.source_ns, b.late_ns - a.late_ns);
    let (cx, cy) = (c.source_ns - a.source_ns, c.late_ns - a.late_ns);
    bx * cy - by * cx > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_slope_is_that_of_the_line_under_late_points(
            slope in -5e-4..5e-4_f64, start in -1e9..1e9_f64, jitter in prop::collection::vec(0.0..2e6_f64, 64),
        ) {
            let points: std::vec::Vec<Point> = jitter.iter().enumerate().map(|(index, jitter)| {
                let source_ns = index as f64 * 250e6;
                // Every third message comes at once, as on a bus that is not always busy.
                let jitter = if index % 3 == 0 { 0.0 } else { *jitter };
                Point { source_ns, late_ns: start + slope * source_ns + jitter }
            }).collect();
            let fitted = slope_below(points.iter()).unwrap();
            prop_assert!((fitted - slope).abs() < 1e-9, "{fitted} {slope}");
        }
    }

    #[test]
    fn one_point_has_no_slope() {
        assert_eq!(slope_below([Point { source_ns: 0.0, late_ns: 0.0 }].iter()), None);
        assert_eq!(slope_below([].iter()), None);
    }
}
