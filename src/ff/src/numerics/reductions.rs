//! Sums and scalar functions that give the same bits everywhere.
//!
//! Rule: a sum over a row runs in sixteen fixed lanes and ends in one fixed tree, so it
//! vectorises on any processor without changing a bit; `exp` and `ln` are libm's, not the
//! platform's.

/// Lanes of a row sum. Part of every result: changing it changes the bits of a run.
const LANES: usize = 16;

/// Adds to the mean square before its root is taken: keeps an all-zero row zero.
pub(crate) const TINY: f32 = 1e-12;

/// The fixed tree: lane k meets lane k+8, then k+4, k+2, k+1.
fn reduce(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for k in 0..half {
            lanes[k] += lanes[k + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The sum of a row.
pub(crate) fn sum(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    for (lane, x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += x;
    }
    for chunk in chunks {
        for k in 0..LANES {
            lanes[k] += chunk[k];
        }
    }
    reduce(lanes)
}

/// The sum of the squares of a row.
pub(crate) fn sum_squares(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    for (lane, x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += x * x;
    }
    for chunk in chunks {
        for k in 0..LANES {
            lanes[k] += chunk[k] * chunk[k];
        }
    }
    reduce(lanes)
}

/// The sum of the products of two rows of one length.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (lane, (x, y)) in lanes.iter_mut().zip(a.remainder().iter().zip(b.remainder())) {
        *lane += x * y;
    }
    for (a, b) in a.zip(b) {
        for k in 0..LANES {
            lanes[k] += a[k] * b[k];
        }
    }
    reduce(lanes)
}

/// The largest entry of a row without negative entries; 0 for an empty one.
pub(crate) fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane = larger(*lane, x);
    }
    for chunk in chunks {
        for k in 0..LANES {
            lanes[k] = larger(lanes[k], chunk[k]);
        }
    }
    lanes.into_iter().fold(0.0, larger)
}

/// `max(x, 0)`, with +0 for -0 and for a value that is not a number.
pub(crate) fn relu(x: f32) -> f32 {
    if x > 0.0 { x } else { 0.0 }
}

/// `1 / (1 + exp(-x))`, without overflow.
pub(crate) fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::expf(-x))
    } else {
        let e = libm::expf(x);
        e / (1.0 + e)
    }
}

/// `ln(1 + exp(x))`, without overflow.
pub(crate) fn softplus(x: f32) -> f32 {
    relu(x) + libm::log1pf(libm::expf(-x.abs()))
}

/// The factor that gives a row mean square 1: `1 / sqrt(squares / width)`.
pub(crate) fn inverse_rms(squares: f32, width: usize) -> f32 {
    1.0 / (squares / width as f32 + TINY).sqrt()
}

/// The index of the largest entry, the first of equals.
pub(crate) fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (k, x) in row.iter().enumerate() {
        if *x > row[best] {
            best = k;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_right_for_every_length() {
        for n in 0..70u16 {
            let row: Vec<f32> = (0..n).map(f32::from).collect();
            let n = f32::from(n);
            assert_eq!(sum(&row), n * (n - 1.0).max(0.0) / 2.0);
            assert_eq!(sum_squares(&row), row.iter().map(|x| x * x).sum::<f32>());
            let twice: Vec<f32> = row.iter().map(|x| 2.0 * x).collect();
            assert_eq!(dot(&row, &twice), 2.0 * sum_squares(&row));
            assert_eq!(max(&row), (n - 1.0).max(0.0));
        }
    }

    #[test]
    fn scalar_functions_are_stable() {
        assert_eq!(sigmoid(500.0), 1.0);
        assert_eq!(sigmoid(-500.0), 0.0);
        assert_eq!(softplus(-500.0), 0.0);
        assert_eq!(softplus(500.0), 500.0);
        assert!((softplus(0.0) - std::f32::consts::LN_2).abs() < 1e-6);
        assert_eq!(relu(-0.0).to_bits(), 0);
        assert_eq!(0.0 * inverse_rms(0.0, 10), 0.0);
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    }
}
