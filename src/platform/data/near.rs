//! Images of one part that are nearly images of an earlier one: pairs of perceptual hashes within a distance, found by
//! multi-index hashing (Norouzi, Punjani, Fleet, 2012) instead of comparing all with all.

use rayon::prelude::*;

use super::phash::{self, BITS, Hash, Hasher};
use super::{DataError, Examples, Inputs};

/// Images whose lightest and darkest place differ by less than this, of 255, are not compared.
const CONTRAST: f32 = 16.0;

/// An image on its way into the comparison.
#[derive(Clone, Copy)]
struct Image {
    hash: Hash,
    part: u8,
    /// Its place in its part.
    index: u32,
    /// Same as that of another one if they are equal byte for byte.
    key: u64,
    /// Whether it was moved by a pixel: such an image is compared with others, others not with it.
    moved: bool,
}

/// An image that is like one of an earlier part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alike {
    /// Part and place in it.
    pub(super) image: (u8, u32),
    /// Bits in which the hashes differ.
    pub(super) distance: u32,
    /// Part and place of the nearest one in an earlier part; the first of several.
    pub(super) like: (u8, u32),
}

/// All images of `parts` that are within `distance` of one in an earlier part, in order; pairs that are equal byte for byte do
/// not count.
///
/// # Errors
/// [`DataError::Guard`] if the examples are no images; [`DataError::Io`] if a scratch file cannot be read.
pub(super) fn alike(name: &str, parts: [&Examples; 3], distance: u32) -> Result<Vec<Alike>, DataError> {
    let mut images = Vec::new();
    for (number, part) in (0..).zip(parts) {
        if !part.is_empty() {
            images.extend(hashed(name, number, part)?);
        }
    }
    Ok(nearest(&images, distance))
}

/// The images of a part that have a hash.
fn hashed(name: &str, part: u8, examples: &Examples) -> Result<Vec<Image>, DataError> {
    let Some(hasher) = Hasher::new(&examples.shape) else {
        return Err(DataError::Guard {
            name: name.to_owned(),
            detail: format!("`near` compares images; its examples have the shape {:?}", examples.shape),
        });
    };
    let width: usize = examples.shape.iter().product();
    // What is looked for is moved, not what it is looked for in.
    let moved = part > 0;
    let mut hashes: Vec<Vec<Hash>> = Vec::with_capacity(examples.len());
    examples.inputs.each(|inputs| match inputs {
        Inputs::U8(values) => hashes.par_extend(
            values
                .par_chunks_exact(width)
                .map(|image| hasher.hashes(image.iter().map(|value| f32::from(*value)), CONTRAST, moved)),
        ),
        Inputs::F32(values) => hashes.par_extend(
            values.par_chunks_exact(width).map(|image| hasher.hashes(image.iter().copied(), 0.0, moved)),
        ),
    })?;
    let images = (0..).zip(hashes).zip(examples.keys.iter());
    Ok(images
        .flat_map(|((index, hashes), key)| {
            (0..).zip(hashes).map(move |(way, hash)| Image { hash, part, index, key: *key, moved: way > 0 })
        })
        .collect())
}

/// Each image with the nearest one of an earlier part that is within `distance`, in order.
///
/// The bits of a hash are dealt out to `distance + 1` bands. Two hashes that differ in at most `distance` bits are equal in one
/// band at least, so that sorting by each band in turn brings all pairs together that count.
fn nearest(images: &[Image], distance: u32) -> Vec<Alike> {
    let bands = distance + 1;
    let mut found: Vec<Option<(u32, u32)>> = vec![None; images.len()];
    let mut order: Vec<(Hash, u32)> = Vec::new();
    for band in 0..bands {
        let mask = mask(band, bands);
        order.clear();
        order.extend(
            (0..).zip(images).map(|(at, image)| (std::array::from_fn(|i| image.hash[i] & mask[i]), at)),
        );
        order.par_sort_unstable();
        let groups: Vec<&[(Hash, u32)]> =
            order.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1).collect();
        let better: Vec<(u32, (u32, u32))> =
            groups.par_iter().flat_map_iter(|group| within(images, group, distance)).collect();
        for (at, candidate) in better {
            let best = &mut found[at as usize];
            if best.is_none_or(|best| candidate < best) {
                *best = Some(candidate);
            }
        }
    }
    let place = |at: u32| (images[at as usize].part, images[at as usize].index);
    let found = (0..).zip(found).filter_map(|(at, found)| found.map(|(distance, like)| (at, distance, like)));
    let mut alike: Vec<Alike> =
        found.map(|(at, distance, like)| Alike { image: place(at), distance, like: place(like) }).collect();
    // The nearest of the ways in which an image was moved.
    alike.sort_unstable();
    alike.dedup_by_key(|alike| alike.image);
    alike
}

/// The images of a group, which are sorted by part, that are within `distance` of one of an earlier part: each with the
/// distance and the nearest one.
fn within(images: &[Image], group: &[(Hash, u32)], distance: u32) -> Vec<(u32, (u32, u32))> {
    let mut found = Vec::new();
    for (_, at) in group {
        let image = &images[*at as usize];
        let earlier = group.iter().map(|(_, other)| (*other, &images[*other as usize]));
        let near = earlier
            .take_while(|(_, other)| other.part < image.part)
            .filter(|(_, other)| !other.moved && other.key != image.key)
            .map(|(at, other)| (phash::distance(&image.hash, &other.hash), at))
            .min();
        found.extend(near.filter(|(found, _)| *found <= distance).map(|near| (*at, near)));
    }
    found
}

/// The bits of one of so many bands. They are dealt out in turn, so that each band has low and high frequencies.
fn mask(band: u32, bands: u32) -> Hash {
    let mut mask = [0; 4];
    for bit in (band..BITS).step_by(bands as usize) {
        mask[bit as usize / 64] |= 1 << (bit % 64);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any number as a random one.
    fn random(seed: u64) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&blake3::hash(&seed.to_le_bytes()).as_bytes()[..8]);
        u64::from_le_bytes(bytes)
    }

    #[test]
    fn every_pair_is_found_that_comparing_all_with_all_finds() {
        let base: Hash = std::array::from_fn(|i| random(i as u64));
        let images: Vec<Image> = (0..600)
            .map(|at| {
                let mut hash = base;
                for turned in 0..random(7 * at) % 14 {
                    let bit = random(1000 * at + turned) % u64::from(BITS);
                    hash[bit as usize / 64] ^= 1 << (bit % 64);
                }
                Image {
                    hash,
                    part: (at / 200) as u8,
                    index: (at % 200) as u32,
                    key: random(at) % 300,
                    moved: false,
                }
            })
            .collect();
        for distance in [0, 1, 4, 9, 24] {
            let wanted: Vec<Alike> = images
                .iter()
                .filter_map(|image| {
                    let near =
                        images.iter().filter(|other| other.part < image.part && other.key != image.key);
                    let near = near
                        .map(|other| (phash::distance(&image.hash, &other.hash), (other.part, other.index)));
                    let (found, like) = near.min()?;
                    (found <= distance).then_some(Alike {
                        image: (image.part, image.index),
                        distance: found,
                        like,
                    })
                })
                .collect();
            assert_eq!(nearest(&images, distance), wanted, "{distance}");
            assert!(distance < 4 || wanted.len() > 10, "{distance}: {}", wanted.len());
        }
    }
}
