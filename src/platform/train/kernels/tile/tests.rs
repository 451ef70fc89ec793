use super::*;
use crate::platform::train::random::{Purpose, Stream};

fn random(count: usize, key: u64) -> Vec<f32> {
    let mut stream = Stream::new(2, Purpose::Weights, &[key]);
    (0..count).map(|_| stream.symmetric()).collect()
}

#[test]
fn every_product_is_one_chain_whatever_the_vectors_of_the_machine() {
    for (rows, columns, steps) in [
        (1, 1, 1),
        (3, 5, 7),
        (8, 48, 33),
        (9, 49, 2),
        (13, 31, 700),
        (64, 100, 321),
        (7, 16, 0),
        (2, 97, 640),
    ] {
        // Rows of the left factor overlap, as those of a shifted image do.
        let starts: Vec<usize> = (0..rows).map(|row| row * 3).collect();
        let steps_at: Vec<usize> = (0..steps).map(|step| step * 2).collect();
        let a = random(rows * 3 + steps * 2 + 8, 1);
        let b = random(steps * 2 + columns + 8, 2);
        let pitch = columns + 3;
        let begin = random(rows * pitch, 3);
        for accumulate in [false, true] {
            let mut wanted = begin.clone();
            for row in 0..rows {
                for column in 0..columns {
                    let sum = &mut wanted[row * pitch + column];
                    *sum = if accumulate { *sum } else { 0.0 };
                    for step in 0..steps {
                        *sum = a[starts[row] + step * 2].mul_add(b[steps_at[step] + column], *sum);
                    }
                }
            }
            for vectors in Vectors::all() {
                let mut c = begin.clone();
                let left = Left { values: &a, rows: &starts, stride: 2 };
                let right = Right { values: &b, steps: &steps_at };
                product(vectors, left, right, columns, &mut c, pitch, accumulate);
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&c), bits(&wanted), "{vectors:?} {rows} {columns} {steps} {accumulate}");
            }
        }
    }
}

#[test]
fn what_would_reach_out_of_a_slice_is_refused() {
    let values = [0_f32; 20];
    let run = |rows: &[usize], steps: &[usize], columns: usize, length: usize| {
        let mut c = vec![0_f32; length];
        let left = Left { values: &values, rows, stride: 1 };
        product(Vectors::here(), left, Right { values: &values, steps }, columns, &mut c, columns, false);
    };
    run(&[0, 17], &[0, 8, 12], 8, 16);
    for (rows, steps, columns, length) in
        [(&[0, 18][..], &[0, 8, 12][..], 8, 16), (&[0], &[0, 13], 8, 8), (&[0, 1], &[0], 8, 15)]
    {
        let reached = std::panic::catch_unwind(|| run(rows, steps, columns, length));
        assert!(reached.is_err(), "{rows:?} {steps:?} {columns} {length}");
    }
}
