use super::*;

fn signature() -> Signature {
    Signature { shape: vec![1, 2, 2], pixels: true, encoding: None, text: None }
}

fn refused(body: &str) -> String {
    let refusal = infer(body.as_bytes(), None, &signature()).expect_err(body);
    assert_eq!(refusal.status, 400, "{body}");
    refusal.message
}

#[test]
fn keys_in_any_order_and_nested_data_are_read() {
    let body = r#"{"outputs": [{"name": "label"}], "inputs": [{"data": [[[[1, 2], [3, 4]]]], "datatype": "FP32",
        "shape": [1, 1, 2, 2], "name": "input", "parameters": {"x": [1]}}], "id": "a", "parameters": {}}"#;
    let (batch, asked) = infer(body.as_bytes(), None, &signature()).expect("reads");
    assert_eq!((asked.id.as_deref(), asked.outputs[0].name.as_str()), (Some("a"), "label"));
    let (1, crate::platform::data::Inputs::U8(values)) = batch else { panic!("not one image") };
    assert_eq!(values.as_slice(), [1, 2, 3, 4]);
}

#[test]
fn a_tensor_that_does_not_fit_is_refused_by_name() {
    let tensor = |name: &str, shape: &str, datatype: &str, data: &str| {
        format!(r#"{{"inputs":[{{"name":"{name}","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#)
    };
    assert!(refused(&tensor("x", "[1,4]", "UINT8", "[1,2,3,4]")).contains("unknown input `x`"));
    assert!(refused(&tensor("input", "[1,5]", "UINT8", "[1,2,3,4,5]")).contains("shape [1, 5]"));
    assert!(refused(&tensor("input", "[2,4]", "UINT8", "[1,2,3,4]")).contains("4 values"));
    assert!(refused(&tensor("input", "[0,4]", "UINT8", "[]")).contains("0 instances"));
    assert!(refused(&tensor("input", "[1,4]", "BYTES", "[1,2,3,4]")).contains("takes none"));
    assert!(refused(&tensor("input", "[1,4]", "TEXT", "[1,2,3,4]")).contains("`TEXT`"));
    assert!(refused(&tensor("input", "[1,4]", "UINT8", r#"["a",2,3,4]"#)).contains("a text"));
    assert!(refused(&tensor("input", "[-1,4]", "UINT8", "[1,2,3,4]")).contains("-1"));
    assert!(refused(&tensor("input", "[18446744073709551615,4]", "UINT8", "[1]")).contains("instances"));
    assert!(refused(r#"{"inputs":[]}"#).contains("exactly one"));
    assert!(refused(r#"{}"#).contains("`inputs`"));
}

/// A request with one image as bytes behind its JSON.
fn binary(size: &str, shape: &str, datatype: &str, values: &[u8]) -> Result<(Batch, Asked), Refusal> {
    let json = format!(
        r#"{{"parameters":{{"binary_data_output":true}},"inputs":[{{"name":"input","shape":{shape},"datatype":"{datatype}",
            "parameters":{{"binary_data_size":{size}}}}}],"outputs":[{{"name":"label","parameters":{{"binary_data":false}}}}]}}"#
    );
    infer(&[json.as_bytes(), values].concat(), Some(json.len()), &signature())
}

#[test]
fn values_behind_the_json_are_read() {
    let (batch, asked) = binary("4", "[1,1,2,2]", "UINT8", &[1, 2, 3, 4]).expect("reads");
    let (1, crate::platform::data::Inputs::U8(values)) = batch else { panic!("not one image") };
    assert_eq!(values.as_slice(), [1, 2, 3, 4]);
    assert!(asked.binary);
    assert_eq!(asked.outputs[0].parameters.binary_data, Some(false));
}

#[test]
fn values_behind_the_json_that_do_not_fit_are_refused_by_name() {
    let message = |answer: Result<(Batch, Asked), Refusal>| answer.expect_err("does not fit").message;
    assert!(message(binary("5", "[1,4]", "UINT8", &[1, 2, 3, 4])).contains("4 bytes follow"));
    assert!(message(binary("4", "[2,4]", "UINT8", &[1, 2, 3, 4])).contains("4 values"));
    assert!(message(binary("3", "[1,4]", "FP32", &[1, 2, 3])).contains("whole number"));
    assert!(message(binary("4", "[1,4]", "FP16", &[1, 2, 3, 4])).contains("`FP16`"));
    assert!(message(binary("5", "[1]", "BYTES", b"\x01\0\0\0a")).contains("takes none"));
    assert!(message(infer(b"{}", Some(3), &signature())).contains("2 bytes of the body"));
    let left = br#"{"inputs":[{"name":"input","shape":[1,4],"datatype":"UINT8","data":[1,2,3,4]}]}x"#;
    assert!(message(infer(left, Some(left.len() - 1), &signature())).contains("no tensor speaks of"));
}
