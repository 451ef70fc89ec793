use super::*;

const SHAPE: ImageShape = ImageShape { height: 5, width: 6 };

/// One channel of 5 by 6 with values from 0 to 1.
fn image() -> Vec<f32> {
    (0..30).map(|n| (n * 37 % 101) as f32 / 100.0).collect()
}

fn changed(corruption: Corruption, parameter: f32, key: u64, image: &[f32]) -> Vec<f32> {
    let mut image = image.to_vec();
    let mut random = Stream::new(0, Purpose::Corruption, &[key]);
    change(corruption, parameter, SHAPE, &mut random, &mut image);
    image
}

fn moments(values: &[f32]) -> (f32, f32) {
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32;
    (mean, variance.sqrt())
}

#[test]
fn a_blur_is_that_of_scipy() {
    let blurred = changed(Corruption::GaussianBlur, 0.8, 0, &image());
    // scipy.ndimage.gaussian_filter(x, 0.8, mode="nearest", truncate=4.0), the third row.
    let wanted = [0.478_996, 0.571_697, 0.498_444, 0.499_847, 0.493_790, 0.341_217];
    for (found, wanted) in blurred[12..18].iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-5, "{blurred:?}");
    }
}

#[test]
fn pixels_are_those_of_a_box_filter() {
    // Pillow 12: resized with BOX to 4 by 3 and back.
    let pixels = changed(Corruption::Pixelate, 0.75, 0, &image());
    let rows = [
        [0.285, 0.84, 0.84, 0.385, 0.435, 0.435],
        [0.285, 0.84, 0.84, 0.385, 0.435, 0.435],
        [0.585, 0.13, 0.13, 0.685, 0.23, 0.23],
        [0.6325, 0.43, 0.43, 0.48, 0.53, 0.53],
        [0.6325, 0.43, 0.43, 0.48, 0.53, 0.53],
    ];
    for (found, wanted) in pixels.iter().zip(rows.as_flattened()) {
        assert!((found - wanted).abs() < 1e-5, "{pixels:?}");
    }
}

#[test]
fn contrast_and_brightness_of_a_worked_example() {
    let flat = changed(Corruption::Contrast, 0.5, 0, &image());
    let ((mean, deviation), (flat_mean, flat_deviation)) = (moments(&image()), moments(&flat));
    assert!((mean - flat_mean).abs() < 1e-6 && (flat_deviation - 0.5 * deviation).abs() < 1e-6);
    // Black, dark red, and yellow that is as bright as can be; red, green and blue one after the other.
    let mut colours = [0.0, 0.2, 1.0, 0.0, 0.1, 1.0, 0.0, 0.0, 0.3];
    brighten(3, 0.2, &mut colours);
    let wanted = [0.2, 0.4, 1.0, 0.2, 0.2, 1.0, 0.2, 0.0, 0.3];
    assert!(colours.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6), "{colours:?}");
}

#[test]
fn noise_has_the_moments_it_is_to_have() {
    let grey = vec![0.5_f32; 30_000];
    let shape = ImageShape { height: 100, width: 300 };
    let noisy = |corruption, parameter| {
        let mut image = grey.clone();
        change(corruption, parameter, shape, &mut Stream::new(0, Purpose::Corruption, &[1]), &mut image);
        image
    };
    let (mean, deviation) = moments(&noisy(Corruption::GaussianNoise, 0.1));
    assert!((mean - 0.5).abs() < 0.003 && (deviation - 0.1).abs() < 0.002, "{mean} {deviation}");
    // Photons: 6 and 50 of them on average, whose variance is the same.
    for (photons, count) in [(12.0, 6.0_f32), (100.0, 50.0)] {
        let (mean, deviation) = moments(&noisy(Corruption::ShotNoise, photons));
        let wanted = count.sqrt() / photons;
        assert!(
            (mean - 0.5).abs() < 0.005 && (deviation - wanted).abs() < 0.02 * wanted,
            "{mean} {deviation}"
        );
    }
    let salted = noisy(Corruption::ImpulseNoise, 0.1);
    let share = |wanted: f32| salted.iter().filter(|value| **value == wanted).count() as f32 / 30_000.0;
    assert!((share(0.0) - 0.05).abs() < 0.006 && (share(1.0) - 0.05).abs() < 0.006);
    assert!((share(0.5) - 0.9).abs() < 0.008);
}

#[test]
fn images_move_and_turn_by_what_the_severity_says() {
    let mut dot = vec![0.0; 28 * 28];
    dot[14 * 28 + 14] = 1.0;
    let shape = ImageShape { height: 28, width: 28 };
    let mut corners = std::collections::BTreeSet::new();
    for key in 0..40 {
        let mut moved = dot.clone();
        change(
            Corruption::Translate,
            3.0,
            shape,
            &mut Stream::new(0, Purpose::Corruption, &[key]),
            &mut moved,
        );
        let at = moved.iter().position(|value| *value == 1.0).expect("is still there");
        corners.insert((at / 28, at % 28));
    }
    assert_eq!(corners.into_iter().collect::<Vec<_>>(), [(11, 11), (11, 17), (17, 11), (17, 17)]);
    let turned: std::collections::BTreeSet<Vec<u32>> = (0..20)
        .map(|key| changed(Corruption::Rotate, 0.4, key, &image()).iter().map(|v| v.to_bits()).collect())
        .collect();
    assert_eq!(turned.len(), 2, "one way or the other");
}

