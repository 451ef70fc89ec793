//! A quick look at a dataset: names, headers and shapes, no example.

use super::{DataError, Dataset, Format, array_files, image_classes, rows, text};

/// A Parquet file is read as a whole: a longer one takes more than a glance.
const LONGEST: u64 = 64 << 20;

/// What can be told of a dataset without reading its examples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Names of the columns besides the target, if it is a table.
    pub columns: Option<Vec<String>>,
    /// Shape of an example.
    pub shape: Option<Vec<usize>>,
    /// How many classes there are.
    pub classes: Option<usize>,
}

impl Dataset {
    /// Looks at what lies there; nothing is told where nothing lies yet. `shape` is what a model wants to see.
    ///
    /// # Errors
    /// As [`Dataset::load`], as far as it can be told: a column or an array that is not there, a shape that does not fit.
    pub fn glance(&self, shape: Option<&[usize]>) -> Result<Glance, DataError> {
        let path = &self.path;
        let Ok(meta) = std::fs::metadata(path) else { return Ok(Glance::default()) };
        let empty =
            meta.is_dir() && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        if empty {
            return Ok(Glance::default());
        }
        let target = self.spec.target.as_deref();
        Ok(match self.spec.format {
            Format::Idx => Glance::default(),
            Format::Images => Glance { classes: Some(image_classes(path)?.len()), ..Glance::default() },
            Format::Parquet if meta.is_file() && meta.len() > LONGEST => Glance::default(),
            Format::Csv | Format::Parquet => {
                let extension = self.spec.format.one_file().unwrap_or_default();
                let mut columns = rows::columns(self, extension, None, target)?;
                columns.retain(|name| Some(name.as_str()) != target);
                Glance { columns: Some(columns), ..Glance::default() }
            }
            Format::Text => Glance { shape: Some(text::outline(self)?), ..Glance::default() },
            Format::Npy | Format::Safetensors => {
                Glance { shape: Some(array_files::shape(self, shape)?), ..Glance::default() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::data::tests::dataset;

    #[test]
    fn what_does_not_lie_there_yet_says_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        for format in [Format::Csv, Format::Npy, Format::Images, Format::Text] {
            let there = dataset(format, folder.path()).glance(None).expect("looks");
            assert_eq!(there, Glance::default(), "{format:?}");
            let gone = dataset(format, &folder.path().join("gone")).glance(None).expect("looks");
            assert_eq!(gone, Glance::default(), "{format:?}");
        }
    }

    #[test]
    fn headers_tell_columns_and_shapes() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.csv");
        std::fs::write(&path, "n,m,y\nthis is no row\n").expect("writes");
        let mut table = dataset(Format::Csv, &path);
        table.spec.target = Some("y".into());
        let found = table.glance(None).expect("looks").columns.expect("columns");
        assert_eq!(found, ["n", "m"]);
        table.spec.target = Some("z".into());
        assert!(table.glance(None).expect_err("no such column").to_string().contains("no column `z`"));

        std::fs::write(&path, "text,label\nwords,a\n").expect("writes");
        let mut texts = dataset(Format::Text, &path);
        texts.spec.length = Some(9);
        assert_eq!(texts.glance(None).expect("looks").shape, Some(vec![9]));
        texts.spec.text = Some("words".into());
        assert!(texts.glance(None).expect_err("no such column").to_string().contains("no column `words`"));
    }
}
