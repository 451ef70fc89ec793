//! Single images: PNG, JPEG or WebP to the values that a network takes. The same code for training and serving.

use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageFormat, ImageReader, Limits, imageops::FilterType};

use super::DataError;

/// Longest side of an image that is decoded, in pixels.
const LONGEST_SIDE: u32 = 16_384;
/// Most memory that decoding one image may take: a small file can promise a huge picture.
const MOST_MEMORY: u64 = 512 << 20;
/// Longest side of a network's input, in pixels.
const LONGEST_INPUT: usize = 4_096;

/// Decodes one PNG, JPEG or WebP and resizes it to `shape` (`[channels, height, width]`, 1 channel for grey, 3 for RGB): the
/// preprocessing of training, for use when serving. `name` is for messages.
///
/// Gives `channels * height * width` bytes, channel by channel, row by row. Transparency is dropped.
pub fn decode(bytes: &[u8], shape: &[usize], name: &str) -> Result<Vec<u8>, DataError> {
    let (channels, height, width) = check_shape(shape, name)?;
    let mut image = open(bytes, name)?;
    if (image.height(), image.width()) != (height, width) {
        image = image.resize_exact(width, height, FilterType::Triangle);
    }
    if channels == 1 {
        return Ok(image.into_luma8().into_raw());
    }
    let pixels = image.into_rgb8().into_raw();
    let area = pixels.len() / 3;
    let mut planes = vec![0; pixels.len()];
    for (index, pixel) in pixels.chunks_exact(3).enumerate() {
        for (channel, value) in pixel.iter().enumerate() {
            planes[channel * area + index] = *value;
        }
    }
    Ok(planes)
}

/// The shape that an image has by itself: `[channels, height, width]`.
pub(super) fn shape(bytes: &[u8], name: &str) -> Result<Vec<usize>, DataError> {
    let image = open(bytes, name)?;
    let grey = matches!(image.color(), ColorType::L8 | ColorType::L16 | ColorType::La8 | ColorType::La16);
    let shape = vec![if grey { 1 } else { 3 }, image.height() as usize, image.width() as usize];
    check_shape(&shape, name)?;
    Ok(shape)
}

/// Refuses shapes that images cannot have; gives channels, height and width.
pub(super) fn check_shape(shape: &[usize], name: &str) -> Result<(usize, u32, u32), DataError> {
    let refuse = |detail: &str| {
        Err(DataError::Shape { name: name.to_owned(), wanted: shape.to_vec(), detail: detail.to_owned() })
    };
    match *shape {
        [channels, _, _] if channels != 1 && channels != 3 => refuse("images have 1 or 3 channels"),
        [channels, height, width]
            if (1..=LONGEST_INPUT).contains(&height) && (1..=LONGEST_INPUT).contains(&width) =>
        {
            Ok((channels, height as u32, width as u32))
        }
        [_, _, _] => refuse("its sides are not from 1 to 4096"),
        _ => refuse("images have the three dimensions channels, height, width"),
    }
}

fn open(bytes: &[u8], name: &str) -> Result<DynamicImage, DataError> {
    let malformed =
        |format: &'static str, detail: String| DataError::Malformed { path: name.to_owned(), format, detail };
    let (format, word) = match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => (ImageFormat::Png, "PNG"),
        Ok(ImageFormat::Jpeg) => (ImageFormat::Jpeg, "JPEG"),
        Ok(ImageFormat::WebP) => (ImageFormat::WebP, "WebP"),
        _ => return Err(malformed("PNG, JPEG or WebP", "its first bytes are those of none".to_owned())),
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    reader.decode().map_err(|error| malformed(word, error.to_string().replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).expect("encodes");
        bytes.into_inner()
    }

    #[test]
    fn a_grey_png_keeps_its_pixels() {
        let image = GrayImage::from_fn(3, 2, |x, y| Luma([(10 * y + x) as u8]));
        let bytes = encode(image, ImageFormat::Png);
        assert_eq!(shape(&bytes, "x").expect("shape"), [1, 2, 3]);
        assert_eq!(decode(&bytes, &[1, 2, 3], "x").expect("decodes"), [0, 1, 2, 10, 11, 12]);
    }

    #[test]
    fn colours_come_channel_by_channel_and_can_be_made_grey() {
        let image = RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8, 100, 200]));
        let bytes = encode(image, ImageFormat::Png);
        assert_eq!(decode(&bytes, &[3, 1, 2], "x").expect("decodes"), [0, 1, 100, 100, 200, 200]);
        assert_eq!(decode(&bytes, &[1, 1, 2], "x").expect("decodes").len(), 2);
    }

    #[test]
    fn a_webp_keeps_its_pixels_where_it_was_written_without_loss() {
        let image = RgbImage::from_fn(2, 1, |x, _| Rgb([x as u8, 100, 200]));
        let bytes = encode(image, ImageFormat::WebP);
        assert_eq!(shape(&bytes, "x").expect("shape"), [3, 1, 2]);
        assert_eq!(decode(&bytes, &[3, 1, 2], "x").expect("decodes"), [0, 1, 100, 100, 200, 200]);
    }

    #[test]
    fn an_image_is_resized() {
        let bytes = encode(GrayImage::from_pixel(64, 48, Luma([77])), ImageFormat::Jpeg);
        assert_eq!(decode(&bytes, &[1, 8, 8], "x").expect("decodes"), [77; 64]);
    }

    #[test]
    fn a_truncated_image_is_named() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let bytes = encode(GrayImage::from_fn(40, 40, |x, y| Luma([(x * y) as u8])), format);
            let error = decode(&bytes[..bytes.len() / 3], &[1, 8, 8], "cat/7.png").expect_err("truncated");
            assert!(error.to_string().contains("cat/7.png"), "{error}");
        }
    }

    #[test]
    fn a_small_file_that_promises_a_huge_picture_is_refused() {
        // The header of a PNG of 100,000 x 100,000 pixels.
        let mut bytes = encode(GrayImage::new(1, 1), ImageFormat::Png);
        bytes[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
        assert!(decode(&bytes, &[1, 8, 8], "x").is_err());
        // The same of a WebP without loss: 14 bits of each side less one.
        let mut bytes = encode(RgbImage::new(1, 1), ImageFormat::WebP);
        bytes[21..25].copy_from_slice(&[0xff, 0xff, 0xff, 0x0f]);
        assert!(decode(&bytes, &[1, 8, 8], "x").is_err());
    }

    #[test]
    fn shapes_that_images_cannot_have_are_refused() {
        let bytes = encode(GrayImage::new(1, 1), ImageFormat::Png);
        for shape in [&[784][..], &[2, 8, 8], &[1, 0, 8], &[1, 8, 5000], &[1, 8, 8, 8]] {
            assert!(matches!(decode(&bytes, shape, "x"), Err(DataError::Shape { .. })), "{shape:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, &[1, 4, 4], "x");
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0usize..200, value: u8) {
            for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
                let mut bytes = encode(GrayImage::from_fn(9, 9, |x, y| Luma([(x * y) as u8])), format);
                let at = at % bytes.len();
                bytes[at] = value;
                let _ = decode(&bytes, &[3, 4, 4], "x");
            }
        }
    }
}
