use super::*;
use crate::base::Null;

/// Accuracy on `test` of multinomial logistic regression on pixels, trained on `train` by stochastic gradient descent.
fn linear_accuracy(train: &(Vec<u8>, Vec<u8>), test: &(Vec<u8>, Vec<u8>)) -> f64 {
    const PIXELS: usize = SIDE * SIDE;
    let mut weights = vec![[0f32; PIXELS + 1]; 10];
    let scores = |weights: &[[f32; PIXELS + 1]], image: &[u8]| -> Vec<f32> {
        weights
            .iter()
            .map(|row| row[PIXELS] + row.iter().zip(image).map(|(w, x)| w * f32::from(*x) / 255.0).sum::<f32>())
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
fn a_linear_model_stays_below_ninety_two_percent() {
    let train = render_part(1, 0, 12_000, &|_| {});
    let test = render_part(1, 1, 2_000, &|_| {});
    let accuracy = linear_accuracy(&train, &test);
    assert!((0.80..0.92).contains(&accuracy), "{accuracy}");
    eprintln!("ACC {accuracy}");
}

#[test]
fn contact_sheet() {
    let (images, labels) = render_part(7, 0, 400, &|_| {});
    let mut order: Vec<usize> = (0..400).collect();
    order.sort_by_key(|i| labels[*i]);
    let mut sheet = image::GrayImage::new(28 * 20, 28 * 20);
    for (at, i) in order.iter().enumerate() {
        for p in 0..784 {
            sheet.put_pixel((at % 20 * 28 + p % 28) as u32, (at / 20 * 28 + p / 28) as u32, image::Luma([images[i * 784 + p]]));
        }
    }
    let sheet = image::imageops::resize(&sheet, 1120, 1120, image::imageops::FilterType::Nearest);
    sheet.save("/tmp/sheet.png").unwrap();
}
