use super::*;
use crate::base::Null;

/// Accuracy on `test` of multinomial logistic regression on pixels, trained on `train` by stochastic gradient descent.
fn linear_accuracy(train: &(Vec<u8>, Vec<u8>), test: &(Vec<u8>, Vec<u8>)) -> f64 {
    const PIXELS: usize = SIDE * SIDE;
    let mut weights = vec![[0f32; PIXELS + 1]; 10];
    let scores = |weights: &[[f32; PIXELS + 1]], image: &[u8]| -> Vec<f32> {
        weights
            .iter()
            .map(|row| {
                row[PIXELS] + row.iter().zip(image).map(|(w, x)| w * f32::from(*x) / 255.0).sum::<f32>()
            })
            .collect()
    };
    let epochs = 15;
    for epoch in 0..epochs {
        let rate = 0.02 * (1.0 - epoch as f32 / epochs as f32);
        for (image, label) in train.0.chunks_exact(PIXELS).zip(&train.1) {
            let scores = scores(&weights, image);
            let highest = scores.iter().copied().fold(f32::MIN, f32::max);
            let exponentials: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
            let sum: f32 = exponentials.iter().sum();
            for (class, row) in weights.iter_mut().enumerate() {
                let error = exponentials[class] / sum - f32::from(u8::from(class == usize::from(*label)));
                row.iter_mut().zip(image).for_each(|(w, x)| *w -= rate * error * f32::from(*x) / 255.0);
                row[PIXELS] -= rate * error;
            }
        }
    }
    let best = |scores: Vec<f32>| (0..10).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap_or(0);
    let right = test.0.chunks_exact(PIXELS).zip(&test.1);
    let right = right.filter(|(image, label)| best(scores(&weights, image)) == usize::from(**label)).count();
    right as f64 / test.1.len() as f64
}

#[test]
fn a_linear_model_stays_clearly_below_a_small_network() {
    // What this leaves to a convolutional network: `docs/design/data.md`.
    let train = render_part(1, 0, 12_000, &|_| {});
    let test = render_part(1, 1, 2_000, &|_| {});
    let accuracy = linear_accuracy(&train, &test);
    assert!((0.80..0.91).contains(&accuracy), "{accuracy}");
}

#[test]
fn the_bytes_are_the_same_on_every_machine() {
    let (images, labels) = render_part(42, 0, 1_500, &|_| {});
    let digest = crate::base::Digest::of(&[images, labels].concat());
    assert_eq!(digest.short(), "7c37eb5cf779");
}

#[test]
fn an_image_depends_on_no_other_and_on_no_thread() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("pool");
    let alone = pool.install(|| render_part(3, 1, 40, &|_| {}));
    let among = render_part(3, 1, 1_200, &|_| {});
    assert_eq!(alone.0, among.0[..40 * SIDE * SIDE]);
    assert_eq!(alone.1, among.1[..40]);
}

#[test]
fn seed_and_part_change_everything() {
    let images = |seed, part| render_part(seed, part, 5, &|_| {}).0;
    assert_ne!(images(1, 0), images(2, 0));
    assert_ne!(images(1, 0), images(1, 1));
}

#[test]
fn every_digit_occurs_about_equally_often() {
    let (_, labels) = render_part(9, 0, 5_000, &|_| {});
    for digit in 0..10 {
        let count = labels.iter().filter(|label| **label == digit).count();
        assert!((400..600).contains(&count), "{digit}: {count}");
    }
}

#[test]
fn four_files_under_the_names_of_mnist_are_written() {
    let folder = tempfile::tempdir().expect("folder");
    let digits = Digits { train: 30, test: 7, seed: 5 };
    write(&digits, folder.path(), &Null).expect("writes");
    let mut names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("lists")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "t10k-images-idx3-ubyte.gz",
            "t10k-labels-idx1-ubyte.gz",
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz"
        ]
    );
    let images = idx::read(&folder.path().join(&names[2]), "x").expect("reads");
    assert_eq!(images.dimensions, [30, 28, 28]);
    let before = std::fs::read(folder.path().join(&names[2])).expect("reads");
    write(&digits, folder.path(), &Null).expect("writes again");
    assert_eq!(std::fs::read(folder.path().join(&names[2])).expect("reads"), before);
}
