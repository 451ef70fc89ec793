//! A contact sheet: some images of each class in one PNG.

use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};

use super::{DataError, Inputs, Parts, Targets};

/// Images of each class.
const COLUMNS: usize = 10;
/// Classes that are shown.
const MOST_ROWS: usize = 40;
/// Longest side of an image on the sheet, and the space around it, in pixels.
const SIDE: u32 = 72;
const GAP: u32 = 4;

/// Some images of the training part, a row for each class in their order: those with the lowest keys, so that the sheet depends on
/// the data alone. None if the examples are no images of bytes, or have no classes. With it the classes that it shows.
///
/// # Errors
/// [`DataError::Io`] if a scratch file cannot be read.
pub fn contact_sheet(parts: &Parts) -> Result<Option<(Vec<u8>, usize)>, DataError> {
    let part = &parts.train;
    let ([channels @ (1 | 3), height, width], Targets::Class(truths)) = (&part.shape[..], &part.targets)
    else {
        return Ok(None);
    };
    if !part.inputs.is_bytes() {
        return Ok(None);
    }
    let (channels, height, width) = (*channels, *height as u32, *width as u32);
    let rows = parts.classes.len().min(MOST_ROWS);
    let mut chosen = vec![Vec::new(); rows];
    let mut order: Vec<usize> = (0..part.len()).collect();
    order.sort_by_key(|index| part.keys[*index]);
    order.dedup_by_key(|index| part.keys[*index]);
    for index in order {
        if let Some(row) = chosen.get_mut(truths[index] as usize).filter(|row| row.len() < COLUMNS) {
            row.push(index);
        }
    }
    // Small images in whole multiples, large ones scaled down.
    let (wide, tall) = match height.max(width) {
        longest if longest > SIDE => {
            let scaled = |side: u32| (side * SIDE / longest).max(1);
            (scaled(width), scaled(height))
        }
        longest => (width * (SIDE / longest), height * (SIDE / longest)),
    };
    let filter = if height.max(width) > SIDE { FilterType::Triangle } else { FilterType::Nearest };
    let (cell_wide, cell_tall) = (wide + GAP, tall + GAP);
    let mut sheet = RgbImage::from_pixel(
        cell_wide * COLUMNS as u32 + GAP,
        cell_tall * rows.max(1) as u32 + GAP,
        Rgb([255; 3]),
    );
    let area = (height * width) as usize;
    for (row, images) in (0..).zip(&chosen) {
        for (column, index) in (0..).zip(images) {
            let Inputs::U8(values) = part.inputs.range(*index..index + 1, area * channels)? else { continue };
            let image = RgbImage::from_fn(width, height, |x, y| {
                let at = (y * width + x) as usize;
                Rgb(std::array::from_fn(|channel| values[at + area * channel.min(channels - 1)]))
            });
            let image = imageops::resize(&image, wide, tall, filter);
            let place = (GAP + column * cell_wide, GAP + row * cell_tall);
            imageops::replace(&mut sheet, &image, i64::from(place.0), i64::from(place.1));
        }
    }
    let mut bytes = Cursor::new(Vec::new());
    // Into memory, which does not fail.
    let written = sheet.write_to(&mut bytes, ImageFormat::Png);
    Ok(written.ok().map(|()| (bytes.into_inner(), rows)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Null;
    use crate::platform::data::{Digits, Format, digits, tests::dataset};

    #[test]
    fn each_class_has_its_row_and_the_sheet_is_always_the_same() {
        let folder = tempfile::tempdir().expect("folder");
        digits::write(&Digits { train: 400, test: 10, seed: 1 }, folder.path(), &Null).expect("writes");
        let parts = dataset(Format::Idx, folder.path()).load(None, &Null).expect("loads");
        let (bytes, rows) = contact_sheet(&parts).expect("reads").expect("images");
        assert_eq!(contact_sheet(&parts).expect("reads").map(|sheet| sheet.0), Some(bytes.clone()));
        let sheet = image::load_from_memory(&bytes).expect("a PNG").into_rgb8();
        // Images of 28 become 56 wide.
        assert_eq!((sheet.dimensions(), rows), ((60 * 10 + 4, 60 * 10 + 4), 10));
        // The middle of each cell's image is one of a digit: dark ground, some light.
        for cell in 0..100 {
            let (x, y) = (4 + 60 * (cell % 10), 4 + 60 * (cell / 10));
            let image = imageops::crop_imm(&sheet, x, y, 56, 56).to_image();
            let light = image.pixels().filter(|pixel| pixel.0[0] > 127).count();
            assert!((60..1800).contains(&light), "{cell}: {light}");
            assert_eq!(sheet.get_pixel(x - 1, y), &Rgb([255; 3]));
        }
    }

    #[test]
    fn what_is_no_image_has_no_sheet() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("t.csv"), "n,y\n1,a\n2,b\n3,a\n").expect("writes");
        let mut dataset = dataset(Format::Csv, &folder.path().join("t.csv"));
        dataset.spec.target = Some("y".into());
        assert_eq!(contact_sheet(&dataset.load(None, &Null).expect("loads")).expect("reads"), None);
    }
}
