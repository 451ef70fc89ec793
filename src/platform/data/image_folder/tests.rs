use image::{GrayImage, Luma};

use super::*;
use crate::base::Null;
use crate::platform::data::{Fold, Format, Inputs, Split, Storage, Targets, tests::dataset};

fn write(folder: &Path, name: &str, shade: u8) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    GrayImage::from_pixel(6, 4, Luma([shade])).save(path).expect("writes");
}

#[test]
fn classes_are_folders_and_the_parts_are_divided_by_content() {
    let folder = tempfile::tempdir().expect("folder");
    for shade in 0..100 {
        write(folder.path(), &format!("{}/{shade}.png", if shade < 50 { "dark" } else { "light" }), shade);
    }
    std::fs::write(folder.path().join("dark/notes.txt"), "x").expect("writes");
    std::fs::write(folder.path().join("README.md"), "x").expect("writes");
    let parts = dataset(Format::Images, folder.path()).load(Some(&[1, 2, 2]), &Null).expect("loads");
    assert_eq!(parts.classes, ["dark", "light"]);
    assert_eq!(parts.train.len() + parts.val.len() + parts.test.len(), 100);
    assert!(!parts.val.is_empty() && !parts.test.is_empty());
    for part in [&parts.train, &parts.val, &parts.test] {
        let (Storage::Memory(Inputs::U8(pixels)), Targets::Class(targets)) = (&part.inputs, &part.targets)
        else {
            panic!("types")
        };
        for (index, (pixels, target)) in pixels.chunks(4).zip(targets.iter()).enumerate() {
            assert_eq!(pixels, [pixels[0]; 4]);
            assert_eq!(*target, u32::from(pixels[0] >= 50));
            let name = part.origins.name(index).expect("origin");
            assert!(name.ends_with(&format!("/{}.png", pixels[0])), "{name}");
        }
    }
}

#[test]
fn own_parts_are_used_and_the_shape_is_that_of_the_first_image() {
    let folder = tempfile::tempdir().expect("folder");
    for (name, shade) in [("train/a/1.png", 1), ("train/b/2.png", 2), ("val/a/3.png", 3), ("test/b/4.png", 4)]
    {
        write(folder.path(), name, shade);
    }
    let mut dataset = dataset(Format::Images, folder.path());
    dataset.spec.split = Split { val: 0.9, test: 0.0, ..Split::default() };
    let parts = dataset.load(None, &Null).expect("loads");
    assert_eq!((parts.train.len(), parts.val.len(), parts.test.len()), (2, 1, 1));
    assert_eq!(parts.train.shape, [1, 4, 6]);
    assert_eq!(parts.test.origins.name(0).as_deref(), Some("test/b/4.png"));
}

#[test]
fn folds_divide_all_that_is_not_the_test_and_the_test_stays() {
    let folder = tempfile::tempdir().expect("folder");
    for shade in 0..90_u8 {
        let part = ["train", "val", "test"][usize::from(shade / 30)];
        write(
            folder.path(),
            &format!("{part}/{}/{shade}.png", if shade % 2 == 0 { "even" } else { "odd" }),
            shade,
        );
    }
    let names = |part: &crate::platform::data::Examples| -> Vec<String> {
        (0..part.len()).map(|index| part.origins.name(index).expect("origin")).collect()
    };
    let mut left_out = Vec::new();
    for number in 1..=3 {
        let fold = Some(Fold { number, of: 3 });
        let parts = dataset(Format::Images, folder.path()).folded(fold).load(None, &Null).expect("loads");
        assert_eq!((parts.train.len() + parts.val.len(), parts.test.len()), (60, 30));
        assert!((8..36).contains(&parts.val.len()), "{}", parts.val.len());
        let (Storage::Memory(Inputs::U8(pixels)), Targets::Class(targets)) =
            (&parts.val.inputs, &parts.val.targets)
        else {
            panic!("types")
        };
        for ((name, pixels), target) in names(&parts.val).iter().zip(pixels.chunks(24)).zip(targets.iter()) {
            assert!(name.ends_with(&format!("/{}.png", pixels[0])), "{name}");
            assert_eq!(*target, u32::from(pixels[0] % 2));
        }
        left_out.extend(names(&parts.val));
    }
    left_out.sort();
    left_out.dedup();
    assert_eq!(left_out.len(), 60, "each is left out once");
    assert!(left_out.iter().any(|name| name.starts_with("val/")), "{left_out:?}");
}

