//! An array of numbers as a file stores it: IDX, NPY, NPZ and safetensors all give one.

/// The type of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Element {
    /// Bytes of one element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether it is a number with a fraction.
    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

/// Whether the first or the last byte of an element counts most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Big,
    Little,
}

/// One array.
#[derive(Debug)]
pub(super) struct Array {
    /// Type of the elements.
    pub(super) element: Element,
    /// Order of the bytes of an element.
    pub(super) order: Order,
    /// Length of each dimension; at least one.
    pub(super) dimensions: Vec<usize>,
    /// The elements as stored, row-major.
    pub(super) bytes: Vec<u8>,
}

/// Bytes that elements of these dimensions take; none if no memory holds as many.
pub(super) fn promised(element: Element, dimensions: &[usize]) -> Option<u64> {
    dimensions
        .iter()
        .try_fold(element.size() as u64, |product, length| product.checked_mul(*length as u64))
        .filter(|bytes| *bytes <= isize::MAX as u64)
}

impl Array {
    /// Length of the first dimension: the number of examples.
    pub(super) fn count(&self) -> usize {
        self.dimensions[0]
    }

    /// Elements of one example.
    pub(super) fn width(&self) -> usize {
        self.dimensions[1..].iter().product()
    }

    /// Images whose channels come last (`[count, height, width, 1 or 3]`) with the channels before height and width, as
    /// networks take them; everything else as it is.
    pub(super) fn channels_first(mut self) -> Self {
        let [count, height, width, channels @ (1 | 3)] = self.dimensions[..] else { return self };
        if matches!(height, 1 | 3) {
            return self;
        }
        self.dimensions = vec![count, channels, height, width];
        // Of an array whose header alone was read there are no elements.
        if channels == 1 || self.bytes.is_empty() {
            return self;
        }
        let (size, area) = (self.element.size(), height * width);
        let mut image = vec![0; area * channels * size];
        for stored in self.bytes.chunks_exact_mut(image.len()) {
            for (index, element) in stored.chunks_exact(size).enumerate() {
                let at = ((index % channels) * area + index / channels) * size;
                image[at..at + size].copy_from_slice(element);
            }
            stored.copy_from_slice(&image);
        }
        self
    }

    /// All elements as numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        let number = |bytes: &[u8]| match self.order {
            Order::Little => self.number(bytes),
            Order::Big => {
                let mut turned = [0; 8];
                let turned = &mut turned[..bytes.len()];
                turned.copy_from_slice(bytes);
                turned.reverse();
                self.number(turned)
            }
        };
        self.bytes.chunks_exact(self.element.size()).map(number)
    }

    /// The number in the bytes of one element, the least first.
    fn number(&self, bytes: &[u8]) -> f64 {
        match (self.element, bytes) {
            (Element::Bool, &[a]) => f64::from(a != 0),
            (Element::U8, &[a]) => f64::from(a),
            (Element::I8, &[a]) => f64::from(a as i8),
            (Element::U16, &[a, b]) => f64::from(u16::from_le_bytes([a, b])),
            (Element::I16, &[a, b]) => f64::from(i16::from_le_bytes([a, b])),
            (Element::U32, &[a, b, c, d]) => f64::from(u32::from_le_bytes([a, b, c, d])),
            (Element::I32, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])),
            (Element::F32, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (Element::U64, &[a, b, c, d, e, f, g, h]) => u64::from_le_bytes([a, b, c, d, e, f, g, h]) as f64,
            (Element::I64, &[a, b, c, d, e, f, g, h]) => i64::from_le_bytes([a, b, c, d, e, f, g, h]) as f64,
            (Element::F64, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => f64::NAN, // not reached: chunks have the element's size
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_same_in_either_order_of_bytes() {
        let array = |element, order, bytes: &[u8]| -> Vec<f64> {
            Array { element, order, dimensions: vec![bytes.len()], bytes: bytes.to_vec() }.numbers().collect()
        };
        assert_eq!(array(Element::I16, Order::Big, &[0xff, 0xfe, 1, 0]), [-2.0, 256.0]);
        assert_eq!(array(Element::I16, Order::Little, &[0xfe, 0xff, 0, 1]), [-2.0, 256.0]);
        assert_eq!(array(Element::F64, Order::Little, &1.5f64.to_le_bytes()), [1.5]);
        assert_eq!(array(Element::F64, Order::Big, &1.5f64.to_be_bytes()), [1.5]);
        assert_eq!(array(Element::I64, Order::Little, &(-7i64).to_le_bytes()), [-7.0]);
        assert_eq!(array(Element::Bool, Order::Little, &[0, 1]), [0.0, 1.0]);
    }

    #[test]
    fn channels_that_come_last_are_moved_before_height_and_width() {
        let images = |dimensions: &[usize], element: Element| {
            let bytes = (0..dimensions.iter().product::<usize>() * element.size()).map(|i| i as u8).collect();
            Array { element, order: Order::Little, dimensions: dimensions.to_vec(), bytes }.channels_first()
        };
        let moved = images(&[2, 1, 2, 3], Element::U8);
        assert_eq!(moved.dimensions, [2, 1, 2, 3], "the second dimension may be the channels already");
        let moved = images(&[1, 2, 2, 3], Element::U8);
        assert_eq!(moved.dimensions, [1, 3, 2, 2]);
        assert_eq!(moved.bytes, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
        let wide = images(&[1, 2, 2, 3], Element::I16);
        assert_eq!(wide.bytes[..8], [0, 1, 6, 7, 12, 13, 18, 19]);
        assert_eq!(images(&[4, 5, 6, 1], Element::U8).dimensions, [4, 1, 5, 6]);
        assert_eq!(images(&[4, 5, 6, 2], Element::U8).dimensions, [4, 5, 6, 2]);
    }

    #[test]
    fn what_no_memory_holds_is_known_before_it_is_asked_for() {
        assert_eq!(promised(Element::F64, &[10, 3]), Some(240));
        assert_eq!(promised(Element::U8, &[usize::MAX, 2]), None);
        assert_eq!(promised(Element::F32, &[usize::MAX / 4]), None);
    }
}
