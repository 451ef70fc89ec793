use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use super::*;
use crate::base::Null;
use crate::platform::data::{Dataset, Format, Inputs, Parts, Split, Storage, tests::dataset};

const SCHEMA: &str = "message t {
    optional double age; optional binary city (UTF8); required int64 rooms; required boolean new;
    optional float price; required int32 day (DATE); required binary y (UTF8);
}";

/// Three rows of every type that is read.
fn table(compression: Compression) -> Vec<u8> {
    write(SCHEMA, compression, |index, column| match index {
        0 => column.typed::<DoubleType>().write_batch(&[30.5, f64::NAN], Some(&[1, 0, 1]), None),
        1 => {
            let cities = [ByteArray::from(" Rome "), ByteArray::from("Bonn")];
            column.typed::<ByteArrayType>().write_batch(&cities, Some(&[1, 1, 0]), None)
        }
        2 => column.typed::<Int64Type>().write_batch(&[1, 2, -3], None, None),
        3 => column.typed::<BoolType>().write_batch(&[true, false, true], None, None),
        4 => column.typed::<FloatType>().write_batch(&[0.1, 2.0], Some(&[1, 1, 0]), None),
        5 => column.typed::<Int32Type>().write_batch(&[0, 19_000, 0], None, None),
        _ => {
            let answers = ["no", "yes", "no"].map(ByteArray::from);
            column.typed::<ByteArrayType>().write_batch(&answers, None, None)
        }
    })
}

/// The same as CSV.
const AS_CSV: &str = "age,city,rooms,new,price,day,y\n30.5,Rome,1,true,0.1,1970-01-01,no\n,Bonn,2,false,2,2022-01-08,yes\n\
                      NaN,,-3,true,,1970-01-01,no\n";

fn write(
    schema: &str,
    compression: Compression,
    column: impl Fn(usize, &mut parquet::file::writer::SerializedColumnWriter<'_>) -> Result<usize, ParquetError>,
) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).expect("begins");
    let mut group = writer.next_row_group().expect("begins");
    let mut index = 0;
    while let Some(mut next) = group.next_column().expect("begins") {
        column(index, &mut next).expect("writes");
        next.close().expect("closes");
        index += 1;
    }
    group.close().expect("closes");
    writer.close().expect("closes");
    bytes
}

fn whole(format: Format, path: &Path) -> Dataset {
    let mut dataset = dataset(format, path);
    dataset.spec.target = Some("y".into());
    dataset.spec.split = Split { val: 0.0, test: 0.0, ..Split::default() };
    dataset
}

fn load(bytes: &[u8]) -> Result<Parts, String> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.parquet");
    std::fs::write(&path, bytes).expect("writes");
    whole(Format::Parquet, &path).load(None, &Null).map_err(|error| error.to_string())
}

fn numbers(parts: &Parts) -> Vec<f32> {
    let Storage::Memory(Inputs::F32(values)) = &parts.train.inputs else { panic!("tables are numbers") };
    values.to_vec()
}

#[test]
fn a_parquet_file_is_the_same_table_as_its_csv_twin() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("t.csv");
    std::fs::write(&path, AS_CSV).expect("writes");
    let twin = whole(Format::Csv, &path).load(None, &Null).expect("loads");
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(Default::default()),
    ];
    for compression in codecs {
        let parts = load(&table(compression)).expect("loads");
        assert_eq!(parts.columns, twin.columns);
        assert_eq!(parts.classes, ["no", "yes"]);
        assert_eq!(numbers(&parts), numbers(&twin));
        assert_eq!(parts.train.keys[..2], twin.train.keys[..2], "an example stays in its part");
        assert_eq!(parts.train.origins.name(2).as_deref(), Some("t.parquet:3"));
        assert_eq!(parts.encoding, twin.encoding);
    }
}

#[test]
fn a_file_with_other_columns_than_the_training_part_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("train.parquet"), table(Compression::SNAPPY)).expect("writes");
    let other =
        write("message t { required int64 x; required int64 y; }", Compression::SNAPPY, |_, column| {
            column.typed::<Int64Type>().write_batch(&[1], None, None)
        });
    std::fs::write(folder.path().join("test.parquet"), other).expect("writes");
    let error = whole(Format::Parquet, folder.path()).load(None, &Null).expect_err("other columns");
    let says = "`test.parquet` is not valid Parquet: its columns are not those of `train.parquet`";
    assert_eq!(error.to_string(), says);
    let empty = tempfile::tempdir().expect("folder");
    let error = whole(Format::Parquet, empty.path()).load(None, &Null).expect_err("nothing");
    assert!(error.to_string().contains("no `train.parquet`"), "{error}");
}