#[test]
fn the_first_truncated_image_is_named_whatever_the_threads() {
    let folder = tempfile::tempdir().expect("folder");
    for index in 0..20 {
        write(folder.path(), &format!("a/{index:02}.png"), index);
    }
    for name in ["a/07.png", "a/15.png"] {
        let path = folder.path().join(name);
        let bytes = std::fs::read(&path).expect("reads");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("writes");
    }
    let error = dataset(Format::Images, folder.path()).load(None, &Null).expect_err("truncated");
    assert!(error.to_string().contains("`a/07.png` is not valid PNG"), "{error}");
}

#[test]
fn webp_counts_and_a_truncated_one_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path(), "a/1.webp", 3);
    write(folder.path(), "b/2.png", 4);
    let parts = dataset(Format::Images, folder.path()).load(Some(&[1, 2, 2]), &Null).expect("loads");
    assert_eq!(parts.train.len() + parts.val.len() + parts.test.len(), 2);
    let path = folder.path().join("a/1.webp");
    let bytes = std::fs::read(&path).expect("reads");
    std::fs::write(&path, &bytes[..bytes.len() - 4]).expect("writes");
    let error = dataset(Format::Images, folder.path()).load(Some(&[1, 2, 2]), &Null).expect_err("truncated");
    assert!(error.to_string().contains("`a/1.webp` is not valid WebP"), "{error}");
}

#[test]
fn a_folder_without_images_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let dataset = dataset(Format::Images, folder.path());
    assert!(
        dataset
            .load(None, &Null)
            .expect_err("empty")
            .to_string()
            .contains("no folder with PNG, JPEG or WebP")
    );
    std::fs::create_dir(folder.path().join("empty")).expect("folder");
    assert!(dataset.load(None, &Null).is_err());
}

#[test]
fn a_shape_that_images_cannot_have_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    write(folder.path(), "a/1.png", 1);
    let error = dataset(Format::Images, folder.path()).load(Some(&[784]), &Null).expect_err("no image");
    assert!(matches!(error, DataError::Shape { .. }), "{error}");
}

#[test]
fn images_are_decoded_once_for_a_version_and_a_shape() {
    let folder = tempfile::tempdir().expect("folder");
    let kept = tempfile::tempdir().expect("folder");
    for shade in 0..90_u8 {
        let part = ["train", "val", "test"][usize::from(shade / 30)];
        write(
            folder.path(),
            &format!("{part}/{}/{shade}.png", if shade % 2 == 0 { "even" } else { "odd" }),
            shade,
        );
    }
    let mut dataset = dataset(Format::Images, folder.path());
    let all = |dataset: &crate::platform::data::Dataset| {
        let parts = dataset.load(Some(&[1, 3, 3]), &Null).expect("loads");
        [parts.train, parts.val, parts.test].map(|part| {
            let Storage::Memory(Inputs::U8(pixels)) = part.inputs else { panic!("types") };
            (pixels.to_vec(), part.keys.to_vec())
        })
    };
    let plain = all(&dataset);
    let decoded = crate::platform::data::Decoded {
        folder: kept.path().join("decoded"),
        version: crate::base::Digest::of(b"version"),
    };
    dataset.decoded = Some(decoded.clone());
    assert_eq!(all(&dataset), plain, "written");
    let files = || {
        std::fs::read_dir(&decoded.folder)
            .expect("lists")
            .flatten()
            .map(|entry| entry.path())
            .collect::<Vec<_>>()
    };
    let [file] = files().try_into().expect("one file");
    // What is read is not decoded: the images are no images any more.
    let image = folder.path().join("train/even/0.png");
    let bytes = std::fs::read(&image).expect("reads");
    std::fs::write(&image, "no picture").expect("writes");
    assert_eq!(all(&dataset), plain, "read");
    std::fs::write(&image, &bytes).expect("writes");
    // A flipped bit is found, and mended.
    let mut damaged = std::fs::read(&file).expect("reads");
    damaged[100] ^= 1;
    std::fs::write(&file, &damaged).expect("writes");
    assert_eq!(all(&dataset), plain, "decoded anew");
    damaged[100] ^= 1;
    assert_eq!(std::fs::read(&file).expect("reads"), damaged, "kept anew");
    // Another shape is another file, and what may be wrong is forgotten.
    dataset.load(Some(&[1, 2, 2]), &Null).expect("loads");
    assert_eq!(files().len(), 2);
    decoded.forget();
    assert_eq!(files().len(), 0);
}