#[test]
fn every_severity_is_stronger_than_the_one_before() {
    let distance = |corruption: Corruption, small, severity| {
        let parameter = corruption.parameter(small, severity);
        let shape = ImageShape { height: 40, width: 40 };
        let before: Vec<f32> =
            (0..1600).map(|n| if (n / 40 + n % 40) % 13 < 5 { 0.7 } else { 0.1 }).collect();
        let mut after = before.clone();
        change(corruption, parameter, shape, &mut Stream::new(0, Purpose::Corruption, &[2]), &mut after);
        before.iter().zip(&after).map(|(a, b)| (a - b.clamp(0.0, 1.0)).powi(2)).sum::<f32>()
    };
    // Where an image moves the distance of its pixels does not rise with the distance of the image.
    for corruption in &Corruption::OF_IMAGES[..6] {
        for small in [true, false] {
            let distances: Vec<f32> =
                SEVERITIES.map(|severity| distance(*corruption, small, severity)).collect();
            assert!(distances.is_sorted_by(|a, b| a < b), "{corruption:?}: {distances:?}");
        }
    }
}

mod whole {
    use std::sync::Arc;

    use super::*;
    use crate::base::Null;
    use crate::platform::data::{Column, Examples, Parts, TableEncoding, Targets};
    use crate::platform::train::{Control, ModelSpec, train};

    /// A model of two numbers and a column of three categories, trained for a moment.
    fn model() -> Model {
        let spec: ModelSpec =
            serde_yaml::from_str("{data: d, network: [output], train: {epochs: 1}}").expect("a model");
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let values = ["a", "b", "c"].map(str::to_owned).to_vec();
        let encoding = TableEncoding {
            columns: vec![
                column("x", ColumnKind::Number { mean: 3.0 }),
                column("city", ColumnKind::Category { values }),
                column("y", ColumnKind::Number { mean: 70.0 }),
            ],
        };
        // Deviations of 2 and 20.
        let rows = [[1.0, 1.0, 0.0, 0.0, 50.0], [5.0, 0.0, 1.0, 0.0, 90.0]];
        let train_part = Examples {
            shape: vec![5],
            inputs: Inputs::F32(Arc::new(rows.concat())).into(),
            targets: Targets::Class(Arc::new(vec![0, 1])),
            keys: Arc::new(vec![1, 2]),
            ..Examples::default()
        };
        let data = Parts {
            classes: vec!["no".into(), "yes".into()],
            columns: encoding.inputs(),
            encoding: Some(encoding),
            train: train_part,
            ..Parts::default()
        };
        let folder = tempfile::tempdir().expect("a folder");
        let (checkpoints, out) = (folder.path().join("checkpoints"), folder.path().join("out"));
        let control = Control { stop: &|| false, fence: &|| true };
        train(&spec, &data, None, &checkpoints, &out, &control, &Null).expect("trains");
        Model::load(&out.join("model")).expect("loads")
    }

    fn corrupted(model: &Model, count: usize, corruption: Corruption, severity: usize) -> Vec<f32> {
        let rows = [4.0, 0.0, 1.0, 0.0, 60.0].repeat(count);
        let keys: Vec<u64> = (0..count as u64).collect();
        match corrupt(model, &Inputs::F32(rows.into()), &keys, corruption, severity) {
            Inputs::F32(rows) => rows.to_vec(),
            Inputs::U8(_) => panic!("numbers stay numbers"),
        }
    }

    #[test]
    fn rows_lose_cells_or_get_noise_in_the_unit_of_their_column() {
        let model = model();
        let column =
            |rows: &[f32], at: usize| -> Vec<f32> { rows.iter().skip(at).step_by(5).copied().collect() };
        let rows = corrupted(&model, 10_000, Corruption::Missing, 3);
        for (at, missing, kept) in [(0, 3.0, 4.0), (2, 0.0, 1.0), (4, 70.0, 60.0)] {
            let values = column(&rows, at);
            let share = values.iter().filter(|value| **value == missing).count() as f32 / 10_000.0;
            assert!((share - 0.3).abs() < 0.02, "{at}: {share}");
            assert!(values.iter().all(|value| *value == missing || *value == kept));
        }
        let rows = corrupted(&model, 10_000, Corruption::GaussianNoise, 5);
        for (at, mean, deviation) in [(0, 4.0, 1.0), (4, 60.0, 10.0)] {
            let found = moments(&column(&rows, at));
            assert!((found.0 - mean).abs() < 0.05 * deviation, "{at}: {found:?}");
            assert!((found.1 - deviation).abs() < 0.03 * deviation, "{at}: {found:?}");
        }
        assert!(
            column(&rows, 1).iter().all(|value| *value == 0.0) && column(&rows, 2).iter().all(|v| *v == 1.0)
        );
        // An example is corrupted alike wherever it stands, and in another way at another severity.
        let few = corrupted(&model, 10, Corruption::GaussianNoise, 5);
        assert_eq!(few, rows[..50]);
        assert_ne!(few, corrupted(&model, 10, Corruption::GaussianNoise, 4));
    }

    #[test]
    fn what_inputs_cannot_have_is_refused() {
        let model = model();
        assert!(Corruption::OF_TABLES.iter().all(|corruption| check(&model, *corruption).is_ok()));
        let error = check(&model, Corruption::Rotate).expect_err("no image").to_string();
        assert!(error.contains("`rotate`") && error.contains("gaussian_noise, missing"), "{error}");
    }
}
