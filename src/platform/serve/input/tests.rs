use proptest::prelude::*;

use super::*;
use crate::platform::data::{Column, ColumnKind};

fn image() -> Signature {
    Signature { shape: vec![1, 2, 3], pixels: true, encoding: None, text: None }
}

fn table() -> Signature {
    let number = |name: &str| Column { name: name.into(), kind: ColumnKind::Number { mean: 1.5 } };
    let encoding = TableEncoding { columns: vec![number("age"), number("height")] };
    Signature { shape: vec![2], pixels: false, encoding: Some(encoding), text: None }
}

fn pixels(body: &str) -> Vec<u8> {
    match instances(body.as_bytes(), &image()).expect(body).1 {
        Inputs::U8(values) => values.to_vec(),
        Inputs::F32(_) => panic!("numbers where pixels were expected"),
    }
}

fn refused(body: &str, signature: &Signature) -> Refusal {
    let refusal = instances(body.as_bytes(), signature).expect_err(body);
    assert_eq!(refusal.status, 400, "{body}");
    refusal
}

#[test]
fn nested_flat_and_squeezed_arrays_are_the_same_image() {
    let flat = pixels(r#"{"instances": [[1, 2, 3, 4, 5, 6]]}"#);
    assert_eq!(flat, [1, 2, 3, 4, 5, 6]);
    assert_eq!(pixels(r#"{"instances": [[[[1, 2, 3], [4, 5, 6]]]]}"#), flat);
    assert_eq!(pixels(r#"{"instances": [[[1, 2, 3.0], [4, 5, 6e0]]]}"#), flat);
}

#[test]
fn an_image_of_another_shape_is_refused_with_both_shapes() {
    let refusal = refused(r#"{"instances": [[1,2,3,4,5,6], [[1,2],[3,4],[5,6]]]}"#, &image());
    assert!(refusal.message.contains("instance 1 has shape [3, 2]"), "{refusal}");
    assert!(refusal.message.contains("[1, 2, 3]"), "{refusal}");
    for body in
        ["[[1,2,3,4,5]]", "[[1,2,3,4,5,6,7]]", "[[]]", "[[[1,2,3],[4,5]]]", "[[1,[2],3,4,5,6]]", "[7]"]
    {
        assert_eq!(refused(&format!(r#"{{"instances": {body}}}"#), &image()).code, "bad-input", "{body}");
    }
}

#[test]
fn a_text_becomes_the_ids_of_its_tokens() {
    let text = TextEncoding::bytes("text", 3).expect("makes");
    let texts = Signature { shape: vec![3], pixels: false, encoding: None, text: Some(text) };
    let body = br#"{"instances": ["ab", [98, 99, 0], "\u00e4"]}"#;
    let (count, Inputs::F32(ids)) = instances(body, &texts).expect("reads") else {
        panic!("ids are numbers")
    };
    assert_eq!((count, &ids[..]), (3, &[98.0, 99.0, 0.0, 98.0, 99.0, 0.0, 196.0, 165.0, 0.0][..]));
    assert!(refused(r#"{"instances": [7]}"#, &texts).message.contains("a text or an array of 3 token ids"));
    assert_eq!(refused(r#"{"instances": ["ab"]}"#, &image()).code, "bad-input");
}

#[test]
fn values_that_are_not_pixels_are_refused() {
    for value in ["0.5", "-1", "256", "1e300", "\"1\"", "null", "true", "{}"] {
        let body = format!(r#"{{"instances": [[1, 2, 3, 4, 5, {value}]]}}"#);
        assert_eq!(refused(&body, &image()).code, "bad-input", "{value}");
    }
}

#[test]
fn what_is_no_json_is_said_to_be_none() {
    for body in ["nojson", "{\"instances\": [[1, 2]", "{instances: []}"] {
        let refusal = refused(body, &table());
        assert_eq!(refusal.code, "bad-json", "{body}");
        assert!(refusal.message.starts_with("this is no JSON: "), "{refusal}");
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for value in ["NaN", "Infinity", "1e999"] {
        assert_eq!(
            refused(&format!(r#"{{"instances": [[1, {value}]]}}"#), &table()).code,
            "bad-json",
            "{value}"
        );
    }
    assert_eq!(refused(r#"{"instances": [[1, 1e39]]}"#, &table()).code, "bad-input");
}

#[test]
fn rows_of_a_table_may_name_their_columns_in_any_order() {
    let (count, inputs) =
        instances(br#"{"instances": [{"height": 1.8, "age": 40}, [30, 1.7]]}"#, &table()).expect("reads");
    let Inputs::F32(values) = inputs else { panic!("not numbers") };
    assert_eq!((count, values.as_slice()), (2, [40.0, 1.8, 30.0, 1.7].as_slice()));
    let unknown = refused(r#"{"instances": [{"heigth": 1.8, "age": 40}]}"#, &table());
    assert!(unknown.message.contains("did you mean `height`?"), "{unknown}");
    let missing = refused(r#"{"instances": [{"height": 1.8, "age": 40}, {"height": 1.8}]}"#, &table());
    assert!(missing.message.contains("instance 1: column `age` is not there"), "{missing}");
    assert_eq!(refused(r#"{"instances": [{"age": [40]}]}"#, &table()).code, "bad-input");
    assert!(refused(r#"{"instances": [{"age": 1, "age": 2}]}"#, &table()).message.contains("twice"));
}

#[test]
fn other_bodies_are_refused() {
    for body in
        ["", "[]", "{}", "null", r#"{"instances": {}}"#, r#"{"instances": []}"#, r#"{"instance": [[1]]}"#]
    {
        refused(body, &image());
    }
    refused(r#"{"instances": [[1,2,3,4,5,6]]} trailing"#, &image());
    refused(r#"{"instances": [[1,2,3,4,5,6]], "instances": [[1,2,3,4,5,6]]}"#, &image());
    let deep = format!(r#"{{"instances": {}"#, "[".repeat(100_000));
    assert_eq!(refused(&deep, &image()).code, "bad-json");
    let many = format!(r#"{{"instances": [{}[1,2]]}}"#, "[1,2],".repeat(MAX_INSTANCES));
    assert!(refused(&many, &table()).message.contains("more than 4096"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), head in 0usize..250) {
        let _ = instances(&body, &image());
        let _ = super::super::protocol::infer(&body, None, &table());
        let _ = super::super::protocol::infer(&body, Some(head), &image());
    }

    #[test]
    fn arbitrary_json_never_panics(
        body in r#"\{"(instances|inputs)": ?(\[|\{|\]|\}|,|:|"age"|"data"|"shape"|"name"|1|-2\.5|1e9|null| ){0,40}\}?"#
    ) {
        let _ = instances(body.as_bytes(), &image());
        let _ = instances(body.as_bytes(), &table());
        let _ = super::super::protocol::infer(body.as_bytes(), None, &image());
    }

    #[test]
    fn every_image_survives_the_way_through_json(pixels in proptest::collection::vec(any::<u8>(), 6..=6)) {
        let body = serde_json::json!({"instances": [pixels]}).to_string();
        let (count, Inputs::U8(read)) = instances(body.as_bytes(), &image()).expect("reads") else {
            panic!("numbers where pixels were expected")
        };
        prop_assert_eq!(count, 1);
        prop_assert_eq!(read.as_slice(), pixels.as_slice());
    }
}
