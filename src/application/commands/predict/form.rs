//! The forms of an output file.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use crate::platform::serve::{Predicted, ServeError};

/// Rows of a group of a Parquet file.
const GROUP: usize = 1 << 16;

/// The form of an output file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    JsonLines,
    Parquet,
}

impl Form {
    /// The form that the name of a file asks for.
    pub(super) fn of(path: &Path) -> Result<Self, ServeError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("jsonl") => Ok(Self::JsonLines),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(ServeError::Input {
                path: path.display().to_string(),
                detail: "an output ends in `.csv`, `.jsonl` or `.parquet`".to_owned(),
            }),
        }
    }

    /// Writes all that `rows` gives. `lineage` is JSON that goes into a file that has room for it.
    pub(super) fn write(
        self,
        out: &mut (impl Write + Send),
        classes: &[String],
        lineage: &str,
        rows: impl Iterator<Item = std::io::Result<Predicted>>,
    ) -> std::io::Result<()> {
        match self {
            Self::Csv => csv(out, classes, rows),
            Self::JsonLines => {
                for row in rows {
                    serde_json::to_writer(&mut *out, &row?)?;
                    out.write_all(b"\n")?;
                }
                Ok(())
            }
            Self::Parquet => parquet(out, classes, lineage, rows),
        }
    }
}

/// One line per prediction: the input, the label and the probability of each class, or the value.
fn csv(
    out: &mut impl Write,
    classes: &[String],
    rows: impl Iterator<Item = std::io::Result<Predicted>>,
) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let mut header = vec!["input".to_owned()];
    header.extend(answers(classes));
    writer.write_record(&header)?;
    for row in rows {
        let Predicted { source, prediction } = row?;
        let mut record = vec![source];
        record.extend(prediction.label);
        record.extend(prediction.value.map(|value| value.to_string()));
        record.extend(prediction.probabilities.iter().map(f32::to_string));
        writer.write_record(&record)?;
    }
    writer.flush()
}

/// Names of the columns after the input.
fn answers(classes: &[String]) -> Vec<String> {
    if classes.is_empty() {
        return vec!["value".to_owned()];
    }
    let probabilities = classes.iter().map(|class| format!("probability_{class}"));
    std::iter::once("label".to_owned()).chain(probabilities).collect()
}

/// The same columns as CSV; numbers are 32-bit floats.
fn parquet(
    out: &mut (impl Write + Send),
    classes: &[String],
    lineage: &str,
    mut rows: impl Iterator<Item = std::io::Result<Predicted>>,
) -> std::io::Result<()> {
    let fail = |error: ParquetError| std::io::Error::other(error);
    let text = |name: &str| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(Some(LogicalType::String))
            .build()
    };
    let number = |name: &str| {
        Type::primitive_type_builder(name, Physical::FLOAT).with_repetition(Repetition::REQUIRED).build()
    };
    let mut fields = vec![Arc::new(text("input").map_err(fail)?)];
    for (index, name) in answers(classes).iter().enumerate() {
        let is_label = index == 0 && !classes.is_empty();
        fields.push(Arc::new(if is_label { text(name) } else { number(name) }.map_err(fail)?));
    }
    let schema = Type::group_type_builder("predictions").with_fields(fields).build().map_err(fail)?;
    let words = vec![KeyValue::new("mlp.lineage".to_owned(), lineage.to_owned())];
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(words))
        .build();
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(fail)?;
    loop {
        let group = rows.by_ref().take(GROUP).collect::<std::io::Result<Vec<Predicted>>>()?;
        if group.is_empty() {
            break;
        }
        let mut written = writer.next_row_group().map_err(fail)?;
        let texts = |of: fn(&Predicted) -> &str| -> Vec<ByteArray> {
            group.iter().map(|row| ByteArray::from(of(row))).collect()
        };
        column_of_texts(&mut written, &texts(|row| &row.source)).map_err(fail)?;
        if classes.is_empty() {
            let values: Vec<f32> = group.iter().map(|row| row.prediction.value.unwrap_or(f32::NAN)).collect();
            column_of_numbers(&mut written, &values).map_err(fail)?;
        } else {
            let labels = texts(|row| row.prediction.label.as_deref().unwrap_or_default());
            column_of_texts(&mut written, &labels).map_err(fail)?;
            for class in 0..classes.len() {
                let values: Vec<f32> = group
                    .iter()
                    .map(|row| row.prediction.probabilities.get(class).copied().unwrap_or(f32::NAN))
                    .collect();
                column_of_numbers(&mut written, &values).map_err(fail)?;
            }
        }
        written.close().map_err(fail)?;
    }
    writer.close().map_err(fail)?;
    Ok(())
}

fn column_of_texts<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[ByteArray],
) -> Result<(), ParquetError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<ByteArrayType>().write_batch(values, None, None)?;
        column.close()?;
    }
    Ok(())
}

fn column_of_numbers<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[f32],
) -> Result<(), ParquetError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<FloatType>().write_batch(values, None, None)?;
        column.close()?;
    }
    Ok(())
}