#[test]
fn what_no_cell_can_hold_is_refused_with_its_column() {
    let infinite =
        write("message t { required double x; required int64 y; }", Compression::SNAPPY, |index, column| {
            match index {
                0 => column.typed::<DoubleType>().write_batch(&[1.0, f64::INFINITY], None, None),
                _ => column.typed::<Int64Type>().write_batch(&[1, 2], None, None),
            }
        });
    let error = load(&infinite).expect_err("infinite");
    assert_eq!(error, "`t.parquet:2` is not valid Parquet: column `x`: the value is infinite");

    let times = "message t { required int64 when (TIMESTAMP(MILLIS,true)); required int64 y; }";
    let times = write(times, Compression::SNAPPY, |_, column| {
        column.typed::<Int64Type>().write_batch(&[1], None, None)
    });
    let error = load(&times).expect_err("times");
    assert!(
        error.contains("column `when` holds times") && error.contains("as numbers or as text"),
        "{error}"
    );

    let lists = "message t { repeated int64 x; required int64 y; }";
    let lists = write(lists, Compression::SNAPPY, |index, column| match index {
        0 => column.typed::<Int64Type>().write_batch(&[1, 2], Some(&[1, 1]), Some(&[0, 1])),
        _ => column.typed::<Int64Type>().write_batch(&[1], None, None),
    });
    assert!(load(&lists).expect_err("lists").contains("column `x` holds lists"));

    let bytes =
        write("message t { required binary x; required int64 y; }", Compression::SNAPPY, |index, column| {
            match index {
                0 => column.typed::<ByteArrayType>().write_batch(&[ByteArray::from(vec![0xff])], None, None),
                _ => column.typed::<Int64Type>().write_batch(&[1], None, None),
            }
        });
    assert_eq!(
        load(&bytes).expect_err("bytes"),
        "`t.parquet:1` is not valid Parquet: column `x`: the value is not UTF-8"
    );
}

#[test]
fn the_row_labels_of_pandas_are_no_column() {
    let schema = "message t { required int64 __index_level_0__; required int64 x; required int64 y; }";
    let bytes = write(schema, Compression::SNAPPY, |_, column| {
        column.typed::<Int64Type>().write_batch(&[4, 7], None, None)
    });
    let parts = load(&bytes).expect("loads");
    assert_eq!((parts.columns.as_slice(), numbers(&parts)), (&["x".to_owned()][..], vec![4.0, 7.0]));
}

#[test]
fn a_truncated_file_is_named() {
    let bytes = table(Compression::SNAPPY);
    for length in [0, 4, 11, bytes.len() / 2, bytes.len() - 1] {
        let error = load(&bytes[..length]).expect_err("truncated");
        assert!(error.contains("`t.parquet` is not valid Parquet"), "{error}");
    }
}

#[test]
fn a_few_bytes_that_stand_for_countless_rows_are_refused() {
    let count = 1_200_000;
    let bytes =
        write("message t { required int64 x; required int64 y; }", Compression::SNAPPY, |_, column| {
            let values = vec![1i64; 100_000];
            (0..count / values.len())
                .try_fold(0, |sum, _| Ok(sum + column.typed::<Int64Type>().write_batch(&values, None, None)?))
        });
    assert!(bytes.len() < 10_000, "{}", bytes.len());
    let error = load(&bytes).expect_err("a bomb");
    assert!(error.contains("far more memory"), "{error}");
}

#[test]
fn a_page_that_promises_two_gibibytes_is_refused_before_memory_is_asked_for() {
    for compression in
        [Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default()), Compression::GZIP(Default::default())]
    {
        let mut bytes =
            write("message t { required int64 x; required int64 y; }", compression, |_, column| {
                column.typed::<Int64Type>().write_batch(&[1, 2, 3], None, None)
            });
        // The first page header stands behind `PAR1`: type, then the size unpacked in a byte, which becomes one of five bytes;
        // what stands behind the file's first pages moves, so that the footer is of no use but for where the column begins.
        assert_eq!((&bytes[..4], bytes[4], bytes[6]), (&b"PAR1"[..], 0x15, 0x15));
        let packed_at = 8;
        assert!(bytes[7] < 128 && bytes[packed_at] == 0x15);
        bytes.splice(7..8, [0xfe, 0xff, 0xff, 0xff, 0x0f]);
        let error = load(&bytes).expect_err("a bomb");
        assert!(
            error.contains("promises to unpack to 2147483647") && error.contains("column `x`"),
            "{compression}: {error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = load(&bytes);
        let _ = load(&[b"PAR1", bytes.as_slice(), &[40, 0, 0, 0], b"PAR1"].concat());
    }

    #[test]
    fn flipped_bytes_never_panic(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())] {
            let mut bytes = table(compression);
            for (at, value) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            let _ = load(&bytes);
        }
    }
}
