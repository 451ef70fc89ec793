use std::io::Cursor;

use image::{DynamicImage, ExtendedColorType, GrayImage, ImageFormat, Luma, RgbImage, imageops};

use super::*;
use crate::platform::data::digits;
use crate::platform::data::images::decode;

/// Distance that `guard: {near: {}}` allows.
const DEFAULT: u32 = 12;

fn hash(image: &GrayImage) -> Hash {
    around(image)[0]
}

/// Of the image, and of it moved by a pixel.
fn around(image: &GrayImage) -> Vec<Hash> {
    let shape = [1, image.height() as usize, image.width() as usize];
    let hasher = Hasher::new(&shape).expect("an image");
    hasher.hashes(image.as_raw().iter().map(|value| f32::from(*value)), 16.0, true)
}

/// Distance from the image to another one, as it is compared.
fn found(image: &GrayImage, other: &GrayImage) -> u32 {
    let image = hash(image);
    around(other).iter().map(|other| distance(&image, other)).min().expect("has contrast")
}

/// The image after it was written in a format (JPEG of this quality) and read again as for training.
fn encoded(image: &GrayImage, format: ImageFormat, quality: u8) -> GrayImage {
    let (width, height) = image.dimensions();
    let mut bytes = Cursor::new(Vec::new());
    match format {
        ImageFormat::Jpeg => image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality).encode(
            image,
            width,
            height,
            ExtendedColorType::L8,
        ),
        _ => DynamicImage::from(image.clone()).write_to(&mut bytes, format),
    }
    .expect("encodes");
    let shape = [1, height as usize, width as usize];
    GrayImage::from_raw(width, height, decode(&bytes.into_inner(), &shape, "x").expect("decodes"))
        .expect("fits")
}

fn changed(image: &GrayImage, change: impl Fn(f32) -> f32) -> GrayImage {
    GrayImage::from_fn(image.width(), image.height(), |x, y| {
        Luma([change(f32::from(image.get_pixel(x, y).0[0])) as u8])
    })
}

/// The image moved to the right by some pixels; its left column is repeated.
fn moved(image: &GrayImage, by: u32) -> GrayImage {
    GrayImage::from_fn(image.width(), image.height(), |x, y| *image.get_pixel(x.saturating_sub(by), y))
}

/// Something like a photograph: things with edges, of many sizes, over a gradient.
fn scene(seed: u32, side: u32) -> GrayImage {
    let number = |n: u32| {
        let hash = blake3::hash(&[seed.to_le_bytes(), n.to_le_bytes()].concat());
        f32::from(hash.as_bytes()[0]) / 255.0
    };
    let things: Vec<[f32; 5]> = (0..40).map(|n| std::array::from_fn(|i| number(5 * n + i as u32))).collect();
    GrayImage::from_fn(side, side, |x, y| {
        let (x, y) = (x as f32 / side as f32, y as f32 / side as f32);
        let mut value = 60.0 + 60.0 * (number(900) * x + number(901) * y);
        for [cx, cy, tall, wide, light] in &things {
            let (dx, dy) = ((x - cx) / (0.02 + 0.2 * tall), (y - cy) / (0.02 + 0.2 * wide));
            if dx * dx + dy * dy < 1.0 {
                value = 60.0 + 130.0 * light;
            }
        }
        Luma([value as u8])
    })
}

/// Synthetic digits as images.
fn written(count: u32) -> Vec<GrayImage> {
    let folder = tempfile::tempdir().expect("folder");
    let spec = crate::platform::data::Digits { train: count, test: 1, seed: 3 };
    digits::write(&spec, folder.path(), &crate::base::Null).expect("writes");
    let file = std::fs::read_dir(folder.path()).expect("lists").flatten().map(|entry| entry.path());
    let file =
        file.into_iter().find(|path| path.to_string_lossy().contains("train-images")).expect("is there");
    let (_, inputs) = crate::platform::data::idx_inputs(&file, "x").expect("reads");
    let crate::platform::data::Inputs::U8(values) = inputs else { panic!("bytes") };
    values.chunks(784).map(|image| GrayImage::from_raw(28, 28, image.to_vec()).expect("fits")).collect()
}

#[test]
fn digits_are_known_again_after_re_encoding_light_a_shift_and_scaling_and_no_two_are_alike() {
    let digits = written(80);
    let hashes: Vec<Hash> = digits.iter().map(hash).collect();
    let mut far = 0;
    for digit in &digits {
        for other in [
            encoded(digit, ImageFormat::Png, 0),
            encoded(digit, ImageFormat::WebP, 0),
            encoded(digit, ImageFormat::Jpeg, 90),
            moved(digit, 1),
            changed(digit, |value| 0.85 * value),
            changed(digit, |value| (value + 20.0).min(255.0)),
            imageops::resize(
                &imageops::resize(digit, 56, 56, imageops::FilterType::Triangle),
                28,
                28,
                imageops::FilterType::Triangle,
            ),
        ] {
            far += u32::from(found(digit, &other) > DEFAULT);
        }
    }
    assert!(far <= 6, "{far} of 560 changed images were not known again");
    let alike = hashes
        .iter()
        .enumerate()
        .flat_map(|(at, own)| hashes[..at].iter().map(move |other| distance(own, other)));
    assert_eq!(alike.filter(|distance| *distance <= DEFAULT).count(), 0);
}

#[test]
fn pictures_are_known_again_after_a_small_shift_too() {
    let mut hashes = Vec::new();
    for seed in 0..12 {
        let scene = scene(seed, 192);
        let own = hash(&scene);
        for (what, other) in [
            ("JPEG 75", encoded(&scene, ImageFormat::Jpeg, 75)),
            ("light", changed(&scene, |value| 0.8 * value + 20.0)),
            ("shift", moved(&scene, 1)),
            ("half", imageops::resize(&scene, 96, 96, imageops::FilterType::Triangle)),
        ] {
            let found = found(&scene, &other);
            assert!(found <= DEFAULT, "{seed} {what}: {found}");
        }
        hashes.push(own);
    }
    for (at, own) in hashes.iter().enumerate() {
        assert!(hashes[..at].iter().all(|other| distance(own, other) > 2 * DEFAULT));
    }
}

#[test]
fn a_colour_image_is_hashed_by_its_grey_and_an_empty_one_not_at_all() {
    let scene = scene(1, 64);
    let colour: Vec<u8> = std::iter::repeat_n(scene.as_raw().clone(), 3).flatten().collect();
    let hasher = Hasher::new(&[3, 64, 64]).expect("an image");
    let found = hasher.hashes(colour.iter().map(|value| f32::from(*value)), 16.0, false)[0];
    assert!(distance(&found, &hash(&scene)) <= 2);
    let page = RgbImage::from_pixel(64, 64, image::Rgb([250; 3])).into_raw();
    assert!(hasher.hashes(page.iter().map(|value| f32::from(*value)), 16.0, true).is_empty());
    assert!(Hasher::new(&[784]).is_none() && Hasher::new(&[2, 8, 8]).is_none());
}
